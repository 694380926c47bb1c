//! Each user's GnuPG home: private, and with both halves of its keys.

use super::context::CheckContext;
use super::home::Home;
use super::row::CheckRow;
use super::secrecy::{self, Guarded};
use super::tree::rel;
use crate::sys::leads_nowhere;

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    context.homes.iter().flat_map(|home| one(context, home)).collect()
}

fn one(context: &CheckContext, home: &Home) -> Vec<CheckRow> {
    const ID: &str = "gnupg-keys";
    let Some(dir) = context.tree.stored(&home.live.join_path(&rel(".gnupg"))) else { return Vec::new() };
    let mut rows: Vec<CheckRow> =
        secrecy::check(context, "gnupg-directory", &dir, Guarded::Directory, home.uid).into_iter().collect();
    let names = match context.tree.list(&dir) {
        Ok(names) => names,
        Err(errno) if leads_nowhere(errno) => return rows,
        Err(errno) => return vec![CheckRow::unreadable(ID, &dir, errno)],
    };
    let private = dir.join_path(&rel("private-keys-v1.d"));
    let keys =
        context.tree.list(&private).map_or(0, |names| names.iter().filter(|n| n.as_bytes().ends_with(b".key")).count());
    // The old keyring, the new one, and that of keyboxd.
    let rings = [&b"pubring.gpg"[..], b"pubring.kbx", b"public-keys.d"];
    let ring = names.iter().any(|name| rings.contains(&name.as_bytes()));
    let again = context.bring_back();
    if names.is_empty() {
        rows.push(CheckRow::skip(ID, &dir, "empty: GnuPG was never used here, or its keys are elsewhere"));
        return rows;
    }
    rows.push(match (keys, ring) {
        (0, true) => CheckRow::warn(ID, &private, "no private key beside the public ones").run(again),
        (0, false) => CheckRow::warn(ID, &private, "neither private keys nor a public keyring").run(again),
        (_, false) => CheckRow::warn(ID, &dir, format!("{keys} private keys, but no public keyring")).run(again),
        (_, true) => CheckRow::pass(ID, &dir, format!("a public keyring; private keys: {keys}")),
    });
    rows
}
