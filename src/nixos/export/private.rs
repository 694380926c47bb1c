//! Paths that are private on every machine, used if the backup is not at hand.
//! `docs/nix-export.md` shows them.

use super::place::HomePath;
use crate::base::path::RelPath;
use crate::engine::mapping::model::EntryKind;
use crate::nixos::known_paths::Spot;
use globset::GlobBuilder;

/// The host keys that sshd creates when it has none.
const HOST_KEYS: [&str; 4] =
    ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "ssh_host_rsa_key", "ssh_host_rsa_key.pub"];

/// The usual mode of a well-known path.
pub(crate) fn usual_mode(path: &RelPath, kind: EntryKind) -> Option<u32> {
    let is_home = kind != EntryKind::File && HomePath::of(path).is_some_and(|home| home.below.is_root());
    let known = || Spot::of(path).known().and_then(|known| known.usual_mode(kind));
    is_home.then_some(0o700).or_else(known)
}

/// The same of a path that may be in a home which is not in /home.
pub(super) fn usual_mode_at(home: Option<&HomePath>, path: &RelPath, kind: EntryKind) -> Option<u32> {
    match home {
        Some(home) if home.below.is_root() => (kind != EntryKind::File).then_some(0o700),
        Some(home) => Spot::Home(home.below.clone()).known().and_then(|known| known.usual_mode(kind)),
        None => usual_mode(path, kind),
    }
}

/// The type of an SSH host key by its file's name; `None` for anything else, such as public keys.
pub(super) fn host_key_type(path: &RelPath) -> Option<&'static str> {
    let name = path.as_bytes().strip_prefix(b"etc/ssh/ssh_host_")?.strip_suffix(b"_key")?;
    ["ed25519", "rsa", "ecdsa"].into_iter().find(|known| known.as_bytes() == name)
}

/// What a glob would match on a usual machine: host keys, nothing else.
pub(super) fn usual_matches(from: &RelPath, pattern: &RelPath) -> Vec<RelPath> {
    let (Some(dir), Some(last)) = (pattern.parent(), pattern.last()) else { return Vec::new() };
    if from.join_path(&dir).as_bytes() != b"etc/ssh" {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(last.as_bytes()).into_owned();
    let Ok(glob) = GlobBuilder::new(&text).literal_separator(true).build() else { return Vec::new() };
    let matcher = glob.compile_matcher();
    let names = HOST_KEYS.iter().filter(|name| matcher.is_match(name));
    names.filter_map(|name| RelPath::new(name.as_bytes()).ok()).map(|name| dir.join_path(&name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rel(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).expect("a valid path")
    }

    #[test]
    fn well_known_paths_have_their_usual_mode() {
        let dir = |path| usual_mode(&rel(path), EntryKind::Directory);
        let file = |path| usual_mode(&rel(path), EntryKind::File);
        assert_eq!(dir("/home/a/.ssh"), Some(0o700));
        assert_eq!(dir("/var/lib/docker"), Some(0o710));
        assert_eq!(dir("/home/a/Documents"), None);
        assert_eq!(dir("/srv/.ssh"), None);
        assert_eq!((dir("/home/a"), dir("/root"), dir("/home")), (Some(0o700), Some(0o700), None));
        assert_eq!(file("/home/a/.netrc"), Some(0o600));
        assert_eq!(file("/etc/ssh/ssh_host_rsa_key"), Some(0o600));
        assert_eq!(file("/etc/NetworkManager/system-connections/w.nmconnection"), Some(0o600));
        assert_eq!(file("/etc/adjtime"), None);
    }

    #[test]
    fn host_keys_are_guessed_from_their_glob_alone() {
        assert_eq!(usual_matches(&RelPath::root(), &rel("etc/ssh/ssh_host_*")).len(), 4);
        assert_eq!(usual_matches(&rel("etc"), &rel("ssh/ssh_host_*_key")).len(), 2);
        assert_eq!(usual_matches(&RelPath::root(), &rel("etc/ssh/moduli*")), []);
        assert_eq!(usual_matches(&RelPath::root(), &rel("etc/ssh_host_*")), []);
    }
}
