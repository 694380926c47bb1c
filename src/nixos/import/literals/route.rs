//! Where an attribute path leads: to one of the supported options, to a list of modules, or elsewhere.

use super::value::Segment;

/// The supported options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Environment,
    Home,
    Preservation,
    HostKeys,
}

const OPTIONS: [(Choice, &[&str]); 4] = [
    (Choice::Environment, &["environment", "persistence"]),
    (Choice::Home, &["home", "persistence"]),
    (Choice::Preservation, &["preservation", "preserveAt"]),
    (Choice::HostKeys, &["services", "openssh", "hostKeys"]),
];

impl Choice {
    pub(super) fn name(self) -> String {
        OPTIONS.iter().find(|(choice, _)| *choice == self).map_or(String::new(), |(_, path)| path.join("."))
    }
}

pub(super) enum Route {
    /// A list of modules; the path of what they are modules of.
    Imports,
    /// Declarations of options, not values.
    Options,
    /// At or below an option.
    Inside(OptionPath),
    /// An option may be below, and what cannot be read is one perhaps.
    Above,
    Elsewhere,
}

/// An attribute path to an option, in its parts.
#[derive(Clone, Debug)]
pub(super) struct OptionPath {
    /// What comes before: the module's own place, `flake.modules.nixos.X` for one.
    pub(super) module: Vec<Segment>,
    pub(super) option: Choice,
    /// The user of `home-manager.users.NAME`.
    pub(super) user: Option<Segment>,
    /// From the storage's key on.
    pub(super) below: Vec<Segment>,
}

pub(super) fn route(path: &[Segment]) -> Route {
    if path.iter().any(|segment| segment.is("options")) {
        return Route::Options;
    }
    for start in 0..path.len() {
        let Some(rest) = path.get(start..) else { break };
        for (option, names) in OPTIONS {
            if rest.len() < names.len() || !rest.iter().zip(names).all(|(segment, name)| segment.is(name)) {
                continue;
            }
            let (module, user) = module_of(path.get(..start).unwrap_or_default());
            let below = rest.get(names.len()..).unwrap_or_default().to_vec();
            return Route::Inside(OptionPath { module, option, user, below });
        }
    }
    match path.last() {
        Some(last) if last.is("imports") || last.is("sharedModules") => Route::Imports,
        _ if is_above(path) => Route::Above,
        _ => Route::Elsewhere,
    }
}

/// True for parents of an option, `config` and a user's home-manager among them, at the top of a module.
fn is_above(path: &[Segment]) -> bool {
    let rest = match path {
        [first, tail @ ..] if first.is("config") => tail,
        rest => rest,
    };
    let rest = match rest {
        [manager, users, _, tail @ ..] if manager.is("home-manager") && users.is("users") => tail,
        [manager] | [manager, _] if manager.is("home-manager") => {
            return rest.get(1).is_none_or(|users| users.is("users"));
        }
        rest => rest,
    };
    match rest {
        [] => true,
        [only] => ["environment", "home", "preservation"].iter().any(|name| only.is(name)),
        _ => false,
    }
}

/// The path of a module without `config` at its end, and the user whose home-manager module it is.
fn module_of(path: &[Segment]) -> (Vec<Segment>, Option<Segment>) {
    let path = match path {
        [module @ .., last] if last.is("config") => module,
        path => path,
    };
    match path {
        [module @ .., manager, users, user] if manager.is("home-manager") && users.is("users") => {
            let module = match module {
                [module @ .., last] if last.is("config") => module,
                module => module,
            };
            (module.to_vec(), Some(user.clone()))
        }
        path => (path.to_vec(), None),
    }
}

/// An option of the configuration's own: the path that `config.NAMES` would mean.
pub(super) fn own(path: &[Segment]) -> Vec<String> {
    let rest = match path {
        [flake, modules, _, _, rest @ ..] if flake.is("flake") && modules.is("modules") => rest,
        rest => rest,
    };
    let rest = match rest {
        [first, rest @ ..] if first.is("config") => rest,
        rest => rest,
    };
    rest.iter().map(Segment::shown).collect()
}
