//! The age keys with which sops-nix decrypts the machine's secrets.

use super::context::CheckContext;
use super::decryption::{self, DecryptionKeys};
use super::row::CheckRow;
use super::secrecy::{self, Guarded};
use super::tree::{Read, rel};
use crate::base::crash_damage::CrashDamage;
use crate::base::path::RelPath;
use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let mut places: Vec<(RelPath, Option<u32>)> =
        context.homes.iter().map(|home| (home.live.join_path(&rel(".config/sops/age/keys.txt")), home.uid)).collect();
    places.push((rel("var/lib/sops-nix/key.txt"), Some(0)));
    let kept = places.into_iter().filter_map(|(live, owner)| context.tree.stored(&live).map(|path| (path, owner)));
    let used = decryption::keys(context);
    let mut rows: Vec<CheckRow> = kept.flat_map(|(path, owner)| one(context, &path, owner, &used)).collect();
    rows.extend(decryption::check(context, &used));
    rows
}

fn one(context: &CheckContext, path: &RelPath, owner: Option<u32>, used: &DecryptionKeys) -> Vec<CheckRow> {
    const ID: &str = "age-key";
    let bytes = match context.tree.read(path) {
        Read::Bytes(bytes) => bytes,
        Read::Absent => {
            let why = "is not on the storage, but its directory is declared: secrets cannot be decrypted";
            // An absent directory is already reported.
            let parent = path.parent().unwrap_or_default();
            let row = CheckRow::fail(ID, path, why).run(context.bring_back());
            return context.tree.stat(&parent).ok().map(|_| row).into_iter().collect();
        }
        Read::Failed(errno) => return vec![CheckRow::unreadable(ID, path, errno)],
    };
    let mut rows = vec![match parse(&bytes) {
        Ok(keys) => CheckRow::pass(ID, path, format!("age keys: {keys}")),
        Err(why) => CheckRow::fail(ID, path, why).mend(context.bring_anew(path)),
    }];
    rows.extend(secrecy::check(context, "age-key-mode", path, Guarded::File, owner));
    const PATH: &str = "age-key-path";
    rows.push(if used.keys.iter().any(|(_, key)| key == path) {
        CheckRow::pass(PATH, path, "the installed system names it")
    } else if used.has_sops {
        CheckRow::skip(PATH, path, "the system's sops-nix decrypts with other keys")
    } else {
        let why = format!("sops-nix decrypts before the live path is mounted: it must name {path} itself");
        CheckRow::warn(PATH, path, why).advise(format!("see that sops.age.keyFile = \"{path}\""))
    });
    rows
}

/// The number of identities in a key file (age-keygen(1)).
fn parse(bytes: &[u8]) -> Result<usize, String> {
    match CrashDamage::of(bytes) {
        Some(blank @ CrashDamage::Empty) => return Err(format!("{}: the key is lost", blank.words())),
        Some(blank) => return Err(blank.words().into()),
        None => {}
    }
    let text = String::from_utf8_lossy(bytes);
    let mut keys = 0;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // A line is a secret: it is never shown.
        identity(line).map_err(|why| format!("line {}: {why}", number + 1))?;
        keys += 1;
    }
    if keys == 0 { Err("has no AGE-SECRET-KEY-1…".into()) } else { Ok(keys) }
}

fn identity(line: &str) -> Result<(), String> {
    // Post-quantum identities and plugins' are longer than bech32's checksum is made for;
    // SSH keys are not for key files.
    if line.starts_with("AGE-SECRET-KEY-PQ-1") || line.starts_with("AGE-PLUGIN-") {
        return Ok(());
    }
    if !line.starts_with("AGE-SECRET-KEY-1") {
        return Err("is not an AGE-SECRET-KEY-1…".into());
    }
    // The error may quote a character of the key, so it is not shown either.
    let key = CheckedHrpstring::new::<Bech32>(line)
        .map_err(|_| "the key is damaged: its checksum does not fit".to_string())?;
    if key.byte_iter().count() == 32 { Ok(()) } else { Err("the key has the wrong length".into()) }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use bech32::{Bech32, Hrp};

    fn key(length: usize) -> String {
        let hrp = Hrp::parse("AGE-SECRET-KEY-").expect("a prefix");
        bech32::encode_upper::<Bech32>(hrp, &vec![7; length]).expect("a key")
    }

    #[test]
    fn a_key_file_as_age_keygen_writes_it() {
        let text = format!("# created: 2025-01-01T00:00:00Z\n# public key: age1qqqq\n{}\n", key(32));
        assert_eq!(parse(text.as_bytes()), Ok(1));
    }

    #[test]
    fn damaged_keys_say_how_without_showing_them() {
        let good = key(32);
        let swapped = good.replace('7', "8").replacen("-1", "-1Q", 1);
        for (text, word) in [
            (String::new(), "empty"),
            ("\0".repeat(75), "zeros"),
            ("# only a comment\n".into(), "no AGE-SECRET-KEY"),
            (good[..60].into(), "checksum"),
            (swapped, "checksum"),
            (good.replace("AGE-SECRET", "AGE-SECRETS"), "line 1"),
            (key(31), "length"),
        ] {
            let error = parse(text.as_bytes()).expect_err("damaged");
            assert!(error.contains(word), "{error} should say {word}");
            assert!(!error.contains(&good[20..30]), "{error}");
        }
    }
}
