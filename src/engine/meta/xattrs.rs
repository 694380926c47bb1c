//! The extended attributes of one inode as a sorted list.

use super::acl::Acl;
use super::mark;
use crate::engine::mapping::model::IdKind;
use crate::sys::xattr::Holder;
use crate::sys::{Errno, xattr};
use std::ffi::CString;

/// Names and values, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xattrs(Vec<(CString, Vec<u8>)>);

/// The access ACL; it is set late because it widens.
pub(super) const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
/// What new entries inherit from a directory.
const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

impl Xattrs {
    /// Reads all attributes but the mark of an unfinished copy. One that vanishes between
    /// list and get is left out.
    pub fn read(holder: Holder<'_>) -> Result<Self, Errno> {
        let (mut all, unread) = Self::read_each(holder)?;
        all.take_mark();
        unread.into_iter().next().map_or(Ok(all), |(_, errno)| Err(errno))
    }

    /// The same, but an unreadable one does not prevent the others; it is returned by name.
    pub fn read_each(holder: Holder<'_>) -> Result<(Self, Vec<(CString, Errno)>), Errno> {
        let names = xattr::list(holder)?;
        let (mut all, mut unread) = (Vec::with_capacity(names.len()), Vec::new());
        for name in names {
            match xattr::get(holder, &name) {
                Ok(value) => all.push((name, value)),
                Err(Errno::NODATA) => {}
                Err(errno) => unread.push((name, errno)),
            }
        }
        all.sort();
        Ok((Self(all), unread))
    }

    /// Takes out the mark of an unfinished copy, which is not an attribute of the source; true if
    /// there was one.
    pub(super) fn take_mark(&mut self) -> bool {
        let before = self.0.len();
        self.0.retain(|(name, _)| name.as_c_str() != mark::NAME);
        self.0.len() < before
    }

    /// Name and value, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = &(CString, Vec<u8>)> {
        self.0.iter()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn heap_bytes(&self) -> u64 {
        let each = |(name, value): &(CString, Vec<u8>)| (name.as_bytes().len() + value.len() + 64) as u64;
        self.0.iter().map(each).sum()
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, value)| value.as_slice())
    }

    /// Removes `name`; false when it is not there.
    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let before = self.0.len();
        self.0.retain(|(n, _)| n.as_bytes() != name);
        self.0.len() < before
    }

    /// Makes the access ACL say what chmod(2) with `mode` would make of it.
    pub(super) fn set_mode(&mut self, mode: u32) {
        let value = self.0.iter_mut().find(|(n, _)| n.as_bytes() == ACL_ACCESS).map(|(_, value)| value);
        if let Some(value) = value
            && let Some(mut acl) = Acl::parse(value)
        {
            acl.set_mode(mode);
            *value = acl.to_bytes();
        }
    }

    /// Name and value of the ACLs.
    fn acls(&self) -> impl Iterator<Item = &(CString, Vec<u8>)> {
        self.0.iter().filter(|(name, _)| [ACL_ACCESS, ACL_DEFAULT].contains(&name.as_bytes()))
    }

    /// True when an ACL has an entry for a user or group by number.
    #[must_use]
    pub fn have_named_acls(&self) -> bool {
        self.acls().any(|(_, value)| Acl::parse(value).is_some_and(|acl| acl.has_names()))
    }

    /// True when the ACLs are the same.
    #[must_use]
    pub fn same_acls(&self, other: &Self) -> bool {
        self.acls().eq(other.acls())
    }

    /// Renumbers the users and groups that ACLs name.
    pub(super) fn renumber(&mut self, mut number: impl FnMut(IdKind, u32) -> u32) {
        for (name, value) in &mut self.0 {
            if [ACL_ACCESS, ACL_DEFAULT].contains(&name.as_bytes())
                && let Some(mut acl) = Acl::parse(value)
                && acl.has_names()
            {
                acl.renumber(&mut number);
                *value = acl.to_bytes();
            }
        }
    }

    /// The journal's form: for each attribute the length of the name, the name,
    /// the length of the value, the value; lengths as 32-bit little endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in &self.0 {
            for part in [name.as_bytes(), value] {
                // The kernel limits both to 64 KiB.
                out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
                out.extend_from_slice(part);
            }
        }
        out
    }

    /// Reads [`Self::to_bytes`]; `None` when the bytes are damaged.
    #[must_use]
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (name, rest) = take_part(bytes)?;
            let (value, rest) = take_part(rest)?;
            all.push((CString::new(name).ok()?, value.to_vec()));
            bytes = rest;
        }
        Some(Self(all))
    }
}

fn take_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use proptest::sample::Index;

    #[test]
    fn the_journal_form_round_trips() {
        let xattrs =
            Xattrs(vec![(c"security.capability".to_owned(), vec![1, 0, 2]), (c"user.empty".to_owned(), Vec::new())]);
        assert_eq!(Xattrs::from_bytes(&xattrs.to_bytes()), Some(xattrs));
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = Xattrs(vec![(c"user.a".to_owned(), b"value".to_vec())]).to_bytes();
        for cut in 1..bytes.len() {
            assert_eq!(Xattrs::from_bytes(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    fn xattrs() -> impl Strategy<Value = Xattrs> {
        let name = prop_oneof!["user\\.[a-z]{1,9}", Just("system.posix_acl_access".to_string())];
        let acl = vec(any::<[u8; 8]>(), 0..6).prop_map(|entries| [vec![2, 0, 0, 0], entries.concat()].concat());
        btree_map(name, prop_oneof![vec(any::<u8>(), 0..60), acl], 0..5).prop_map(|all| {
            Xattrs(all.into_iter().filter_map(|(name, value)| Some((CString::new(name).ok()?, value))).collect())
        })
    }

    proptest! {
        #[test]
        fn any_bytes_of_a_journal_are_read_or_refused(bytes: Vec<u8>, xattrs in xattrs(), at: Index, byte: u8) {
            // Whatever comes out goes back in.
            prop_assert!(Xattrs::from_bytes(&bytes).is_none_or(|read| read.to_bytes() == bytes));
            let mut bytes = xattrs.to_bytes();
            prop_assert_eq!(Xattrs::from_bytes(&bytes), Some(xattrs));
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                prop_assert!(Xattrs::from_bytes(&bytes).is_none_or(|read| read.to_bytes() == bytes));
            }
        }

        #[test]
        fn a_mode_touches_nothing_but_a_readable_access_acl(xattrs in xattrs(), mode in 0..0o10000_u32) {
            let mut changed = xattrs.clone();
            changed.set_mode(mode);
            for ((name, before), (same, after)) in xattrs.iter().zip(changed.iter()) {
                prop_assert_eq!(name, same);
                let rewritten = name.as_bytes() == ACL_ACCESS && Acl::parse(before).is_some();
                prop_assert!(rewritten || before == after);
            }
        }
    }
}
