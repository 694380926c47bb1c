//! What a run would do, without doing it.

use super::job::Job;
use super::table::table;
use crate::base::human;
use crate::base::json::{exact, text};
use crate::cli::exit::Exit;
use crate::cli::output::{fail, print_text};
use crate::cli::words::problem::message;
use crate::cli::words::{journal, note, stop};
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::stop::Stop;
use crate::engine::journal::JournalError;
use crate::engine::mapping::model::Mapping;
use crate::engine::meta::{Keep, Owners};
use crate::engine::preflight::{self, Cleared, ClearedParts, Purpose, Refusals};
use crate::engine::preview::{self, Foreseen, ForeseenItem, ItemCounts, PreviewError, PreviewOptions, TargetCounts};
use crate::engine::run::Options;
use crate::engine::verify;
use crate::sys::output::Existing;
use crate::sys::{errno_words, output};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// What a run would copy, and what it would keep because somebody has changed it.
pub(super) fn dry_run(job: &Job, mapping: Mapping) -> Result<Exit, Refusals> {
    let Options { allow, look, .. } = &job.options;
    let cleared = preflight::check(mapping, allow, job.options.means(), Purpose::DryRun, *look)?;
    let ClearedParts { mapping, source, notes, .. } = cleared.parts();
    let mut out = table(&job.subject, mapping);
    out.push_str("\nwould copy:\n");
    for (target, survey) in mapping.targets.iter().zip(cleared.surveys()) {
        out.push_str(&format!(
            "  {:<10} {:>9} {}, {:>9} {}, {} ({} allocated)\n",
            target.name,
            human::count(survey.entries),
            if survey.entries == 1 { "entry  " } else { "entries" },
            human::count(survey.files),
            if survey.files == 1 { "file " } else { "files" },
            human::bytes(survey.bytes),
            human::bytes(survey.allocated)
        ));
    }
    match foresee(job, &cleared, &mut out) {
        Ok(Exit::Ok) => {}
        Ok(failed) => return Ok(failed),
        Err(PreviewError::Journal(error)) => return Ok(fail(&journal::words(&error), Exit::Refused)),
        Err(PreviewError::NoThread(why)) => return Ok(fail(&stop::no_thread(&why), Exit::Refused)),
    }
    for problem in preflight::left_out(mapping, source) {
        out.push_str(&format!("problem: {}: {}\n", problem.path, message(&problem)));
    }
    match changed_since(job, &cleared) {
        Ok(words) => out.push_str(&words),
        Err(error) => return Ok(fail(&journal::words(&error), Exit::Refused)),
    }
    mapping.notes.iter().for_each(|note| out.push_str(&format!("note: {note}\n")));
    notes.iter().for_each(|note| out.push_str(&format!("note: {}\n", note::words(note))));
    out.push_str("dry run: nothing was written\n");
    Ok(print_text(&out))
}

/// Items that the JSON report lists; the others are counted.
const LISTED: usize = 10_000;

/// Says what would become of every entry, and writes the same as JSON where a report is asked for.
fn foresee(job: &Job, cleared: &Cleared, out: &mut String) -> Result<Exit, PreviewError> {
    let ClearedParts { mapping, remap_ids, .. } = cleared.parts();
    let allow = &job.options.allow;
    let owner = if allow.no_owner {
        Owners::Left
    } else if *remap_ids {
        Owners::Renumbered(Arc::new(mapping.renumbering.clone()))
    } else {
        Owners::Kept
    };
    let options = PreviewOptions {
        keep: Keep { owner, atime: false },
        cross_mounts: allow.cross_mounts,
        overwrite: allow.overwrite,
        newer_kept: allow.newer_kept,
        delete: allow.delete,
        restart: allow.restart,
        means: job.options.means(),
    };
    let (stop, listed) = (Stop::default(), Mutex::new(Vec::new()));
    let rate_limit = RateLimit::new(stop.clone(), job.options.rate);
    let counts = preview::preview(cleared.parts(), &options, &rate_limit, &stop, &|item| {
        if item.what == Foreseen::Unchanged {
            return;
        }
        if job.verbose {
            let letter = item.kind.letter();
            print_text(&format!("{}\t{letter}\t{}\t{}\n", item.what.word(), item.bytes, item.path));
        }
        let mut listed = listed.lock().unwrap_or_else(PoisonError::into_inner);
        if job.report.is_some() && listed.len() < LISTED {
            listed.push(item_json(item, &mapping.targets[item.target as usize].name));
        }
    })?;
    out.push_str("\nof this, by what was copied before:\n");
    for target in &counts {
        let some = Foreseen::ALL.iter().zip(&target.counts).filter(|(_, counts)| counts.entries > 0);
        let words = some.map(|(what, counts)| {
            format!("{} {} ({})", what.word(), human::count(counts.entries), human::bytes(counts.bytes))
        });
        out.push_str(&format!("  {:<10} {}\n", target.name, words.collect::<Vec<_>>().join(" | ")));
    }
    let items = listed.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(write_json(job, mapping, &counts, items))
}

fn item_json(item: &ForeseenItem, target: &str) -> Value {
    let mut value = json!({
        "item": item.what.word(), "kind": item.kind.letter(), "bytes": item.bytes, "entries": item.entries,
        "path": item.path.to_string(), "target": target,
    });
    if let Some(bytes) = exact(&item.path) {
        value["path_bytes"] = json!(bytes);
    }
    value
}

fn write_json(job: &Job, mapping: &Mapping, counts: &[TargetCounts], items: Vec<Value>) -> Exit {
    let Some(file) = &job.report else { return Exit::Ok };
    let of = |counts: &[ItemCounts; 9]| -> Map<String, Value> {
        Foreseen::ALL.iter().zip(counts).map(|(what, counts)| (what.word().to_string(), json!(counts))).collect()
    };
    let targets = counts.iter().map(|target| {
        let mut value = of(&target.counts);
        value.insert("name".into(), json!(target.name));
        value
    });
    let value = json!({
        "version": 1,
        "plan": mapping.name,
        "source": mapping.source.to_string_lossy(),
        "root": mapping.root.to_string_lossy(),
        "dry_run": true,
        "targets": targets.collect::<Vec<_>>(),
        "items": items,
    });
    match output::write(file, text(&value).as_bytes(), Existing::Replaced) {
        Ok(()) => Exit::Ok,
        Err(errno) => {
            fail(&format!("{}: cannot write the report: {}", file.display(), errno_words(errno)), Exit::Problems)
        }
    }
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
