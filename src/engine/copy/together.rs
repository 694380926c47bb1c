//! Small files of a directory that the journal knows nothing of: opened one after another, then
//! read by one call, then copied. The disk sees all of these reads at once.

use super::data::is_direct;
use super::entry::{CopyEntry, Override};
use super::job::OpenSource;
use super::leaf::Leaves;
use super::open_dir::OpenDir;
use super::settled::{TICK, until_settled};
use crate::base::path::Name;
use crate::engine::content::read_ahead::{LARGEST, ReadAhead};
use crate::engine::journal::RowAnswer;
use crate::engine::mapping::index::is_barred;
use crate::sys::file;
use crate::sys::read_batch::{FILES, FileRequest};
use crate::sys::stat::{Kind, Stat};
use rustix::fd::AsFd;
use std::sync::Arc;

impl Leaves {
    /// Copies the names of a directory that has no rows, several files at a time if `many` may be open.
    pub(super) fn copy_new(&self, dir: &Arc<OpenDir>, mut names: impl Iterator<Item = (Name, Kind)>, many: usize) {
        let many = many.clamp(1, FILES);
        loop {
            let batch: Vec<_> = names.by_ref().take(many).collect();
            if batch.is_empty() {
                return;
            }
            self.copy_batch(dir, &batch);
        }
    }

    fn copy_batch(&self, dir: &Arc<OpenDir>, batch: &[(Name, Kind)]) {
        let is_file = |&&(_, kind): &&(Name, Kind)| kind == Kind::File;
        let mut ahead = if batch.iter().filter(is_file).count() > 1 { ReadAhead::lend() } else { None };
        let Some(ahead) = &mut ahead else {
            let names = batch.iter().take_while(|_| !self.cx.run.stop.is_set());
            return names.for_each(|(name, kind)| self.copy(&new_entry(dir, name), *kind));
        };
        let open = |(name, kind): &(Name, Kind)| match kind {
            Kind::File => self.source.open_file(&new_entry(dir, name)),
            _ => None,
        };
        let opened: Vec<_> = batch.iter().map(open).collect();
        let requests: Vec<_> = opened.iter().map(|source| self.request(source.as_ref()?)).collect();
        let direct: Vec<_> = requests.iter().map(Option::is_some).collect();
        let read = ahead.read(&requests);
        drop(requests);
        for (((name, kind), source), (direct, ahead)) in batch.iter().zip(opened).zip(direct.into_iter().zip(read)) {
            if self.cx.run.stop.is_set() {
                return;
            }
            match (kind, source) {
                (Kind::File, Some(source)) => {
                    self.copy_opened(&new_entry(dir, name), &OpenSource { ahead, direct, ..source }, None);
                }
                // Already reported.
                (Kind::File, None) => {}
                (kind, _) => self.copy(&new_entry(dir, name), *kind),
            }
        }
    }

    /// The request for a file that is to be read ahead, which then bypasses the page cache.
    fn request<'f>(&self, source: &'f OpenSource<'_>) -> Option<FileRequest<'f>> {
        let size = self.small_size(&source.stat, source)?;
        file::set_direct(&source.fd, true).ok()?;
        Some(FileRequest { fd: source.fd.as_fd(), size })
    }

    /// The size of a file whose bytes, if they are read before its attributes and with nothing but its
    /// stat before, are what a copy would read: one that has no holes, no other names, and has not just
    /// changed, on a file system whose answers are never old.
    fn small_size(&self, stat: &Stat, source: &OpenSource<'_>) -> Option<usize> {
        let size = usize::try_from(stat.size).ok().filter(|size| (1..=LARGEST).contains(size))?;
        let plain = stat.nlink == 1 && stat.allocated >= stat.size && is_direct(stat.dio_align);
        let settled = until_settled(stat, TICK).is_none();
        let current = || !self.source.drivers.of(stat.dev, &source.fd).may_cache();
        (plain && settled && !is_barred(stat, false) && current()).then_some(size)
    }
}

fn new_entry<'a>(dir: &'a Arc<OpenDir>, name: &'a Name) -> CopyEntry<'a> {
    CopyEntry { dir, name, own: Override::default(), reader: None, recorded: &RowAnswer::Unasked }
}
