//! Checks that names copied from one inode of the backup are one inode on the target.
//!
//! Each name by itself can match its row when the group does not: an interrupted run and the
//! next one may have made an inode each. The rows of a group tell.

use super::Verifier;
use crate::base::path::{Name, RelPath};
use crate::engine::copy::FEWEST_AT_LIMIT;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::value::PropertyValue;
use crate::engine::groups::Groups;
use crate::engine::journal::{JournalError, Member, Reader, Seen};
use std::collections::HashMap;
use std::sync::Arc;

impl Verifier {
    /// Reports the names that are no longer linked, and marks them for the next run to link again.
    pub(crate) fn groups(&self, reader: &Reader) -> Result<(), JournalError> {
        self.run.writer.flush();
        let shares = Groups::of_shares(&self.run.mapping);
        reader.split_groups(|members| {
            let mut placed = Vec::new();
            for member in members {
                let above = reader.path_of(member.dir)?;
                let path = Name::new(&member.name).map_or(above.clone(), |name| above.join(&name));
                placed.push(Placed { share: self.share(&shares, &path), path, member });
            }
            for (kept, lost) in split(placed) {
                for Placed { path, member, .. } in lost {
                    let (expected, found) = (PropertyValue::InodeOf(kept.path.clone()), PropertyValue::OwnInode);
                    self.problem(member.target, Problem::differs(path, ProblemKind::Link, expected, found));
                    // As this verification saw it.
                    let Ok(name) = Name::new(&member.name) else { continue };
                    let ctime = reader.find(member.dir, &name)?.map(|row| row.dst_ctime).unwrap_or_default();
                    self.run.writer.bad(vec![Seen { dir: member.dir, name: member.name, ino: member.dst_ino, ctime }]);
                }
            }
            Ok(())
        })
    }

    /// The share of a path: names in different shares are copied apart. Without the backup it is not
    /// known which entries lead to the same place; then each is its own share.
    fn share(&self, shares: &Groups, path: &RelPath) -> LinkShare {
        if self.run.mapping.targets.iter().any(|target| !target.entries.is_empty()) {
            return LinkShare::Number(shares.share_of(&self.run.mapping, path));
        }
        self.owned.nearest(path).map_or(LinkShare::Number(0), |entry| LinkShare::Entry(entry.clone()))
    }
}

/// What is copied together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LinkShare {
    Number(u32),
    Entry(RelPath),
}

/// A name of a linked source inode, where it is.
#[derive(Clone, Debug)]
struct Placed {
    path: RelPath,
    share: LinkShare,
    member: Member,
}

/// Groups of which the target has more than one inode: a name of the inode that is kept, the one
/// with the most names, and the names of the others. A group that reached its file system's
/// limit of names is as it should be.
fn split(names: Vec<Placed>) -> Vec<(Placed, Vec<Placed>)> {
    let mut groups: HashMap<_, HashMap<u64, Vec<Placed>>> = HashMap::new();
    for name in names {
        let inodes = groups.entry((name.share.clone(), Arc::clone(&name.member.group))).or_default();
        inodes.entry(name.member.dst_ino).or_default().push(name);
    }
    let limit = usize::try_from(FEWEST_AT_LIMIT).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for inodes in groups.into_values() {
        let mut inodes: Vec<_> = inodes.into_values().collect();
        let (count, names) = (inodes.len(), inodes.iter().map(Vec::len).sum::<usize>());
        inodes.sort_by_key(|names| std::cmp::Reverse(names.len()));
        let mut inodes = inodes.into_iter();
        let Some(largest) = inodes.next() else { continue };
        let lost: Vec<Placed> = inodes.flatten().collect();
        // If numbers prove nothing, as many identical files as these names are links of may exist.
        let alike = |kept: &Placed| count > names.div_ceil(kept.member.nlink.max(1) as usize);
        if let Some(kept) = largest.first().filter(|kept| alike(kept) && largest.len() < limit) {
            found.push((kept.clone(), lost));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inode_with_most_names_stays() {
        let member = |group: u8, name: u8, dst_ino| Placed {
            path: RelPath::root(),
            share: LinkShare::Number(0),
            member: Member { dir: 0, name: vec![name], target: 0, dst_ino, nlink: 3, group: vec![group].into() },
        };
        let split = split(vec![member(1, b'a', 7), member(1, b'b', 8), member(1, b'c', 8), member(2, b'd', 9)]);
        let [(kept, lost)] = &split[..] else { panic!("{split:?}") };
        assert_eq!(
            (kept.member.dst_ino, lost.iter().map(|m| &m.member.name[..]).collect::<Vec<_>>()),
            (8, vec![&b"a"[..]])
        );
    }
}
