//! Can anybody log in? With a root in memory, /etc/shadow is created at each boot from the
//! configuration.

use super::context::CheckContext;
use super::password_file;
use super::row::CheckRow;
use super::system::profile;
use super::tree::{Read, rel};
use crate::base::path::RelPath;
use crate::engine::mapping::model::EntryKind;
use crate::nixos::known_paths::written_first;
use serde::Deserialize;

const ID: &str = "passwords";

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let mut rows = account_files(context);
    rows.extend(log_in(context));
    rows
}

/// Account files that are declared as files: the machine boots with those that activation has written.
fn account_files(context: &CheckContext) -> Vec<CheckRow> {
    let files = context.tree.entries().filter(|entry| entry.kind == EntryKind::File);
    let first = files.filter_map(|entry| written_first(&entry.src).map(|instead| (entry, instead)));
    first
        .map(|(entry, instead)| {
            let live = &entry.src;
            let why = format!("activation writes {live} at each boot before it is mounted, which then fails");
            CheckRow::fail("account-file", &entry.dst, why).advise(format!("take {live} out of `files`; {instead}"))
        })
        .collect()
}

fn log_in(context: &CheckContext) -> Vec<CheckRow> {
    let live = rel("etc/shadow");
    let alone = context.tree.entries().any(|entry| entry.src == live && entry.kind == EntryKind::File);
    if let Some(path) = context.tree.stored(&live).filter(|_| !alone)
        && let Read::Bytes(bytes) = context.tree.read(&path)
    {
        return vec![kept(context, &path, &bytes)];
    }
    match specification(context) {
        Some((path, Read::Bytes(bytes))) => match serde_json::from_slice::<Specification>(&bytes) {
            Ok(spec) => by_configuration(context, &path, &spec),
            Err(error) => vec![unknown(&live, &format!("{path} cannot be understood ({error})"))],
        },
        _ => vec![unknown(&live, "the installed system does not show its users")],
    }
}

fn unknown(live: &RelPath, why: &str) -> CheckRow {
    let why = format!("unknown: it is not kept, and {why}; without a password in the configuration nobody can log in");
    CheckRow::warn(ID, live, why).advise("see that users.users.NAME.hashedPasswordFile names a file on the storage")
}

fn kept(context: &CheckContext, path: &RelPath, shadow: &[u8]) -> CheckRow {
    let text = String::from_utf8_lossy(shadow);
    let hashes = text.lines().filter(|line| line.split(':').nth(1).is_some_and(|hash| hash.starts_with('$')));
    match hashes.count() {
        0 => CheckRow::fail(ID, path, "no user has a password in it").mend(context.bring_anew(path)),
        n => CheckRow::pass(ID, path, format!("{n} users have a password")),
    }
}

/// The users as NixOS's activation creates them (`users-groups.json`).
#[derive(Deserialize)]
struct Specification {
    users: Vec<LoginUser>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginUser {
    name: String,
    #[serde(default)]
    is_system_user: bool,
    hashed_password_file: Option<String>,
    hashed_password: Option<String>,
    password: Option<String>,
    initial_hashed_password: Option<String>,
    initial_password: Option<String>,
}

impl LoginUser {
    /// True when the configuration itself has a usable password.
    fn has_password(&self) -> bool {
        let hashes = [&self.hashed_password, &self.initial_hashed_password];
        let plain = [&self.password, &self.initial_password];
        // `!` and `*` lock an account; an empty hash lets everybody in.
        hashes.into_iter().flatten().any(|hash| !hash.starts_with(['!', '*']))
            || plain.into_iter().flatten().next().is_some()
    }
}

/// The file's name is in the system's activation script.
fn specification(context: &CheckContext) -> Option<(RelPath, Read)> {
    let Read::Bytes(script) = context.tree.read(&profile().join_path(&rel("activate"))) else { return None };
    let text = String::from_utf8_lossy(&script);
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';');
    let name = text.split(is_end).find(|w| w.starts_with("/nix/store/") && w.ends_with("users-groups.json"))?;
    let path = RelPath::new(name.as_bytes()).ok()?;
    let read = context.tree.read(&path);
    Some((path, read))
}

fn by_configuration(context: &CheckContext, path: &RelPath, spec: &Specification) -> Vec<CheckRow> {
    let mut rows = Vec::new();
    let mut may_log_in = Vec::new();
    for user in spec.users.iter().filter(|user| !user.is_system_user || user.name == "root") {
        match &user.hashed_password_file {
            Some(file) => {
                rows.extend(password_file::check(context, &user.name, file));
                may_log_in.push(user.name.as_str());
            }
            None if user.has_password() => may_log_in.push(&user.name),
            None => {}
        }
    }
    rows.push(if may_log_in.is_empty() {
        CheckRow::fail(
            ID,
            path,
            "no user has a password in the configuration, and /etc/shadow is not kept: nobody can log in",
        )
        .advise("set users.users.NAME.hashedPasswordFile to a file on the storage and rebuild")
    } else {
        CheckRow::pass(ID, path, format!("a password is configured for {}", may_log_in.join(", ")))
    });
    rows
}
