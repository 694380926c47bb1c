//! The keys with which sops-nix and agenix decrypt secrets at activation: their paths are in the installed
//! system.

use super::context::CheckContext;
use super::password_file::{is_live, is_on_root};
use super::row::CheckRow;
use super::system::profile;
use super::tree::{Read, rel};
use crate::base::path::RelPath;
use crate::sys::leads_nowhere;
use serde::Deserialize;

/// What the installed system decrypts with.
#[derive(Debug, Default)]
pub(super) struct DecryptionKeys {
    /// Who reads it, and which option names it.
    pub(super) keys: Vec<(&'static str, RelPath)>,
    /// sops-nix is in use: its list is complete.
    pub(super) has_sops: bool,
}

/// The part of sops-nix's manifest that names keys (pkgs/sops-install-secrets/main.go there).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SopsManifest {
    age_key_file: Option<String>,
    age_ssh_key_paths: Option<Vec<String>>,
    ssh_key_paths: Option<Vec<String>>,
}

/// Reads the activation script, the manifests that it names, and agenix's list of identities in it.
pub(super) fn keys(context: &CheckContext) -> DecryptionKeys {
    let mut found = DecryptionKeys::default();
    let Read::Bytes(script) = context.tree.read(&profile().join_path(&rel("activate"))) else { return found };
    let text = String::from_utf8_lossy(&script);
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';');
    let manifests = text
        .split(is_end)
        .filter(|word| word.starts_with("/nix/store/") && word.contains("manifest") && word.ends_with(".json"));
    for name in manifests {
        let Ok(path) = RelPath::new(name.as_bytes()) else { continue };
        let Read::Bytes(bytes) = context.tree.read(&path) else { continue };
        let Ok(manifest) = serde_json::from_slice::<SopsManifest>(&bytes) else { continue };
        found.has_sops = true;
        let of = |option: &'static str, paths: Vec<String>| paths.into_iter().map(move |path| (option, path)).collect();
        let all: [Vec<(&str, String)>; 3] = [
            of("sops.age.keyFile", manifest.age_key_file.into_iter().collect()),
            of("sops.age.sshKeyPaths", manifest.age_ssh_key_paths.unwrap_or_default()),
            of("sops.gnupg.sshKeyPaths", manifest.ssh_key_paths.unwrap_or_default()),
        ];
        found.add(all.concat());
    }
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("for identity in ")) {
        let paths = line.split(';').next().unwrap_or_default().split_whitespace();
        found.add(paths.map(|path| ("age.identityPaths", path.to_string())).collect());
    }
    found
}

impl DecryptionKeys {
    fn add(&mut self, named: Vec<(&'static str, String)>) {
        for (option, text) in named {
            if let Ok(path) = RelPath::new(text.as_bytes())
                && !path.is_root()
                && !self.keys.contains(&(option, path.clone()))
            {
                self.keys.push((option, path));
            }
        }
    }
}

/// Whether each key can be read when secrets are decrypted.
pub(super) fn check(context: &CheckContext, found: &DecryptionKeys) -> Vec<CheckRow> {
    found.keys.iter().map(|(option, path)| one(context, option, path)).collect()
}

fn one(context: &CheckContext, option: &str, path: &RelPath) -> CheckRow {
    const ID: &str = "decryption-key";
    if is_live(context, path) {
        let stored = context.tree.stored(path).unwrap_or_else(|| path.clone());
        let why = format!("{option} names a live path, which is read before it is mounted: nothing is decrypted");
        return CheckRow::fail(ID, path, why).advise(format!("let {option} name {stored}, and rebuild"));
    }
    if is_on_root(context, path) {
        let why = format!("{option} names a path on the root, which loses it at reboot");
        return CheckRow::fail(ID, path, why)
            .advise(format!("keep the key on the storage, name it in {option} and rebuild"));
    }
    match context.tree.stat_through(path) {
        Ok(_) => CheckRow::pass(ID, path, format!("{option}: there when secrets are decrypted")),
        Err(errno) if leads_nowhere(errno) => {
            CheckRow::fail(ID, path, format!("{option} names it, and it is not there"))
                .advise("put the key there, or name the one that is")
        }
        Err(errno) => CheckRow::unreadable(ID, path, errno),
    }
}
