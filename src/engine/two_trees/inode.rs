//! Two inodes with the same name: everything about them but their content.

use super::pair::{HeldInode, PairWalk};
use crate::base::path::{RelPath, escape};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::events::value::PropertyValue;
use crate::engine::meta::Attributes;
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat};
use std::collections::BTreeSet;

/// The set-ID bits of a file that depend on an owner or group which the other one does not have.
fn foreign_rights(one: &Stat, two: &Stat) -> u32 {
    let bit = |differs: bool, bit: u32| if differs { bit } else { 0 };
    bit(one.uid != two.uid, 0o4000) | bit(one.gid != two.gid, 0o2000)
}

impl PairWalk<'_> {
    /// Owner, mode, time and attributes of two inodes of the same type, both ways.
    pub(super) fn metadata(&self, path: &RelPath, one: HeldInode<'_>, two: HeldInode<'_>) {
        let differs = |kind, expected: String, found: String| {
            if expected != found {
                self.problem(Problem::differs(path.clone(), kind, expected, found));
            }
        };
        let (a, b) = (one.stat, two.stat);
        let no_owner = self.options.no_owner;
        if !no_owner {
            differs(ProblemKind::Owner, a.uid.to_string(), b.uid.to_string());
            differs(ProblemKind::Group, a.gid.to_string(), b.gid.to_string());
        }
        // A symlink's mode cannot be set.
        if a.kind != Kind::Symlink {
            // A copy without owners lends out nobody's rights.
            let ignored = if no_owner && a.kind == Kind::File { foreign_rights(a, b) } else { 0 };
            let shown = |stat: &Stat| format!("{:04o}", stat.mode & !ignored);
            differs(ProblemKind::Mode, shown(a), shown(b));
        }
        differs(ProblemKind::Mtime, a.mtime.to_string(), b.mtime.to_string());
        if matches!(a.kind, Kind::CharDevice | Kind::BlockDevice) && a.rdev != b.rdev {
            let device = PropertyValue::Device;
            self.problem(Problem::differs(path.clone(), ProblemKind::Type, device(a.rdev), device(b.rdev)));
        }
        self.attributes(path, &self.read(path, one), &self.read(path, two));
    }

    fn read(&self, path: &RelPath, HeldInode { holder, stat }: HeldInode<'_>) -> Attributes {
        let (attributes, unread) = Attributes::read(holder, stat);
        for unread in unread.into_iter().filter(|unread| !unread.is_unknown()) {
            self.unreadable(path, unread.operation, unread.errno);
        }
        attributes
    }

    fn attributes(&self, path: &RelPath, one: &Attributes, two: &Attributes) {
        let shown = |value: Option<&[u8]>| match value {
            None => PropertyValue::None,
            Some(value) => PropertyValue::Attribute(value.len(), blake3::hash(value).to_hex()[..16].to_string()),
        };
        let names: BTreeSet<&[u8]> =
            one.xattrs.iter().chain(two.xattrs.iter()).map(|(name, _)| name.as_bytes()).collect();
        for name in names {
            let (expected, found) = (one.xattrs.get(name), two.xattrs.get(name));
            if expected != found {
                let kind = Unpreserved::of_xattr(name).kind();
                self.problem(Problem::differs(path.clone(), kind, shown(expected), shown(found)).about(name));
            }
        }
        let flags = |flags: Flags, other: Flags| flags.difference(other).each().map(|flag| flag.to_string());
        let flag = |flag: String, expected, found| {
            let problem = Problem::differs(path.clone(), ProblemKind::Flags, expected, found);
            self.problem(problem.about(flag.as_bytes()));
        };
        for lost in flags(one.flags, two.flags) {
            flag(lost.clone(), PropertyValue::Plain(lost), PropertyValue::None);
        }
        for more in flags(two.flags, one.flags) {
            flag(more.clone(), PropertyValue::None, PropertyValue::Plain(more));
        }
        if one.project != two.project {
            let (expected, found) = (one.project.to_string(), two.project.to_string());
            self.problem(Problem::differs(path.clone(), ProblemKind::Project, expected, found));
        }
    }

    /// The texts of two symlinks.
    pub(super) fn texts(&self, path: &RelPath, one: &[u8], two: &[u8]) {
        if one != two {
            let shown = |text| escape(text).into_owned();
            self.problem(Problem::differs(path.clone(), ProblemKind::Target, shown(one), shown(two)));
        }
    }
}
