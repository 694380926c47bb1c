//! Users, groups and the host's name, where modules say them in literals.

use super::evaluate::Evaluator;
use super::finder::OwnOption;
use super::value::{Segment, whole};
use crate::base::path::RelPath;
use crate::nixos::import::declared::Declaration;
use rnix::ast::{Expr, LiteralKind};

pub(super) fn read(evaluator: &Evaluator<'_>, own: &[OwnOption], all: &mut Declaration) {
    let text = |own: &OwnOption| evaluator.string(&own.value).and_then(|parts| whole(&parts));
    let number = |own: &OwnOption| match &evaluator.head(&own.value).expr {
        Expr::Literal(literal) => match literal.kind() {
            LiteralKind::Integer(number) => number.value().ok().and_then(|id| u32::try_from(id).ok()),
            _ => None,
        },
        _ => None,
    };
    let mut hosts = Vec::new();
    // Names first: everything else is kept by them.
    for option in own {
        if let [users, of, Segment::Known(attribute), name] = tail(&option.path)
            && users.is("users")
            && of.is("users")
            && name.is("name")
            && let Some(name) = text(option)
        {
            all.accounts.insert(attribute.clone(), name);
        }
    }
    for option in own {
        match tail(&option.path) {
            [users, of, Segment::Known(attribute), what] if users.is("users") && of.is("users") => {
                let name = all.account(attribute).to_string();
                let user = all.users.entry(name).or_default();
                match what {
                    what if what.is("home") => {
                        user.home = text(option).and_then(|home| RelPath::new(home.as_bytes()).ok());
                    }
                    what if what.is("group") => user.group = text(option),
                    what if what.is("uid") => user.uid = number(option),
                    _ => {}
                }
            }
            [users, of, Segment::Known(group), what] if users.is("users") && of.is("groups") && what.is("gid") => {
                all.groups.extend(number(option).map(|gid| (group.clone(), gid)));
            }
            [networking, host] if networking.is("networking") && host.is("hostName") => hosts.push(text(option)),
            _ => {}
        }
    }
    hosts.dedup();
    if let [Some(host)] = hosts.as_slice() {
        all.host = Some(host.clone());
    }
}

/// True if the home of a user is set to what only an evaluator knows.
pub(super) fn computes_home(own: &[OwnOption], attribute: &str) -> bool {
    own.iter().any(|option| {
        matches!(tail(&option.path), [users, of, user, home]
            if users.is("users") && of.is("users") && user.is(attribute) && home.is("home"))
    })
}

/// The path without the module's own place before it.
fn tail(path: &[Segment]) -> &[Segment] {
    let starts = |segment: &Segment| ["users", "networking"].iter().any(|name| segment.is(name));
    path.iter().position(starts).and_then(|at| path.get(at..)).unwrap_or_default()
}
