//! The machine's identity, and whether the journals are this machine's.

use super::context::CheckContext;
use super::row::CheckRow;
use super::tree::{Read, rel};
use crate::base::path::{Name, RelPath};
use crate::sys::leads_nowhere;

const ID: &str = "machine-id";

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let live = rel("etc/machine-id");
    let Some(path) = context.tree.stored(&live) else {
        let why = "the plan does not keep it: each boot is a new machine, and finds no journal of its own";
        return vec![CheckRow::warn(ID, &live, why).advise("declare it in `files`")];
    };
    let bytes = match context.tree.read(&path) {
        Read::Bytes(bytes) => bytes,
        Read::Absent => return vec![CheckRow::skip(ID, &path, "not on the storage")],
        Read::Failed(errno) => return vec![CheckRow::unreadable(ID, &path, errno)],
    };
    match parse(&bytes) {
        Ok(id) => vec![CheckRow::pass(ID, &path, "32 hexadecimal digits"), journals(context, &path, &id)],
        Err(why) => vec![CheckRow::fail(ID, &path, why).mend(context.bring_anew(&path))],
    }
}

/// The id, or what is there instead (machine-id(5)).
fn parse(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if line == b"uninitialized" {
        return Err("is `uninitialized`: the next boot makes a new id, and the journals belong to nobody".into());
    }
    if bytes.is_empty() {
        return Err("is empty: the next boot makes a new id, and the journals belong to nobody".into());
    }
    if line.iter().all(|b| *b == b'0') && line.len() == 32 {
        return Err("is all zeros, which is not an id".into());
    }
    if is_id(line) { Ok(line.to_vec()) } else { Err("is not 32 lower-case hexadecimal digits".into()) }
}

fn is_id(text: &[u8]) -> bool {
    text.len() == 32 && text.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
}

fn journals(context: &CheckContext, machine_id: &RelPath, id: &[u8]) -> CheckRow {
    const ID: &str = "machine-id-journal";
    let live = rel("var/log/journal");
    let Some(path) = context.tree.stored(&live) else { return CheckRow::skip(ID, &live, "the plan keeps no journals") };
    let names = match context.tree.list(&path) {
        Ok(names) => names,
        Err(errno) if leads_nowhere(errno) => return CheckRow::skip(ID, &path, "no journals on the storage"),
        Err(errno) => return CheckRow::unreadable(ID, &path, errno),
    };
    // A namespace's journals are in `<id>.<namespace>`.
    let owner = |name: &Name| name.as_bytes().split(|b| *b == b'.').next().unwrap_or_default().to_vec();
    let (own, others): (Vec<_>, Vec<_>) =
        names.into_iter().filter(|name| is_id(&owner(name))).partition(|name| owner(name) == id);
    // The journals, and much else, identify the machine by its old id.
    let restore = |other: &Name| {
        let id = crate::base::path::escape(&owner(other)).into_owned();
        context.tree.command(machine_id, |at| format!("printf '%s\\n' {id} > {}", at.word()))
    };
    match (own.is_empty(), others.first()) {
        (true, None) => CheckRow::skip(ID, &path, "no journals on the storage"),
        (false, None) => CheckRow::pass(ID, &path, "the journals are this machine's"),
        (false, Some(other)) => {
            let why = format!("journals of {} other machines are there as well, such as {other}", others.len());
            CheckRow::warn(ID, &path, why)
                .run(format!("journalctl --directory={}", context.tree.word(&path.join(other))))
        }
        (true, Some(other)) => {
            let why = format!("all journals are of another machine ({other}): journalctl will not show them");
            CheckRow::fail(ID, &path, why).mend(restore(other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_is_a_machine_id() {
        let good = b"0123456789abcdef0123456789abcdef".to_vec();
        assert_eq!(parse(&good), Ok(good.clone()));
        assert_eq!(parse(&[&good[..], b"\n"].concat()), Ok(good.clone()));
        for bad in
            [&b""[..], b"uninitialized\n", &[b'0'; 32], &[0; 33], &good[..31], b"0123456789ABCDEF0123456789ABCDEF\n"]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
