//! Where an attribute path leads: to one of the supported options, to one of their parents, or
//! elsewhere.

use super::value::Segment;

/// The supported options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Environment,
    Home,
    Preservation,
    HostKeys,
}

const OPTIONS: [(Choice, [&str; 2]); 3] = [
    (Choice::Environment, ["environment", "persistence"]),
    (Choice::Home, ["home", "persistence"]),
    (Choice::Preservation, ["preservation", "preserveAt"]),
];
const HOST_KEYS: [&str; 3] = ["services", "openssh", "hostKeys"];

impl Choice {
    pub(super) fn name(self) -> String {
        if self == Self::HostKeys {
            return HOST_KEYS.join(".");
        }
        OPTIONS.iter().find(|(choice, _)| *choice == self).map_or(String::new(), |(_, path)| path.join("."))
    }
}

pub(super) enum Route {
    /// An option may be below.
    Above,
    /// A list of modules.
    Imports,
    /// Declarations of options, not values.
    Options,
    /// At or below an option: the names below it, and for home-manager in NixOS the user.
    Inside {
        option: Choice,
        user: Option<Segment>,
        below: Vec<Segment>,
    },
    Elsewhere,
}

pub(super) fn route(path: &[Segment]) -> Route {
    let mut rest = path;
    if let [first, tail @ ..] = rest
        && first.is("config")
    {
        rest = tail;
    }
    if let [first, ..] = rest
        && first.is("options")
    {
        return Route::Options;
    }
    let mut user = None;
    match rest {
        [manager] if manager.is("home-manager") => return Route::Above,
        [manager, users] if manager.is("home-manager") && users.is("users") => return Route::Above,
        [manager, users, name, tail @ ..] if manager.is("home-manager") && users.is("users") => {
            user = Some(name.clone());
            rest = tail;
        }
        _ => {}
    }
    if let [imports] = rest
        && imports.is("imports")
    {
        return Route::Imports;
    }
    let known = |names: &[&str]| rest.iter().zip(names).all(|(segment, name)| segment.is(name));
    for (option, names) in OPTIONS.iter().map(|(o, n)| (*o, n.as_slice())).chain([(Choice::HostKeys, &HOST_KEYS[..])]) {
        if known(names) {
            return match rest.get(names.len()..) {
                Some(below) => Route::Inside { option, user, below: below.to_vec() },
                None => Route::Above,
            };
        }
    }
    Route::Elsewhere
}
