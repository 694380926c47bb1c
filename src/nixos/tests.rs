//! The audit, the import, the export and the check use one table of known paths.

use super::audit::knowledge::{LeftOutReason, Meaning, Severity, rules};
use super::export::private::usual_mode;
use super::import::need::{Secrecy, need, secrecy};
use super::known_paths::{Spot, all, replacer};
use crate::base::path::RelPath;
use crate::engine::mapping::model::{EntryKind, Need};

fn rel(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

/// What each of the four says about a path; the audit by the pattern of its rule.
fn answers(at: &str) -> (Option<Severity>, Need, Secrecy, Option<u32>, Option<&'static str>) {
    let live = rel(&at.replace('~', "/home/u"));
    let severity = rules().iter().find(|rule| rule.at == at).and_then(|rule| match rule.meaning {
        Meaning::State(severity, _) => Some(severity),
        Meaning::Leave(_) => None,
    });
    let spot = Spot::of(&live);
    let mode = usual_mode(&live, EntryKind::File).or_else(|| usual_mode(&live, EntryKind::Directory));
    (severity, need(&spot), secrecy(&spot), mode, replacer(&live).map(|who| who.program))
}

#[test]
fn the_four_agree_on_well_known_paths() {
    use Secrecy::{Public, Secret};
    for (at, severity, secrecy, mode, who) in [
        ("/etc/machine-id", Severity::Critical, Public, Some(0o444), None),
        ("/etc/adjtime", Severity::Medium, Public, None, Some("hwclock, timedated")),
        ("~/.local/state", Severity::Medium, Public, None, None),
        ("~/.config/monitors.xml", Severity::Medium, Public, None, Some("GNOME")),
        ("/etc/shadow", Severity::Critical, Secret, Some(0o600), Some("passwd")),
        ("~/.ssh", Severity::Critical, Secret, Some(0o700), None),
    ] {
        assert_eq!(answers(at), (Some(severity), severity.need(), secrecy, mode, who), "{at}");
    }
}

#[test]
fn no_record_makes_two_of_them_disagree() {
    // There is no record for a home as a whole.
    for rule in rules().iter().filter(|rule| !rule.at.contains(['*', '[']) && rule.at != "/root") {
        let (severity, need, secrecy, mode, _) = answers(&rule.at);
        match rule.meaning {
            // A declared path's need is lowered only if programs create it again.
            Meaning::State(..) => {
                let by_severity = severity.map(Severity::need).unwrap();
                assert!(need == by_severity || need == by_severity.max(Need::Required), "{}: {need:?}", rule.at);
            }
            Meaning::Leave(reason) => {
                let expected = if reason == LeftOutReason::Cache { Need::Optional } else { Need::Required };
                assert_eq!(need, expected, "{}", rule.at);
            }
        }
        let private = mode.is_some_and(|mode| mode & 0o077 == 0);
        assert!(!private || secrecy == Secrecy::Secret, "{}", rule.at);
    }
}

#[test]
fn every_replaced_file_is_found_by_its_record() {
    let named = all().filter(|known| {
        known.at.starts_with(['/', '~']) && replacer(&rel(&known.at.replace('~', "/home/u"))).is_some()
    });
    assert_eq!(named.count(), 19);
}
