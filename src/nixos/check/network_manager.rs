//! NetworkManager's saved connections: kept, and not ignored by it.

use super::context::{CheckContext, is_aside};
use super::row::CheckRow;
use super::tree::{Read, rel};
use crate::base::crash_damage::CrashDamage;
use crate::base::path::RelPath;
use crate::sys::leads_nowhere;
use crate::sys::stat::Kind;

const ID: &str = "network-profile";

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let live = rel("etc/NetworkManager/system-connections");
    let Some(dir) = context.tree.stored_directory(&live) else {
        // Keeping its state means using it.
        let used = context.tree.stored(&rel("var/lib/NetworkManager")).is_some();
        let why = "the plan keeps NetworkManager's state, but not the connections: no Wi-Fi password survives";
        let row = CheckRow::warn("network-profiles", &live, why).advise(format!("declare \"{live}\" in `directories`"));
        return used.then_some(row).into_iter().collect();
    };
    let names = match context.tree.list(&dir) {
        Ok(names) => names,
        Err(errno) if leads_nowhere(errno) => return Vec::new(),
        Err(errno) => return vec![CheckRow::unreadable("network-profiles", &dir, errno)],
    };
    let mut rows = vec![CheckRow::pass("network-profiles", &dir, format!("connections: {}", names.len()))];
    rows.extend(names.iter().filter(|name| !is_aside(name)).map(|name| one(context, &dir.join(name))));
    rows
}

fn one(context: &CheckContext, path: &RelPath) -> CheckRow {
    let stat = match context.tree.stat(path) {
        Ok(stat) => stat,
        Err(errno) => return CheckRow::unreadable(ID, path, errno),
    };
    if stat.kind != Kind::File {
        let why = format!("is {}: NetworkManager reads regular files only", stat.kind.words());
        return CheckRow::fail(ID, path, why).mend(context.aside(path));
    }
    if (stat.uid, stat.gid) != (0, 0) || stat.mode & 0o177 != 0 {
        let why = format!("is {}:{} {:04o}, not 0:0 0600: NetworkManager ignores it", stat.uid, stat.gid, stat.mode);
        let mend = context.tree.command(path, |at| format!("{} && {}", at.chown("0:0"), at.chmod("0600")));
        return CheckRow::fail(ID, path, why).mend(mend);
    }
    match context.tree.read(path) {
        Read::Bytes(bytes) => match parse(&bytes) {
            Ok(()) => CheckRow::pass(ID, path, "0:0 0600, a connection"),
            Err(why) => CheckRow::fail(ID, path, why).mend(context.bring_anew(path)),
        },
        Read::Absent => CheckRow::skip(ID, path, "it has vanished meanwhile"),
        Read::Failed(errno) => CheckRow::unreadable(ID, path, errno),
    }
}

/// A key file (glib's format) with a `[connection]`. Values are secrets: none is shown.
fn parse(bytes: &[u8]) -> Result<(), String> {
    if let Some(blank) = CrashDamage::of(bytes) {
        return Err(blank.words().into());
    }
    let text = String::from_utf8_lossy(bytes);
    let mut groups = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(group) = line.strip_prefix('[') {
            let group =
                group.strip_suffix(']').ok_or_else(|| format!("line {}: a group without its end", number + 1))?;
            groups.push(group.to_string());
        } else if groups.is_empty() || !line.contains('=') {
            return Err(format!("line {}: no `key=value` of a group", number + 1));
        }
    }
    if groups.iter().any(|group| group == "connection") { Ok(()) } else { Err("has no [connection]".into()) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn key_files() {
        assert_eq!(parse(b"# c\n[connection]\nid=Home\n\n[wifi-security]\npsk=secret=1\n"), Ok(()));
        for (bytes, word) in [
            (&b""[..], "empty"),
            (&[0; 9][..], "zeros"),
            (b"[wifi]\nssid=x\n", "no [connection]"),
            (b"[connection\nid=x\n", "without its end"),
            (b"id=x\n[connection]\n", "line 1"),
            (b"[connection]\nid\n", "line 2"),
        ] {
            let error = parse(bytes).expect_err("damaged");
            assert!(error.contains(word), "{error} should say {word}");
        }
    }
}
