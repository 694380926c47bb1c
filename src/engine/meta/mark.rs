//! The attribute that tells a later run what an interrupted one left.
//!
//! Only root can set it (`trusted.*`, xattr(7)), and it is on the medium with the inode, in the
//! file system's own journal: a directory gets it before it is closed to be filled, a file before
//! its space is reserved. It is removed when the inode has all its metadata. It is bound to a
//! path, so an inode that was moved to another name is not taken for what belongs there.

use crate::base::path::RelPath;
use crate::sys::flags::is_absent;
use crate::sys::xattr::Holder;
use crate::sys::{Errno, xattr};
use std::ffi::CStr;

/// The attribute's name. It is never copied, compared or removed as an attribute of the source.
pub(crate) const NAME: &CStr = c"trusted.persistcp";

/// The first byte of every value.
const VERSION: u8 = 1;

/// What a mark is bound to: a plan's name and a path below its root, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding([u8; 16]);

impl Binding {
    /// The binding to `path` in the plan named `plan`.
    pub(crate) fn new(plan: &str, path: &RelPath) -> Self {
        let mut hasher = blake3::Hasher::new();
        // A plan's name holds no NUL.
        hasher.update(plan.as_bytes()).update(&[0]).update(path.as_bytes());
        let mut hash = [0; 16];
        hasher.finalize_xof().fill(&mut hash);
        Self(hash)
    }
}

/// What an inode was before the run that left it unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    /// It did not exist: that run made it.
    Created,
    /// A directory with this owner, group and mode, which that run closed.
    Open {
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// The twelve mode bits.
        mode: u32,
    },
}

/// An inode's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// No run has left it unfinished.
    None,
    /// A run of this plan has left it, under this name.
    Ours(Was),
    /// It was left elsewhere, or by another plan, or by a later version.
    Other,
}

/// Marks the inode behind `holder`. `EOPNOTSUPP`, or `EPERM` in a user namespace, when that is not
/// possible; `ENOSPC` when its other attributes leave no space.
pub(crate) fn set(holder: Holder<'_>, to: Binding, was: Was) -> Result<(), Errno> {
    xattr::set(holder, NAME, &encode(to, was))
}

/// Removes the mark, if there is one.
pub(crate) fn remove(holder: Holder<'_>) -> Result<(), Errno> {
    match xattr::remove(holder, NAME) {
        Err(errno) if errno == Errno::NODATA || is_absent(errno) => Ok(()),
        result => result,
    }
}

/// Reads the mark of an inode found at the place that `bound` describes.
pub(crate) fn read(holder: Holder<'_>, bound: impl Fn() -> Binding) -> Result<Mark, Errno> {
    match xattr::get(holder, NAME) {
        Ok(value) => Ok(decode(&value, bound())),
        Err(errno) if errno == Errno::NODATA || is_absent(errno) => Ok(Mark::None),
        Err(errno) => Err(errno),
    }
}

fn encode(to: Binding, was: Was) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&to.0);
    // With an inode of 256 bytes ext4 keeps a value of this size in the inode itself.
    if let Was::Open { uid, gid, mode } = was {
        [uid, gid, mode].iter().for_each(|number| value.extend_from_slice(&number.to_le_bytes()));
    }
    value
}

fn decode(value: &[u8], to: Binding) -> Mark {
    let Some(rest) = value.strip_prefix(&[VERSION]).and_then(|rest| rest.strip_prefix(&to.0)) else {
        return Mark::Other;
    };
    let number = |at: usize| rest.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    match (rest.len(), number(0), number(4), number(8)) {
        (0, ..) => Mark::Ours(Was::Created),
        (12, Some(uid), Some(gid), Some(mode)) => Mark::Ours(Was::Open { uid, gid, mode }),
        _ => Mark::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_at_its_own_place_alone() {
        let place = |plan, path: &[u8]| Binding::new(plan, &RelPath::new(path).expect("valid"));
        let here = place("plan", b"home/d0");
        for was in [Was::Created, Was::Open { uid: 1000, gid: 100, mode: 0o2775 }] {
            let value = encode(here, was);
            assert_eq!(decode(&value, here), Mark::Ours(was));
            for elsewhere in [place("plan", b"home/d1"), place("other", b"home/d0"), place("planhome", b"d0")] {
                assert_eq!(decode(&value, elsewhere), Mark::Other);
            }
            for length in 1..value.len() {
                assert!(decode(&value[..length], here) != Mark::Ours(was));
            }
        }
        assert_eq!(decode(b"", here), Mark::Other);
    }
}
