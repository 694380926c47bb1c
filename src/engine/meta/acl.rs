//! POSIX ACLs as the kernel stores them in extended attributes
//! (linux/posix_acl_xattr.h): a version, then entries of tag, permissions and id,
//! all little endian.

use crate::engine::mapping::model::IdKind;

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// One entry of an ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AclEntry {
    tag: u16,
    perm: u16,
    id: u32,
}

/// An access or default ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl(Vec<AclEntry>);

impl Acl {
    /// Parses the attribute's value; `None` when it is malformed.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (version, entries) = value.split_first_chunk::<4>()?;
        let (entries, rest) = entries.as_chunks::<8>();
        if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
            return None;
        }
        Some(Self(
            entries
                .iter()
                .map(|e| AclEntry {
                    tag: u16::from_le_bytes([e[0], e[1]]),
                    perm: u16::from_le_bytes([e[2], e[3]]),
                    id: u32::from_le_bytes([e[4], e[5], e[6], e[7]]),
                })
                .collect(),
        ))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            out.extend(entry.tag.to_le_bytes());
            out.extend(entry.perm.to_le_bytes());
            out.extend(entry.id.to_le_bytes());
        }
        out
    }

    /// What chmod(2) makes of an access ACL: the owner, the mask (without one the
    /// owning group) and the others get the mode's bits (acl(5)).
    pub(super) fn set_mode(&mut self, mode: u32) {
        let has_mask = self.0.iter().any(|e| e.tag == MASK);
        for entry in &mut self.0 {
            let shift = match entry.tag {
                USER_OBJ => 6,
                MASK => 3,
                GROUP_OBJ if !has_mask => 3,
                OTHER => 0,
                _ => continue,
            };
            entry.perm = (mode >> shift & 7) as u16;
        }
    }

    /// True when it has an entry for a user or group by number.
    pub(super) fn has_names(&self) -> bool {
        self.0.iter().any(|e| [USER, GROUP].contains(&e.tag))
    }

    /// Renumbers the named users and groups and sorts their entries by number, as acl_valid(3)
    /// demands.
    pub(super) fn renumber(&mut self, mut number: impl FnMut(IdKind, u32) -> u32) {
        let before = self.0.clone();
        for entry in &mut self.0 {
            match entry.tag {
                USER => entry.id = number(IdKind::User, entry.id),
                GROUP => entry.id = number(IdKind::Group, entry.id),
                _ => {}
            }
        }
        if self.0 != before {
            self.0.sort_by_key(|e| (e.tag, e.id));
        }
    }

    /// The bits of `mode` that allow nobody more than this ACL, for an inode that is to be without
    /// it: a named entry may allow less than the group or the others have.
    pub(super) fn mode_without(&self, mode: u32) -> u32 {
        let all =
            |tags: &[u16]| self.0.iter().filter(|e| tags.contains(&e.tag)).fold(7, |bits, e| bits & u32::from(e.perm));
        let named = self.0.iter().any(|e| [USER, GROUP].contains(&e.tag));
        let group = all(&[GROUP_OBJ, MASK, USER]);
        let others = all(&[OTHER]) & if named { all(&[MASK, USER, GROUP]) } else { 7 };
        mode & (0o7700 | group << 3 | others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acl() -> impl Strategy<Value = Acl> {
        let entry = (prop::sample::select(vec![1_u16, 2, 4, 8, 16, 32]), 0_u16..8, any::<u32>());
        prop::collection::vec(entry.prop_map(|(tag, perm, id)| AclEntry { tag, perm, id }), 0..40).prop_map(Acl)
    }

    #[test]
    fn a_mode_without_its_acl_gives_nobody_more() {
        let entry = |tag, perm| AclEntry { tag, perm, id: 7 };
        // user:7:rw- makes the group's bits of the mode rw-, but the group itself has r--.
        let wide = [entry(USER_OBJ, 6), entry(USER, 6), entry(GROUP_OBJ, 4), entry(MASK, 6), entry(OTHER, 0)];
        assert_eq!(Acl(wide.to_vec()).mode_without(0o660), 0o640);
        // group:7:--- keeps a group out that the others' bits would let in.
        let shut = [entry(USER_OBJ, 6), entry(GROUP_OBJ, 4), entry(GROUP, 0), entry(MASK, 4), entry(OTHER, 4)];
        assert_eq!(Acl(shut.to_vec()).mode_without(0o644), 0o640);
    }

    #[test]
    fn names_get_their_numbers_and_others_stay() {
        let entry = |tag, id| AclEntry { tag, perm: 5, id };
        let mut acl = Acl(vec![entry(USER_OBJ, 7), entry(USER, 8), entry(USER, 9), entry(GROUP, 8), entry(OTHER, 8)]);
        acl.renumber(|kind, id| if (kind, id) == (IdKind::User, 8) { 20 } else { id });
        let after = [entry(USER_OBJ, 7), entry(USER, 9), entry(USER, 20), entry(GROUP, 8), entry(OTHER, 8)];
        assert_eq!(acl, Acl(after.to_vec()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(acl) = Acl::parse(&bytes) {
                prop_assert_eq!(acl.to_bytes(), bytes);
            }
        }

        #[test]
        fn the_stored_form_round_trips(acl in acl()) {
            prop_assert_eq!(Acl::parse(&acl.to_bytes()), Some(acl));
        }

        #[test]
        fn a_mode_changes_the_three_classes_and_no_name(acl in acl(), mode in 0_u32..0o10000) {
            let mut changed = acl.clone();
            changed.set_mode(mode);
            let has_mask = acl.0.iter().any(|e| e.tag == MASK);
            for (before, after) in acl.0.iter().zip(&changed.0) {
                prop_assert_eq!((before.tag, before.id), (after.tag, after.id));
                let expected = match before.tag {
                    USER_OBJ => mode >> 6 & 7,
                    MASK => mode >> 3 & 7,
                    GROUP_OBJ if !has_mask => mode >> 3 & 7,
                    OTHER => mode & 7,
                    _ => before.perm.into(),
                };
                prop_assert_eq!(u32::from(after.perm), expected);
            }
        }
    }
}
