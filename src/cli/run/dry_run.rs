//! What a run would do, without doing it.

use super::job::Job;
use crate::base::human;
use crate::cli::exit::Exit;
use crate::cli::output::{fail, print_text};
use crate::cli::words::problem::message;
use crate::cli::words::{journal, note};
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::stop::Stop;
use crate::engine::journal::JournalError;
use crate::engine::mapping::model::Mapping;
use crate::engine::preflight::{self, Cleared, ClearedParts, Purpose, Refusals};
use crate::engine::run::Options;
use crate::engine::verify;
use crate::plan;

/// What a run would copy, and what it would keep because somebody has changed it.
pub(super) fn dry_run(job: &Job, mapping: Mapping) -> Result<Exit, Refusals> {
    let Options { allow, look, .. } = &job.options;
    let cleared = preflight::check(mapping, allow, job.options.means(), Purpose::DryRun, *look)?;
    let ClearedParts { mapping, source, notes, .. } = cleared.parts();
    let mut out = plan::table(mapping);
    out.push_str("\nwould copy:\n");
    for (target, survey) in mapping.targets.iter().zip(cleared.surveys()) {
        out.push_str(&format!(
            "  {:<10} {:>9} entries, {:>9} files, {} ({} allocated)\n",
            target.name,
            human::count(survey.entries),
            human::count(survey.files),
            human::bytes(survey.bytes),
            human::bytes(survey.allocated)
        ));
    }
    for problem in preflight::left_out(mapping, source) {
        out.push_str(&format!("problem: {}: {}\n", problem.path, message(&problem)));
    }
    match changed_since(job, &cleared) {
        Ok(words) => out.push_str(&words),
        Err(error) => return Ok(fail(&journal::words(&error), Exit::Refused)),
    }
    notes.iter().for_each(|note| out.push_str(&format!("note: {}\n", note::words(note))));
    out.push_str("dry run: nothing was written\n");
    Ok(print_text(&out))
}

/// How many entries a list names; the others are counted.
const NAMED: u64 = 50;

fn changed_since(job: &Job, cleared: &Cleared) -> Result<String, JournalError> {
    let Some(reader) = cleared.parts().journal.read()?.filter(|_| !job.options.allow.restart) else {
        return Ok(String::new());
    };
    let (mut listed, mut count) = (String::new(), 0);
    let rate_limit = RateLimit::new(Stop::default(), job.options.rate);
    verify::since_copied(&cleared.parts().mapping.root, &reader, &rate_limit, |problem| {
        count += 1;
        if count <= NAMED {
            let kind = problem.kind.word();
            listed.push_str(&format!("  {}: {kind}: {}\n", problem.path, message(&problem)));
        }
    })?;
    if count == 0 {
        return Ok(String::new());
    }
    if count > NAMED {
        listed.push_str(&format!("  … and {} more\n", human::count(count - NAMED)));
    }
    let heading = if job.options.allow.overwrite {
        "changed on the target since it was copied; of these, changed-target would be replaced:"
    } else {
        "changed on the target since it was copied, and would stay so:"
    };
    Ok(format!("\n{heading}\n{listed}"))
}
