//! Symlinks at an entry of the plan and on the way to it: what to do about them is decided here, once,
//! and carried in the [`Entry`](crate::engine::mapping::model::Entry).

use crate::base::path::RelPath;
use crate::engine::in_place::meant;
use crate::engine::mapping::model::{EntryKind, Link, Presence};
use crate::sys::root::{Root, real_path};
use crate::sys::stat::{Kind, stat_fd};
use crate::sys::{Errno, file, leads_nowhere};
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use std::os::unix::ffi::OsStrExt;

/// How an entry was found.
pub(super) struct FoundEntry {
    pub(super) presence: Presence,
    /// Where it is in the backup, on a path without symlinks.
    pub(super) real: RelPath,
    pub(super) link: Option<Link>,
    /// Where the symlink leads, or would lead.
    pub(super) meant: Option<RelPath>,
    /// Where it leads, if that is not inside the target's `from`.
    pub(super) out: Option<RelPath>,
}

/// As many symlinks as the kernel follows (path_resolution(7)).
const CHAIN: u32 = 40;

const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW);

/// Looks for the entry `path` of a target with this `from`. `follow` is what the plan says.
pub(super) fn look(root: &Root, from: &RelPath, path: &RelPath, kind: EntryKind, follow: Option<bool>) -> FoundEntry {
    EntrySearch { root, from, path, kind, follow }.look().unwrap_or_else(|errno| {
        let absent = leads_nowhere(errno);
        let presence = if absent { Presence::Absent } else { Presence::Unreadable { errno } };
        FoundEntry { presence, real: path.clone(), link: None, meant: None, out: None }
    })
}

struct EntrySearch<'p> {
    root: &'p Root,
    from: &'p RelPath,
    path: &'p RelPath,
    kind: EntryKind,
    follow: Option<bool>,
}

impl EntrySearch<'_> {
    fn look(&self) -> Result<FoundEntry, Errno> {
        let (above, fd) = match self.root.open_strict(self.path, HANDLE) {
            Ok(fd) => (self.path.parent(), fd),
            Err(Errno::LOOP) => {
                let (Some(above), Some(name)) = (self.path.parent(), self.path.last()) else { return Err(Errno::LOOP) };
                let above = self.real(&self.root.open_in(&above, OFlags::PATH | OFlags::DIRECTORY)?)?;
                let fd = self.root.open_strict(&above.join(&name), HANDLE)?;
                (Some(above), fd)
            }
            Err(errno) => return Err(errno),
        };
        let real = match (above, self.path.last()) {
            (Some(above), Some(name)) => above.join(&name),
            _ => RelPath::root(),
        };
        let kind = stat_fd(&fd)?.kind;
        if kind == Kind::Symlink {
            return self.symlink(&fd, real);
        }
        let detour = real != *self.path;
        let link =
            detour.then(|| Link { to: Some(real.clone()), followed: true, is_on_the_way: true, leads_home: false });
        let out = detour.then(|| self.leads_out(&real)).flatten();
        let meant = detour.then(|| real.clone());
        Ok(FoundEntry { presence: self.presence(kind), real, link, meant, out })
    }

    /// The entry itself is a symlink at `real`.
    fn symlink(&self, fd: &OwnedFd, real: RelPath) -> Result<FoundEntry, Errno> {
        let led = match self.root.open_in(self.path, OFlags::PATH) {
            Ok(fd) => Some((self.real(&fd)?, stat_fd(&fd)?.kind)),
            Err(errno) if leads_nowhere(errno) => None,
            Err(errno) => return Err(errno),
        };
        let followed = self.follow.unwrap_or(match self.kind {
            EntryKind::Directory => true,
            EntryKind::File => false,
            EntryKind::Tree => led.as_ref().is_some_and(|(_, kind)| *kind == Kind::Directory),
        });
        let to = led.as_ref().map(|(to, _)| to.clone());
        let meant = match &to {
            Some(to) => Some(to.clone()),
            None => self.dangles_at(&real, &file::read_link(fd)?),
        };
        // What leads above the tree has no path inside it.
        let out = match &meant {
            Some(meant) => self.leads_out(&real).or_else(|| self.leads_out(meant)),
            None => Some(RelPath::root()),
        };
        let link = Some(Link { to, followed, is_on_the_way: false, leads_home: false });
        Ok(match led {
            _ if !followed => FoundEntry { presence: Presence::Present, real, link, meant, out },
            Some((to, kind)) => FoundEntry { presence: self.presence(kind), real: to, link, meant, out },
            None => FoundEntry { presence: Presence::Absent, real, link, meant, out: None },
        })
    }

    /// Where a dangling chain of symlinks ends; `at` is the first of them.
    fn dangles_at(&self, at: &RelPath, text: &[u8]) -> Option<RelPath> {
        let mut to = meant(at, text)?;
        for _ in 0..CHAIN {
            let next = self.root.open_strict(&to, HANDLE).and_then(file::read_link);
            match next {
                Ok(text) => to = meant(&to, &text)?,
                // Nothing is there, or not a link, or only through other links.
                Err(_) => break,
            }
        }
        Some(to)
    }

    fn presence(&self, found: Kind) -> Presence {
        match (self.kind, found) {
            (EntryKind::Directory, Kind::Directory) | (EntryKind::Tree, _) => Presence::Present,
            (EntryKind::File, Kind::Directory) | (EntryKind::Directory, _) => {
                Presence::WrongKind { found: found.words() }
            }
            (EntryKind::File, _) => Presence::Present,
        }
    }

    fn leads_out(&self, to: &RelPath) -> Option<RelPath> {
        to.strip_prefix(self.from).is_none().then(|| to.clone())
    }

    /// The path of an open file in the backup, according to the kernel.
    fn real(&self, fd: &OwnedFd) -> Result<RelPath, Errno> {
        let (real, top) = (real_path(fd)?, real_path(self.root)?);
        let below = real.strip_prefix(&top).map_err(|_| Errno::XDEV)?;
        RelPath::new(below.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn rel(path: &str) -> RelPath {
        RelPath::new(path.as_bytes()).expect("a path")
    }

    fn directory(path: &std::path::Path) {
        std::fs::DirBuilder::new().recursive(true).create(path).expect("made");
    }

    /// `home/u` has the links; they lead outside and inside of it.
    fn found(text: &str, kind: EntryKind, follow: Option<bool>) -> FoundEntry {
        let place = tempfile::tempdir().expect("a directory");
        let home = place.path().join("home/u");
        directory(&home.join("dir/below"));
        directory(&place.path().join("root"));
        std::fs::write(home.join("file"), "x").expect("written");
        symlink(text, home.join("link")).expect("linked");
        symlink("link", home.join("chain")).expect("linked");
        let root = Root::open(place.path()).expect("opened");
        look(&root, &rel("home/u"), &rel("home/u/chain"), kind, follow)
    }

    #[test]
    fn a_directory_is_followed_and_a_file_kept() {
        let seen = found("dir", EntryKind::Directory, None);
        assert_eq!((seen.presence, seen.real, seen.out), (Presence::Present, rel("home/u/dir"), None));
        assert!(seen.link.is_some_and(|link| link.followed && link.to == Some(rel("home/u/dir"))));
        for text in ["file", "dir", "nothing"] {
            let seen = found(text, EntryKind::File, None);
            assert_eq!((seen.presence, seen.real, seen.out), (Presence::Present, rel("home/u/chain"), None), "{text}");
        }
    }

    #[test]
    fn the_plan_can_say_otherwise() {
        let seen = found("dir", EntryKind::Directory, Some(false));
        assert_eq!((seen.presence, seen.real), (Presence::Present, rel("home/u/chain")));
        let seen = found("/home/u/file", EntryKind::File, Some(true));
        assert_eq!((seen.presence, seen.real), (Presence::Present, rel("home/u/file")));
        assert_eq!(found("nothing", EntryKind::File, Some(true)).presence, Presence::Absent);
        assert_eq!(found("dir", EntryKind::File, Some(true)).presence, Presence::WrongKind { found: "a directory" });
        assert_eq!(found("file", EntryKind::Directory, None).presence, Presence::WrongKind { found: "a regular file" });
        assert_eq!(found("nothing", EntryKind::Directory, None).presence, Presence::Absent);
    }

    #[test]
    fn what_leads_out_of_from_is_told() {
        for (text, to) in [("/root", "root"), ("../../root", "root"), ("../../../../root", "root"), ("/home", "home")] {
            assert_eq!(found(text, EntryKind::Directory, None).out, Some(rel(to)), "{text}");
        }
        assert_eq!(found("/etc/shadow", EntryKind::File, None).out, Some(rel("etc/shadow")), "also where it dangles");
    }

    #[test]
    fn a_symlink_on_the_way_is_told() {
        let place = tempfile::tempdir().expect("a directory");
        directory(&place.path().join("other/log"));
        symlink("other", place.path().join("var")).expect("linked");
        let root = Root::open(place.path()).expect("opened");
        let seen = look(&root, &RelPath::root(), &rel("var/log"), EntryKind::Directory, None);
        assert_eq!((seen.presence, seen.real, seen.out), (Presence::Present, rel("other/log"), None));
        assert!(seen.link.is_some_and(|link| link.is_on_the_way));
        let seen = look(&root, &rel("var"), &rel("var/log"), EntryKind::Directory, None);
        assert_eq!(seen.out, Some(rel("other/log")));
        let seen = look(&root, &RelPath::root(), &rel("var/none"), EntryKind::Directory, None);
        assert_eq!(seen.presence, Presence::Absent);
    }
}
