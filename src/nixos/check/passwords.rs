//! Can anybody log in? With a root in memory, /etc/shadow is created at each boot from the
//! configuration.

use super::context::CheckContext;
use super::row::CheckRow;
use super::system::Booted;
use super::system::profile;
use super::tree::{Read, rel};
use crate::base::path::RelPath;
use crate::sys::leads_nowhere;
use serde::Deserialize;

const ID: &str = "passwords";

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let live = rel("etc/shadow");
    if let Some(path) = context.tree.stored(&live)
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
        0 => CheckRow::fail(ID, path, "no user has a password in it").run(context.bring_anew(path)),
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
                rows.extend(password_file(context, user, file));
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

fn password_file(context: &CheckContext, user: &LoginUser, file: &str) -> Option<CheckRow> {
    const ID: &str = "password-file";
    let path = RelPath::new(file.as_bytes()).ok()?;
    // Created at boot, from secrets.
    let made_at_boot = path.strip_prefix(&rel("run")).is_some();
    if made_at_boot && context.booted == Booted::No {
        return Some(CheckRow::skip(ID, &path, format!("of {}: it is made at boot", user.name)));
    }
    let on_root = context.tree.mount_id(&path).ok().is_some_and(|id| context.tree.mount_id(&RelPath::root()) == Ok(id));
    // Activation reads it before live paths are mounted.
    Some(match context.tree.stat_through(&path) {
        Ok(_) if context.tree.entries().any(|e| e.src != e.dst && path.strip_prefix(&e.src).is_some()) => {
            let why = format!("of {}: is a live path, which activation reads before it is mounted", user.name);
            CheckRow::fail(ID, &path, why).advise("name the file on the storage itself and rebuild")
        }
        // A storage that is not mounted has its own row.
        Ok(_) if on_root && !context.tree.plan.targets.iter().any(|t| t.to.names().next() == path.names().next()) => {
            let why = format!("of {}: is on the root, which loses it at reboot", user.name);
            CheckRow::fail(ID, &path, why).advise("move it to the storage, name it there and rebuild")
        }
        Ok(_) => CheckRow::pass(ID, &path, format!("of {}: there", user.name)),
        Err(errno) if leads_nowhere(errno) => {
            CheckRow::fail(ID, &path, format!("of {}: is not there, so the account is locked", user.name))
                .run(format!("install -m 0600 /dev/null {0} && mkpasswd > {0}", context.tree.word(&path)))
        }
        Err(errno) => CheckRow::unreadable(ID, &path, errno),
    })
}
