//! The file that a user's `hashedPasswordFile` names.

use super::context::CheckContext;
use super::row::CheckRow;
use super::system::Booted;
use super::tree::{Read, rel};
use crate::base::path::RelPath;
use crate::sys::leads_nowhere;
use crate::sys::stat::Stat;

const ID: &str = "password-file";

/// Hashes that NixOS's libxcrypt takes (`enabledCryptSchemeIds` of nixpkgs' libxcrypt).
const SCHEMES: [&str; 7] = ["y", "gy", "7", "2a", "2b", "2y", "6"];

pub(super) fn check(context: &CheckContext, user: &str, file: &str) -> Option<CheckRow> {
    let path = RelPath::new(file.as_bytes()).ok()?;
    // Created at boot, from secrets.
    let made_at_boot = path.strip_prefix(&rel("run")).is_some();
    if made_at_boot && context.booted == Booted::No {
        return Some(CheckRow::skip(ID, &path, format!("of {user}: it is made at boot")));
    }
    let fail = |why: &str| CheckRow::fail(ID, &path, format!("of {user}: {why}"));
    // Activation reads it before live paths are mounted.
    if is_live(context, &path) {
        return Some(
            fail("is a live path, which activation reads before it is mounted")
                .advise("name the file on the storage itself and rebuild"),
        );
    }
    if !made_at_boot && is_on_root(context, &path) {
        return Some(
            fail("is on the root, which loses it at reboot").advise("put it on the storage, name it there and rebuild"),
        );
    }
    Some(match context.tree.stat_through(&path) {
        Ok(stat) => content(context, user, &path, &stat),
        Err(errno) if leads_nowhere(errno) => {
            let row = fail("is not there, so the account is locked");
            let dir = path.parent().unwrap_or_default();
            if context.tree.is_roots(&dir) {
                let (dir, file) = (context.tree.word(&dir), context.tree.word(&path));
                // `set -C`: what is there by then is not written over.
                row.run(format!("mkdir -p -m 0700 {dir} && (umask 077; set -C; mkpasswd > {file})"))
            } else {
                row.advise("put the output of mkpasswd there, in a directory that only root can write")
            }
        }
        Err(errno) => CheckRow::unreadable(ID, &path, errno),
    })
}

/// True for what is only mounted after activation.
pub(super) fn is_live(context: &CheckContext, path: &RelPath) -> bool {
    context.tree.entries().any(|entry| entry.src != entry.dst && path.strip_prefix(&entry.src).is_some())
}

/// What is on the root goes with it, unless a storage is meant there that is not mounted: that has a row
/// of its own. Of a path that is not there the nearest directory decides.
pub(super) fn is_on_root(context: &CheckContext, path: &RelPath) -> bool {
    let top = path.names().next();
    if context.tree.plan.targets.iter().any(|target| target.to.names().next() == top) {
        return false;
    }
    let mut at = path.clone();
    let mount = loop {
        match (context.tree.mount_id(&at), at.parent()) {
            (Err(errno), Some(above)) if leads_nowhere(errno) => at = above,
            (mount, _) => break mount,
        }
    };
    mount.is_ok() && mount == context.tree.mount_id(&RelPath::root())
}

fn content(context: &CheckContext, user: &str, path: &RelPath, stat: &Stat) -> CheckRow {
    let fail = |why: &str| CheckRow::fail(ID, path, format!("of {user}: {why}"));
    let anew = "write one line that mkpasswd prints into it";
    let bytes = match context.tree.read(path) {
        Read::Bytes(bytes) => bytes,
        Read::Absent => return fail("went away"),
        Read::Failed(errno) => return CheckRow::unreadable(ID, path, errno),
    };
    if let Err(why) = hash(&bytes) {
        return fail(why).advise(anew);
    }
    if stat.mode & 0o006 != 0 {
        let row = fail(&format!("has mode {:04o}: everybody can read the hash", stat.mode));
        let dir = path.parent().unwrap_or_default();
        return if context.tree.is_roots(&dir) {
            row.run(format!("chmod 0600 {}", context.tree.word(path)))
        } else {
            row.advise("give it mode 0600, in a directory that only root can write")
        };
    }
    CheckRow::pass(ID, path, format!("of {user}: there"))
}

/// Whether the content is one hash. It is never shown.
fn hash(bytes: &[u8]) -> Result<(), &'static str> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default();
    if line.is_empty() {
        return Err("is empty: the account would have no password, or be locked");
    }
    if line.bytes().all(|byte| byte == 0) {
        return Err("has only zeros, as after a crash");
    }
    if lines.next().is_some() || line.contains(':') {
        return Err("is not one hash, but more lines or a line of /etc/shadow");
    }
    // `!` and `*` lock an account on purpose.
    if line.starts_with(['!', '*']) {
        return Ok(());
    }
    let Some(rest) = line.strip_prefix('$') else {
        return Err("is no hash: the password in plain text, or an old DES hash, opens nothing");
    };
    match rest.split_once('$') {
        Some((scheme, rest)) if SCHEMES.contains(&scheme) && !rest.is_empty() => Ok(()),
        _ => Err("has a hash of a kind that NixOS's libxcrypt does not take"),
    }
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn one_hash_that_nixos_takes() {
        for good in ["$y$j9T$salt$hash", "$6$salt$hash\n", "$2b$05$hash", "!", "$7$x"] {
            assert_eq!(hash(good.as_bytes()), Ok(()), "{good}");
        }
        for (bad, word) in [
            ("", "empty"),
            ("\n", "empty"),
            ("\0\0\0", "zeros"),
            ("secret", "plain text"),
            ("$1$salt$hash", "libxcrypt"),
            ("$5$salt$hash", "libxcrypt"),
            ("$y$", "libxcrypt"),
            ("$y$a\n$y$b", "one hash"),
            ("sinh:$6$a$b:1::", "one hash"),
        ] {
            assert!(hash(bad.as_bytes()).is_err_and(|why| why.contains(word)), "{bad}");
        }
    }
}
