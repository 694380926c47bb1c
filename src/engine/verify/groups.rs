//! Checks that names copied from one inode of the backup are one inode on the target.
//!
//! Each name by itself can match its row when the group does not: an interrupted run and the
//! next one may have made an inode each. The rows of a group tell.

use super::Verifier;
use crate::base::path::{Name, RelPath};
use crate::engine::compare::links::{NamesByInode, apart};
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
            let mut groups: HashMap<_, NamesByInode<Placed>> = HashMap::new();
            for member in members {
                let above = reader.path_of(member.dir)?;
                let path = Name::new(&member.name).map_or(above.clone(), |name| above.join(&name));
                let group = groups.entry((self.share(&shares, &path), Arc::clone(&member.group))).or_default();
                group.add(member.dst_ino, Placed { path, member });
            }
            for (kept, lost) in groups.into_values().filter_map(|group| group.split(|name| name.member.nlink)) {
                for Placed { path, member } in lost {
                    self.problem(member.target, apart(path, kept.path.clone()));
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
#[derive(PartialEq, Eq, Hash)]
enum LinkShare {
    Number(u32),
    Entry(RelPath),
}

/// A name of a linked source inode, where it is.
#[derive(Debug)]
struct Placed {
    path: RelPath,
    member: Member,
}
