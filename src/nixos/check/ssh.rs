//! The machine's SSH keys and each user's: whole, in pairs, and private.

use super::context::{CheckContext, is_aside};
use super::home::Home;
use super::row::CheckRow;
use super::secrecy::{self, Guarded};
use super::tree::{Read, rel};
use crate::base::crash_damage::CrashDamage;
use crate::base::path::{Name, RelPath};
use crate::sys::leads_nowhere;
use ssh_key::{PrivateKey, PublicKey};

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let mut rows = host(context);
    for home in &context.homes {
        rows.extend(user(context, home));
    }
    rows
}

fn host(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "ssh-host-keys";
    let live = rel("etc/ssh");
    let Some(dir) = context.tree.stored_directory(&live) else {
        let why = "the plan keeps no host keys: every client will warn of a changed machine";
        return vec![CheckRow::warn(ID, &live, why).advise("declare \"/etc/ssh/ssh_host_*\" in `files`")];
    };
    let is_key = |name: &Name| name.as_bytes().starts_with(b"ssh_host_") && name.as_bytes().ends_with(b"_key");
    let names = match context.tree.list(&dir) {
        Ok(names) => names,
        Err(errno) if leads_nowhere(errno) => Vec::new(),
        Err(errno) => return vec![CheckRow::unreadable(ID, &dir, errno)],
    };
    let keys: Vec<RelPath> = names.iter().filter(|name| is_key(name)).map(|name| dir.join(name)).collect();
    if keys.is_empty() {
        // Declared but missing files have their own rows.
        return vec![CheckRow::skip(ID, &dir, "no host keys on the storage")];
    }
    let mut rows = vec![CheckRow::pass(ID, &dir, format!("{} host keys", keys.len()))];
    rows.extend(keys.iter().flat_map(|key| one(context, key, Some(0))));
    rows
}

fn user(context: &CheckContext, home: &Home) -> Vec<CheckRow> {
    let Some(dir) = context.tree.stored_directory(&home.live.join_path(&rel(".ssh"))) else { return Vec::new() };
    let names = match context.tree.list(&dir) {
        Ok(names) => names,
        Err(errno) if leads_nowhere(errno) => return Vec::new(),
        Err(errno) => return vec![CheckRow::unreadable("ssh-directory", &dir, errno)],
    };
    let mut rows: Vec<CheckRow> =
        secrecy::check(context, "ssh-directory", &dir, Guarded::Directory, home.uid).into_iter().collect();
    for name in names.into_iter().filter(|name| !is_aside(name)) {
        let path = dir.join(&name);
        match name.as_bytes() {
            b"authorized_keys" | b"config" => {
                rows.extend(secrecy::check(context, "ssh-config", &path, Guarded::Written, home.uid));
            }
            _ if is_private(context, &name, &path) => rows.extend(one(context, &path, home.uid)),
            _ => {}
        }
    }
    rows
}

/// By its name, so that a key emptied by a crash counts, or by its first line.
fn is_private(context: &CheckContext, name: &Name, path: &RelPath) -> bool {
    let name = name.as_bytes();
    if name.ends_with(b".pub") || name.starts_with(b"known_hosts") {
        return false;
    }
    let begins = |bytes: &[u8]| {
        let line = String::from_utf8_lossy(bytes.split(|b| *b == b'\n').next().unwrap_or_default()).into_owned();
        line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY")
    };
    name.starts_with(b"id_") || matches!(context.tree.read(path), Read::Bytes(bytes) if begins(&bytes))
}

fn one(context: &CheckContext, path: &RelPath, owner: Option<u32>) -> Vec<CheckRow> {
    const ID: &str = "ssh-key";
    let mut rows: Vec<CheckRow> =
        secrecy::check(context, "ssh-key-mode", path, Guarded::File, owner).into_iter().collect();
    let bytes = match context.tree.read(path) {
        Read::Bytes(bytes) => bytes,
        Read::Absent => return rows,
        Read::Failed(errno) => {
            rows.push(CheckRow::unreadable(ID, path, errno));
            return rows;
        }
    };
    match parse(&bytes) {
        Ok(SshKey::OpenSsh(key)) => {
            let shut = if key.is_encrypted() { ", with a passphrase" } else { "" };
            rows.push(CheckRow::pass(ID, path, format!("{}{shut}", key.algorithm())));
            rows.extend(pair(context, path, &key));
        }
        Ok(SshKey::Pem) => {
            rows.push(CheckRow::pass(ID, path, "an old PEM key, whole; its public half cannot be compared"))
        }
        Err(why) => rows.push(CheckRow::fail(ID, path, why).mend(context.bring_anew(path))),
    }
    rows
}

enum SshKey {
    OpenSsh(Box<PrivateKey>),
    /// PKCS#1, PKCS#8 or SEC1.
    Pem,
}

fn parse(bytes: &[u8]) -> Result<SshKey, String> {
    match CrashDamage::of(bytes) {
        Some(blank @ CrashDamage::Empty) => return Err(format!("{}: the key is lost", blank.words())),
        Some(blank) => return Err(blank.words().into()),
        None => {}
    }
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let label =
        lines.next().and_then(|line| line.trim_end().strip_prefix("-----BEGIN ")).and_then(|l| l.strip_suffix("-----"));
    match label {
        Some("OPENSSH PRIVATE KEY") => match PrivateKey::from_openssh(bytes) {
            Ok(key) => Ok(SshKey::OpenSsh(Box::new(key))),
            Err(error) => Err(format!("is not a key, or only part of one: {error}")),
        },
        Some(label) if label.ends_with("PRIVATE KEY") => {
            let end = format!("-----END {label}-----");
            if text.trim_end().ends_with(&end) {
                Ok(SshKey::Pem)
            } else {
                Err("is truncated: its last line is missing".into())
            }
        }
        _ => Err("is not a private key".into()),
    }
}

/// Checks that the public half beside the key belongs to it.
fn pair(context: &CheckContext, path: &RelPath, key: &PrivateKey) -> Option<CheckRow> {
    const ID: &str = "ssh-key-pair";
    let public = RelPath::new(&[path.as_bytes(), b".pub"].concat()).ok()?;
    let bytes = match context.tree.read(&public) {
        Read::Bytes(bytes) => bytes,
        Read::Absent => return Some(CheckRow::skip(ID, &public, "there is none")),
        Read::Failed(errno) => return Some(CheckRow::unreadable(ID, &public, errno)),
    };
    let parsed = std::str::from_utf8(&bytes).ok().and_then(|text| PublicKey::from_openssh(text.trim_end()).ok());
    Some(match parsed {
        Some(found) if found.key_data() == key.public_key().key_data() => {
            CheckRow::pass(ID, &public, "belongs to its key")
        }
        Some(_) => {
            let why = format!("is not the public half of {path}");
            // ssh-keygen asks for the passphrase itself.
            let mend = context.tree.command_for_two((path, &public), |key, public| {
                format!("ssh-keygen -y -f {} > {}", key.word(), public.word())
            });
            CheckRow::fail(ID, &public, why).mend(mend)
        }
        None => CheckRow::fail(ID, &public, "is not a public key").mend(context.bring_anew(&public)),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn damaged_keys_say_how() {
        let pem = b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(parse(pem).is_ok());
        let openssh = b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
        for (bytes, word) in [
            (&b""[..], "empty"),
            (&[0; 411][..], "zeros"),
            (&pem[..40], "truncated"),
            (&openssh[..], "not a key"),
            (b"ssh-ed25519 AAAA", "not a private key"),
        ] {
            let error = parse(bytes).err().expect("damaged");
            assert!(error.contains(word), "{error} should say {word}");
        }
    }
}
