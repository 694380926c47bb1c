//! What an inode lets each user do, by the kernel's own rule (acl(5)), and
//! whether one state of it gives anybody more than another.

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{AtFlags, FileType};
use std::collections::BTreeSet;

/// Owner, mode and access ACL of an inode at one moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State {
    pub(crate) directory: bool,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Named entries and the owning group's, as (tag, permissions, id); empty without an ACL.
    pub(crate) acl: Vec<(u16, u16, u32)>,
}

const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;

/// Read, write and execute, and removing what others own in a directory.
const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;
const REMOVE: u32 = 8;
const ALL: u32 = 15;

/// The entries of an access ACL that the mode does not show.
pub(crate) fn parse_acl(value: &[u8]) -> Vec<(u16, u16, u32)> {
    let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    let entries = value.get(4..).unwrap_or_default().chunks_exact(8);
    let all = entries.map(|e| (half(e), half(&e[2..]), u32::from_le_bytes([e[4], e[5], e[6], e[7]])));
    all.filter(|(tag, ..)| [USER, GROUP_OBJ, GROUP].contains(tag)).collect()
}

/// What an access ACL makes of the mode's nine bits.
pub(crate) fn mode_of_acl(value: &[u8]) -> u32 {
    let perm = |tag: u8| value.get(4..).unwrap_or_default().chunks_exact(8).find(|e| e[0] == tag).map(|e| e[2]);
    let group = perm(0x10).or(perm(0x04));
    [perm(1), group, perm(0x20)].iter().fold(0, |mode, p| mode << 3 | u32::from(p.unwrap_or(0)))
}

impl State {
    /// The inode behind `fd`, `O_PATH` or not; `None` for symlinks, and for an
    /// inode that changed between the calls.
    pub(crate) fn of(fd: impl AsFd) -> Option<Self> {
        let fd = fd.as_fd();
        let stat = rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH).ok()?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Symlink {
            return None;
        }
        let acl = xattr::get_deref(format!("/proc/self/fd/{}", fd.as_raw_fd()), "system.posix_acl_access").ok()?;
        let after = rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH).ok()?;
        let shown = |s: &rustix::fs::Stat| (s.st_mode, s.st_uid, s.st_gid, s.st_ctime, s.st_ctime_nsec);
        (shown(&stat) == shown(&after)).then(|| Self {
            directory: kind == FileType::Directory,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            acl: acl.map(|value| parse_acl(&value)).unwrap_or_default(),
        })
    }

    /// What a user in `groups` may do. The owner may give himself everything, so he has it.
    fn rights(&self, user: u32, groups: &[u32]) -> u32 {
        if user == self.uid {
            return ALL;
        }
        let class = self.mode >> 3 & 7;
        let named = self.acl.iter().find(|e| e.0 == USER && e.2 == user).map(|e| u32::from(e.1) & class);
        let bits = named.unwrap_or_else(|| {
            let mut of_groups = Vec::new();
            for (tag, perm, id) in &self.acl {
                if *tag == GROUP_OBJ && groups.contains(&self.gid) || *tag == GROUP && groups.contains(id) {
                    of_groups.push(u32::from(*perm) & class);
                }
            }
            if self.acl.is_empty() && groups.contains(&self.gid) {
                of_groups.push(class);
            }
            if of_groups.is_empty() { self.mode & 7 } else { of_groups.iter().fold(0, |all, bits| all | bits) }
        });
        let removes = self.directory && bits & (WRITE | EXECUTE) == WRITE | EXECUTE && self.mode & 0o1000 == 0;
        bits | if removes { REMOVE } else { 0 }
    }

    /// Whose rights running it lends: a user's, a group's.
    fn lends(&self) -> [Option<u32>; 2] {
        let bit = |bit| !self.directory && self.mode & bit != 0;
        [bit(0o4000).then_some(self.uid), bit(0o2000).then_some(self.gid)]
    }

    fn names(&self, tag: u16, own: u32) -> impl Iterator<Item = u32> {
        self.acl.iter().filter(move |e| e.0 == tag).map(|e| e.2).chain([own])
    }

    /// Who may do more by this state than by `end`, and what; root may do all by either.
    pub(crate) fn wider_than(&self, end: &Self) -> Option<String> {
        let stranger = 4_000_000_000;
        let users: BTreeSet<u32> =
            self.names(USER, self.uid).chain(end.names(USER, end.uid)).chain([stranger]).filter(|u| *u != 0).collect();
        let groups: BTreeSet<u32> = self.names(GROUP, self.gid).chain(end.names(GROUP, end.gid)).collect();
        for user in users {
            // Being in two groups can give less than being in one, so pairs are looked at too.
            let sets = groups.iter().flat_map(|a| groups.iter().map(move |b| vec![*a, *b])).chain([Vec::new()]);
            for set in sets {
                let more = self.rights(user, &set) & !end.rights(user, &set);
                if more != 0 {
                    let letters = [(READ, 'r'), (WRITE, 'w'), (EXECUTE, 'x'), (REMOVE, 'd')];
                    let letters: String = letters.iter().filter(|l| more & l.0 != 0).map(|l| l.1).collect();
                    return Some(format!("user {user} in groups {set:?} may {letters}: {self:?}, at its end {end:?}"));
                }
            }
        }
        let lent = self.lends().into_iter().zip(end.lends()).any(|(now, then)| now.is_some() && now != then);
        lent.then(|| format!("it lends {:?}: {self:?}, at its end {end:?}", self.lends()))
    }
}
