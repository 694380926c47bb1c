//! Reading the target back, against the journal or against the source.

use super::observer::Phase;
use super::open::add_left_out;
use super::shared::SharedRun;
use crate::base::path::RelPath;
use crate::engine::against::Comparison;
use crate::engine::completeness::{self, KnownStale};
use crate::engine::content::lent::LentBuffers;
use crate::engine::content::medium::{Medium, WorstMedium};
use crate::engine::context::RunContext;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::StopReason;
use crate::engine::groups::Groups;
use crate::engine::journal::{Journal, JournalError, RunKind, Unconfirmed};
use crate::engine::meta::Keep;
use crate::engine::tree::descriptors::share;
use crate::engine::verify::{MarkPolicy, Scope, Since, UsePolicy, Verifier};
use crate::sys::clock::coarse_time;
use crate::sys::root::Root;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

impl SharedRun<'_> {
    /// Begins the record of a run that only verifies.
    pub(super) fn announce_verification(&self) {
        self.announce(RunKind::Verify);
        self.enter(Phase::Verify);
        self.undeclared();
    }

    /// Verifies what was copied and not verified since, if asked to.
    pub(super) fn verify_copied(&self) -> Option<Medium> {
        if self.is_stopped() || self.options.verify.is_none() {
            return None;
        }
        self.enter(Phase::Verify);
        self.verify(&self.context, Scope::Unverified, MarkPolicy::Damage, UsePolicy::Problems)
    }

    /// Verifies everything that the journal lists.
    pub(super) fn verify_all(&self, since: Option<Since>, in_use: UsePolicy) -> Option<Medium> {
        self.verify(&self.context, since.map_or(Scope::All, Scope::Since), MarkPolicy::Damage, in_use)
    }

    /// Verifies what the journal lists; differences go to the problems of `context`.
    pub(super) fn verify(
        &self,
        context: &RunContext,
        scope: Scope,
        mend: MarkPolicy,
        in_use: UsePolicy,
    ) -> Option<Medium> {
        let verifier = Verifier { in_use, ..self.verifier(context, scope, mend)? };
        context.heed(verifier.run(&context.journal));
        let unsettled = verifier.unsettled.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some((first, entries)) = unsettled {
            context.problems.note(Note::NotAccepted(first, entries));
        }
        let left_out = verifier.left_out.into_inner();
        if left_out > 0 {
            context.problems.note(Note::SinceLeftOut(left_out));
        }
        verifier.medium.get()
    }

    /// Compares the target with the source itself.
    pub(super) fn compare(&self) -> Option<Medium> {
        let RunContext { mapping, journal, problems, stop, .. } = &self.context;
        let options = self.options;
        let verifier = self.verifier(&self.context, Scope::All, MarkPolicy::Damage)?;
        let source = match Root::open(&mapping.source) {
            Ok(source) => Arc::new(source),
            Err(errno) => {
                stop.set(StopReason::SourceUnopened(mapping.source.clone(), errno));
                return None;
            }
        };
        add_left_out(mapping, &source, problems);
        let (cross_mounts, owners) = (options.allow.cross_mounts, !options.allow.no_owner);
        let groups = Groups::of(mapping, &source, options.means(), cross_mounts, owners);
        let groups = groups.unwrap_or_else(|contradictions| {
            // A copy would be refused because of them.
            for contradiction in contradictions {
                problems.add(Problem::new(RelPath::root(), ProblemKind::Fixup, Detail::Contradiction(contradiction)));
            }
            Groups::default()
        });
        let comparison = Comparison {
            groups: &groups,
            verifier: &verifier,
            source: &source,
            keep: Keep { owner: self.owners(), atime: false },
            cross_mounts,
            means: options.means(),
        };
        self.context.heed(comparison.run(journal));
        for problem in groups.problems() {
            problems.add(problem);
        }
        verifier.medium.get()
    }

    fn verifier(&self, context: &RunContext, scope: Scope, mend: MarkPolicy) -> Option<Verifier> {
        let owned = context.heed(context.journal.declared())?;
        Some(Verifier {
            run: context.clone(),
            targets: self.names.clone(),
            owned: owned.into_iter().map(|entry| (entry.dst.clone(), entry.dst)).collect(),
            state: Some(context.heed(context.journal.directory_id())?),
            depth: self.options.depth(),
            scope,
            mend,
            in_use: UsePolicy::Problems,
            began: coarse_time(),
            unsettled: Mutex::default(),
            next_id: AtomicI64::new(context.heed(next_id(&context.journal))?),
            left_out: AtomicU64::default(),
            threads: self.options.threads,
            together: share(self.options.open_files, self.options.threads).together,
            medium: WorstMedium::default(),
            unconfirmed: Unconfirmed::of(&context.journal),
            buffers: LentBuffers::default(),
            readers: Mutex::default(),
        })
    }

    /// Reports what the rows do not tell: an incomplete copy.
    pub(super) fn incomplete(&self, stale: KnownStale) {
        let RunContext { mapping, journal, problems, .. } = &self.context;
        self.context.heed(completeness::report(mapping, &self.names, journal, problems, stale));
    }

    /// Reports that nothing was verified, unless something else says why.
    pub(super) fn nothing_verified(&self) {
        if !self.is_stopped() {
            self.context.heed(completeness::nothing(&self.context.journal, &self.context.problems));
        }
    }
}

/// The first id that no directory has.
fn next_id(journal: &Journal) -> Result<i64, JournalError> {
    Ok(journal.reader()?.last_id()? + 1)
}
