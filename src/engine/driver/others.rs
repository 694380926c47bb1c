//! Asks more inodes of a file system the question that one has answered with an error.

use crate::base::path::{Name, RelPath};
use crate::engine::meta::Question;
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, SourceDir, read_batches};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use rustix::fs::OFlags;
use std::collections::VecDeque;

/// How many other inodes are asked before an error counts for all.
const ASKED: usize = 8;
/// How many directories and entries are searched for them.
const DIRECTORIES: usize = 32;
const ENTRIES: usize = 1024;

/// How other inodes of the same type and file system answer a question.
#[derive(Debug, Default)]
pub(super) struct Others {
    pub(super) answered: bool,
    pub(super) refused: Vec<Errno>,
}

impl Others {
    /// Asks inodes in and below `places`, other than `stat`.
    pub(super) fn ask<'a>(places: impl Iterator<Item = &'a Root>, question: Question, stat: &Stat) -> Self {
        let mut others = Self::default();
        let open = |root: &Root| root.open_in(&RelPath::root(), OFlags::RDONLY | OFlags::DIRECTORY);
        let mut queue: VecDeque<SourceDir> =
            places.filter_map(|root| open(root).ok()).map(SourceDir::from_fd).collect();
        let (mut opened, mut looked) = (queue.len(), 0);
        while let Some(dir) = queue.pop_front() {
            others.hear(question, stat, Holder::file(&dir));
            // An unreadable directory offers no other inodes.
            read_batches(&dir, 64, |batch| {
                for DirEntry { name, kind, .. } in batch {
                    looked += 1;
                    let kind = kind.or_else(|| dir.stat_at(&name).ok().map(|stat| stat.kind));
                    if kind == Some(Kind::Directory) && opened < DIRECTORIES {
                        opened += 1;
                        queue.extend(dir.open_dir(&name));
                    } else if kind == Some(stat.kind) && stat.kind != Kind::Directory {
                        others.hear_of(&dir, &name, question, stat);
                    }
                }
                looked < ENTRIES && !others.are_enough()
            })
            .ok();
            if looked >= ENTRIES || others.are_enough() {
                break;
            }
        }
        others
    }

    fn hear_of(&mut self, dir: &SourceDir, name: &Name, question: Question, stat: &Stat) {
        if stat.kind == Kind::File {
            if let Ok(file) = dir.open_file(name) {
                self.hear(question, stat, Holder::file(&file));
            }
        } else if let Ok(handle) = dir.open_handle(name) {
            self.hear(question, stat, Holder::handle(&handle));
        }
    }

    fn hear(&mut self, question: Question, stat: &Stat, holder: Holder<'_>) {
        let is_other = |other: Stat| other.dev == stat.dev && other.kind == stat.kind && other.ino != stat.ino;
        if self.are_enough() || !stat_fd(holder.fd()).is_ok_and(is_other) {
            return;
        }
        match question.ask(holder) {
            Some(Ok(())) => self.answered = true,
            Some(Err(errno)) => self.refused.push(errno),
            None => {}
        }
    }

    fn are_enough(&self) -> bool {
        self.answered || self.refused.len() >= ASKED
    }
}
