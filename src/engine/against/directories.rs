//! Directories: those that the walk enters, and those that a run makes above entries.

use super::expect::BackupEntry;
use super::walk::{ComparedDir, ComparisonWalk};
use crate::base::path::{Name, RelPath};
use crate::engine::copy::parents::source_of_parent;
use crate::engine::events::detail::List;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::SourceId;
use crate::engine::mapping::explicit::{Covering, Explicit};
use crate::engine::mapping::index::{WayStep, source_on_the_way};
use crate::engine::mapping::layout::DstNode;
use crate::engine::meta::Wanted;
use crate::engine::selection::{DeclaredBelow, PlanOverrides};
use crate::engine::stale::{StaleDirectory, is_there};
use crate::engine::tree::scheduler::BATCH;
use crate::engine::verify::Listed;
use crate::engine::verify::extra::ExtraNames;
use crate::sys::Errno;
use crate::sys::dir::{TargetDir, open_target, read_batches};
use crate::sys::xattr::Holder;
use std::collections::HashSet;

impl ComparisonWalk<'_> {
    /// Compares the metadata of a directory; returns its id in the journal.
    pub(super) fn directory(&self, seen: &BackupEntry<'_>, above: &RelPath, dst: &TargetDir) -> Option<i64> {
        let row = self.expected(seen, dst);
        self.look(dst, above, seen.name, row);
        self.recorded(seen.dir, seen.name).and_then(|row| row.id)
    }

    /// The directories between a target's `to` and its entries.
    pub(super) fn parents(&self, layout: &DstNode, above: &RelPath) {
        for (name, child) in &layout.children {
            // Below an entry they belong to it.
            if child.entry.is_some() {
                continue;
            }
            let path = above.join(name);
            if let Some(target) = child.parent_of {
                self.parent(target, &path, None);
            }
            self.parents(child, &path);
        }
    }

    fn parent(&self, target: usize, path: &RelPath, src: Option<&RelPath>) {
        let (Some(above), Some(name)) = (path.parent(), path.last()) else { return };
        let (above, name) = (&above, &name);
        let plan = &self.verifier().run.mapping.targets[target];
        let target = u32::try_from(target).unwrap_or(u32::MAX);
        let owner = self.of.keep.owner.are_kept().then_some((plan.parents.uid, plan.parents.gid));
        let mut plain = Wanted::plain_directory(plan.parents.mode, owner);
        let dst = match open_target(&self.verifier().run.mapping.root, above) {
            Ok(dst) => dst,
            Err(errno) => return self.not_there(target, path, errno),
        };
        let covering = &Covering::of(&self.verifier().run.mapping, above);
        let row = match source_of_parent(self.of.source, plan, path, src) {
            Ok(Some((_, stat))) if self.is_parent_in_place(&dst, above, name, &stat) => return,
            Ok(Some((fd, stat))) => {
                let (dir, holder) = (self.id_of(above), Holder::file(&fd));
                let (share, own) = (0, Explicit::default());
                let (near, is_mount_point, stat) = (None, false, &stat);
                let seen =
                    BackupEntry { name, path, target, dir, share, stat, holder, near, own, covering, is_mount_point };
                self.expected(&seen, &dst)
            }
            Ok(None) => {
                let nothing = Explicit::default();
                let overrides = PlanOverrides { own: nothing, fixups: (covering, name), group: nothing };
                overrides.put_over(&mut plain, &self.verifier().run.mapping);
                // For such a parent there is nothing but what an earlier run recorded.
                match self.recorded(self.id_of(above), name) {
                    Some(mut row) => {
                        plain.give_up(&row.wanted);
                        row.wanted = plain;
                        row
                    }
                    None => return,
                }
            }
            Err(errno) => return self.unreadable(target, path.clone(), Operation::StatParent, errno),
        };
        self.look(&dst, above, name, row);
    }

    /// Compares a directory that the walk does not enter, and those between it and the entries below,
    /// with what a copier would make.
    pub(super) fn on_the_way(&self, DeclaredBelow { entry: (t, e), at }: DeclaredBelow, above: &RelPath, name: &Name) {
        let plan = &self.verifier().run.mapping;
        let path = above.join(name);
        let src = source_on_the_way(&plan.targets[t].entries[e], &path);
        self.parent(t, &path, Some(&src));
        for (name, child, step) in self.index.steps(plan, at, &path) {
            if let WayStep::Way(entry) = step {
                self.on_the_way(DeclaredBelow { entry, at: child }, &path, name);
            }
        }
    }

    /// Reports what earlier runs copied into the directory, whose source has the names `known`, and the
    /// source no longer has.
    pub(super) fn stale(&self, dir: &ComparedDir, known: &HashSet<Name>) {
        let Some(id) = dir.id else { return };
        let verifier = self.verifier();
        let plan = &*verifier.run.mapping;
        let source = dir.src.open().and_then(|src| {
            let stat = src.stat()?;
            Ok(SourceId::of(&stat, &self.volumes.of(stat.dev, || Ok::<_, Errno>(&*src), |_, _| {})))
        });
        let prior = verifier.ask(|reader| reader.directory(id)).flatten();
        let (path, is_empty) = (&dir.path, known.is_empty());
        let searched = StaleDirectory {
            id,
            path,
            target: dir.target,
            is_empty,
            is_in_place: false,
            source: source.ok(),
            prior: prior.as_ref(),
        };
        let found = verifier
            .ask(|reader| self.stale.in_directory((plan, &self.index), reader, &searched, |name| known.contains(name)));
        for problem in found.into_iter().flatten().filter(|problem| is_there(plan, &problem.path)) {
            verifier.problem(dir.target, problem);
        }
    }

    /// Reports names of the target's directory that neither the backup nor the plan has there.
    pub(super) fn extra(&self, dir: &ComparedDir, dst: &TargetDir, known: &HashSet<Name>) {
        let verifier = self.verifier();
        let mut found = ExtraNames::default();
        let read = dst.stat().and_then(|stat| {
            let listed = Listed { dir: dst, stat: &stat, path: &dir.path, target: dir.target };
            read_batches(dst, BATCH, |batch| {
                for entry in batch {
                    // What has a row was copied: it is stale, or left out by a pattern.
                    let ours = known.contains(&entry.name)
                        || self.index.leads_to_entry(&dir.path.join(&entry.name))
                        || self.recorded(dir.id, &entry.name).is_some()
                        || self.is_accepted_there(dir, &entry.name);
                    if !ours && verifier.is_unplanned(&listed, &entry) {
                        found.add(entry.name);
                    }
                }
                true
            })
        });
        match read {
            Ok(()) => found.problems(&dir.path, List::Backup).into_iter().for_each(|p| verifier.problem(dir.target, p)),
            Err(errno) => {
                let problem = Problem::failed(dir.path.clone(), ProblemKind::Io, Operation::ReadDirectory, errno);
                verifier.problem(dir.target, problem);
            }
        }
    }
}
