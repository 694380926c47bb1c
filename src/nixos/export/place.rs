//! Where an entry is: which storage it is bound from, and in whose home.

use crate::base::path::RelPath;
use crate::nixos::homes;

/// How a stored path relates to the path that programs use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// Stored at `storage` + the live path.
    Bound { storage: RelPath },
    /// Stored where it is used: its own file system must be mounted there.
    Unmoved,
    /// Stored under a name other than the one it is used by.
    Elsewhere,
}

impl Placement {
    pub(super) fn of(live: &RelPath, stored: &RelPath) -> Self {
        if live == stored {
            return Self::Unmoved;
        }
        if live.is_root() {
            return Self::Elsewhere;
        }
        stored.strip_suffix(live).map_or(Self::Elsewhere, |storage| Self::Bound { storage })
    }
}

/// A user's home and a path in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HomePath {
    pub(super) user: String,
    /// The home directory.
    pub(super) dir: RelPath,
    /// Below the home; the root for the home itself.
    pub(super) below: RelPath,
}

impl HomePath {
    /// The part of `path` below `dir`, the home of `user`.
    pub(super) fn inside(path: &RelPath, dir: &RelPath, user: &str) -> Option<Self> {
        Some(Self { user: user.to_string(), dir: dir.clone(), below: path.strip_prefix(dir)? })
    }

    /// `/home/NAME` and `/root` are homes.
    pub(super) fn of(path: &RelPath) -> Option<Self> {
        let (dir, below) = homes::split(path)?;
        let user = String::from_utf8(dir.last()?.as_bytes().to_vec()).ok()?;
        Some(Self { user, dir, below })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).expect("a valid path")
    }

    #[test]
    fn the_storage_is_what_stands_before_the_live_path() {
        let place = |live, stored| Placement::of(&rel(live), &rel(stored));
        assert_eq!(place("/var/log", "/persist/system/var/log"), Placement::Bound { storage: rel("/persist/system") });
        assert_eq!(place("/home/s/.ssh", "/persist/home/s/.ssh"), Placement::Bound { storage: rel("/persist") });
        assert_eq!(place("/nix", "/nix"), Placement::Unmoved);
        assert_eq!(place("/var/log", "/persist/logs"), Placement::Elsewhere);
        assert_eq!(place("/log", "/persist/varlog"), Placement::Elsewhere);
        assert_eq!(place("/", "/persist/all"), Placement::Elsewhere);
    }

    #[test]
    fn homes_are_known_by_their_place() {
        let home = HomePath::of(&rel("/home/s/.config/git")).expect("in a home");
        assert_eq!((home.user.as_str(), home.below), ("s", rel(".config/git")));
        assert_eq!(HomePath::of(&rel("/root/.ssh")).map(|home| home.user), Some("root".into()));
        assert_eq!(HomePath::of(&rel("/var/home/s/x")), None);
        let home = HomePath::inside(&rel("/data/ann/.ssh"), &rel("/data/ann"), "ann").expect("in that home");
        assert_eq!((home.user.as_str(), home.below), ("ann", rel(".ssh")));
    }
}
