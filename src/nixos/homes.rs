//! Which directories are homes: `/home/NAME`, `/root`, and what the plan says is a user's.

use crate::base::path::RelPath;
use crate::engine::mapping::model::Target;

/// The home that a target is although it is in another place: its new directories are a user's.
pub(crate) fn elsewhere(target: &Target) -> Option<&RelPath> {
    let is_home = !target.from.is_root() && target.parents.uid != 0 && split(&target.from).is_none();
    is_home.then_some(&target.from)
}

/// The home that `path` is or is in, and the path below it.
pub(crate) fn split(path: &RelPath) -> Option<(RelPath, RelPath)> {
    let mut names = path.names();
    let depth = match names.next()?.as_bytes() {
        b"root" => 1,
        b"home" => names.next().map(|_| 2)?,
        _ => return None,
    };
    let home = path.names().take(depth).fold(RelPath::root(), |path, name| path.join(&name));
    let below = path.strip_prefix(&home)?;
    Some((home, below))
}

#[cfg(test)]
mod tests {
    use super::split;
    use crate::base::path::RelPath;

    #[test]
    fn homes_and_what_lies_in_them() {
        let rel = |text: &str| RelPath::new(text.as_bytes()).expect("a path");
        for (path, found) in [
            ("home/s", Some(("home/s", ""))),
            ("home/s/.config/git", Some(("home/s", ".config/git"))),
            ("root/.ssh", Some(("root", ".ssh"))),
            ("home", None),
            ("var/home/s", None),
        ] {
            let found = found.map(|(home, below)| (rel(home), rel(below)));
            assert_eq!(split(&rel(path)), found, "{path}");
        }
    }
}
