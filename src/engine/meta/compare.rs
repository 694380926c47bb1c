//! Compares what an inode has with what it is to have.

use super::wanted::Wanted;
use super::xattrs::Xattrs;
use crate::base::path::RelPath;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::events::value::PropertyValue;
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat};

/// What an inode has. What was not read is `None` and is not compared.
#[derive(Clone, Copy, Debug)]
pub struct Actual<'a> {
    /// Its stat.
    pub stat: &'a Stat,
    /// Extended attributes.
    pub xattrs: Option<&'a Xattrs>,
    /// Inode flags.
    pub flags: Option<Flags>,
    /// Project id.
    pub project: Option<u32>,
}

/// Every attribute of `actual` that differs from `wanted`. Flags inherited from the target's
/// directory do not count.
#[must_use]
pub fn compare(path: &RelPath, wanted: &Wanted, actual: Actual<'_>) -> Vec<Problem> {
    let stat = actual.stat;
    if stat.kind != wanted.kind {
        return vec![Problem::differs(path.clone(), ProblemKind::Type, wanted.kind, stat.kind)];
    }
    let mut found = Vec::new();
    let mut differs = |kind, expected: String, actual: String| {
        if expected != actual {
            found.push(Problem::differs(path.clone(), kind, expected, actual));
        }
    };
    if let Some((uid, gid)) = wanted.owner {
        differs(ProblemKind::Owner, uid.to_string(), stat.uid.to_string());
        differs(ProblemKind::Group, gid.to_string(), stat.gid.to_string());
    }
    // A symlink's mode is 0777 everywhere and cannot be set.
    if wanted.kind != Kind::Symlink {
        differs(ProblemKind::Mode, format!("{:04o}", wanted.mode), format!("{:04o}", stat.mode));
    }
    if let Some(mtime) = wanted.mtime {
        differs(ProblemKind::Mtime, mtime.to_string(), stat.mtime.to_string());
    }
    if let Some(project) = actual.project.filter(|_| wanted.project != 0) {
        differs(ProblemKind::Project, wanted.project.to_string(), project.to_string());
    }
    if let Some(flags) = actual.flags {
        found.extend(wanted.flags.difference(flags).each().map(|flag| {
            let flag = flag.to_string();
            Problem::differs(path.clone(), ProblemKind::Flags, flag.clone(), PropertyValue::None).about(flag.as_bytes())
        }));
    }
    // Nothing inherits these, and nothing is replaced or removed under them.
    let kept = stat.sticky_flags().difference(wanted.flags.union(wanted.given_up));
    found.extend(kept.each().map(|flag| {
        let flag = flag.to_string();
        Problem::differs(path.clone(), ProblemKind::Flags, PropertyValue::None, flag.clone()).about(flag.as_bytes())
    }));
    if let (Some(wanted), Some(actual)) = (&wanted.xattrs, actual.xattrs) {
        found.extend(compare_xattrs(path, wanted, actual));
    }
    found
}

/// True for an attribute that the system itself gives an inode: a label or a checksum of a security
/// module, or what btrfs keeps its flags in.
fn is_of_system(name: &[u8]) -> bool {
    const SYSTEM: [&[u8]; 7] = [
        b"security.selinux",
        b"security.SMACK64",
        b"security.apparmor",
        b"security.ima",
        b"security.evm",
        b"security.sehash",
        b"btrfs.",
    ];
    SYSTEM.iter().any(|system| name.starts_with(system))
}

fn compare_xattrs(path: &RelPath, wanted: &Xattrs, actual: &Xattrs) -> Vec<Problem> {
    let shown = |value: Option<&[u8]>| match value {
        None => PropertyValue::None,
        Some(value) => PropertyValue::Attribute(value.len(), blake3::hash(value).to_hex()[..16].to_string()),
    };
    let names = wanted.iter().map(|(n, _)| n).chain(actual.iter().map(|(n, _)| n).filter(|n| {
        // What the target's security module, or btrfs for its flags, put there is not a loss.
        wanted.get(n.as_bytes()).is_none() && !is_of_system(n.as_bytes())
    }));
    let mut found = Vec::new();
    for name in names.map(|n| n.as_bytes()) {
        let (expected, value) = (wanted.get(name), actual.get(name));
        if expected != value {
            let kind = Unpreserved::of_xattr(name).kind();
            found.push(Problem::differs(path.clone(), kind, shown(expected), shown(value)).about(name));
        }
    }
    found
}
