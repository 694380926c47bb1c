//! `--accept` of what its owner set on an entry whose content is as recorded: owner, mode, ACLs, other attributes,
//! flags, and that names of one inode have parted.

use super::Verifier;
use super::place::{Accepting, Place};
use crate::base::clock;
use crate::engine::content::medium::ReadError;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{AcceptedAs, AcceptedRow, Row, RowChange};
use crate::engine::meta::{Attributes, Keep, Owners, Wanted};
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use rustix::fs::OFlags;

/// What tells nothing about the content.
pub(super) const ATTRIBUTES: [ProblemKind; 9] = [
    ProblemKind::Owner,
    ProblemKind::Group,
    ProblemKind::Mode,
    ProblemKind::Mtime,
    ProblemKind::Xattr,
    ProblemKind::Acl,
    ProblemKind::Flags,
    ProblemKind::Project,
    ProblemKind::Link,
];

/// True for differences that somebody made: they moved the ctime, and the content was read and is as recorded.
pub(super) fn are_attributes(standing: RowChange, found: &[Problem]) -> bool {
    standing == RowChange::Touched && found.iter().all(|problem| ATTRIBUTES.contains(&problem.kind))
}

impl Verifier {
    /// Accepts what the entry of `row`, which looks like `stat`, has of attributes. False if it is left as it was.
    pub(super) fn accept_attributes(&self, at: &Place<'_>, row: &Row, stat: &Stat) -> bool {
        let Ok(dir) = at.dir else { return false };
        let at = Accepting { dir: (dir, row.dir), path: at.path, name: at.name, target: row.target };
        if stat.dev != dir.disk.dev {
            return false;
        }
        match self.wanted_as_is(&at, row, stat) {
            Ok(Some(wanted)) => {
                let row = row.clone().of_owner_with(wanted, stat, clock::now().unix());
                self.take(dir.dir, row.target, AcceptedRow { what: AcceptedAs::Content, row });
                self.run.in_use.accepted();
                true
            }
            Ok(None) => {
                self.leave(at.path);
                false
            }
            Err(ReadError::Stopped) => false,
            Err(ReadError::Failed(operation, errno)) => {
                self.problem(at.target, Problem::failed(at.path.clone(), ProblemKind::Io, operation, errno));
                false
            }
        }
    }

    /// What it has; `None` for what changes meanwhile.
    fn wanted_as_is(&self, at: &Accepting<'_>, row: &Row, stat: &Stat) -> Result<Option<Wanted>, ReadError> {
        if !self.is_settled(stat) {
            return Ok(None);
        }
        let (attributes, owner) = (self.attributes_of(at, stat)?, row.wanted.owner);
        if !at.dir.0.dir.stat_at(at.name).is_ok_and(|now| now.unchanged_since(stat)) {
            return Ok(None);
        }
        let owner = if owner.is_some() { Owners::Kept } else { Owners::Left };
        let wanted = Wanted::from_source(stat, attributes, &Keep { owner, atime: false });
        // What the file system cannot hold of the copy is lost as before.
        Ok(Some(Wanted { lost: row.wanted.lost, given_up: row.wanted.given_up, ..wanted }))
    }

    /// Reads the attributes of what is under a name.
    pub(super) fn attributes_of(&self, at: &Accepting<'_>, stat: &Stat) -> Result<Attributes, ReadError> {
        let (dir, name) = (at.dir.0.dir, at.name);
        let fd = match stat.kind {
            Kind::File => dir.open_file(name, OFlags::empty()),
            Kind::Directory => dir.open_dir(name).map(TargetDir::into_fd),
            _ => dir.open_handle(name),
        };
        let fd = fd.map_err(|errno| ReadError::Failed(Operation::OpenTarget, errno))?;
        let holder =
            if matches!(stat.kind, Kind::File | Kind::Directory) { Holder::file(&fd) } else { Holder::handle(&fd) };
        let (attributes, unread) = Attributes::read(holder, stat);
        match unread.into_iter().find(|unread| !unread.is_unknown()) {
            Some(unread) => Err(ReadError::Failed(unread.operation, unread.errno)),
            None => Ok(attributes),
        }
    }
}
