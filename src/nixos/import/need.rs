//! How much a declared path is needed, where its name says so.
//!
//! Everything else is `required`: an absent entry then refuses the run, and the
//! user decides.

use crate::base::path::RelPath;
use crate::engine::mapping::model::Need;

/// Whether others may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    Public,
    Secret,
}

use Need::{Critical, Optional, Recommended};
use Secrecy::{Public, Secret};

/// A name that ends in `*` stands for all names with that beginning, one that ends
/// in `/` for what lies below as well.
const SYSTEM: &[(&str, Need, Secrecy)] = &[
    ("/etc/machine-id", Critical, Public),
    ("/etc/ssh/ssh_host_*.pub", Recommended, Public),
    ("/etc/ssh/ssh_host_*", Critical, Secret),
    ("/etc/ssh", Critical, Public),
    ("/etc/shadow", Critical, Secret),
    ("/etc/NetworkManager/system-connections", Critical, Secret),
    ("/var/lib/nixos", Critical, Public),
    ("/var/lib/sops-nix/", Critical, Secret),
    ("/var/lib/private", Need::Required, Secret),
    ("/var/log", Recommended, Public),
    ("/etc/adjtime", Recommended, Public),
    ("/var/cache/", Optional, Public),
    ("/var/lib/colord", Optional, Public),
    ("/var/lib/systemd/coredump", Optional, Public),
    ("/var/lib/systemd/timers", Optional, Public),
];

const HOME: &[(&str, Need, Secrecy)] = &[
    (".ssh/", Critical, Secret),
    (".gnupg/", Critical, Secret),
    (".config/sops/", Critical, Secret),
    (".config/age/", Critical, Secret),
    (".config/Bitwarden", Critical, Secret),
    (".config/gcloud", Critical, Secret),
    (".password-store", Critical, Secret),
    (".local/share/keyrings", Critical, Secret),
    (".cache/", Optional, Public),
    (".local/state/", Recommended, Public),
    (".config/monitors.xml", Recommended, Public),
];

/// Looks up a path of the system, or one below a home.
pub(super) fn of(path: &RelPath, in_home: bool) -> (Need, Secrecy) {
    let text = String::from_utf8_lossy(path.as_bytes());
    let text = if in_home { text } else { format!("/{text}").into() };
    let table = if in_home { HOME } else { SYSTEM };
    let found = table.iter().find(|(pattern, ..)| covers(pattern, &text));
    found.map_or((Need::Required, Public), |(_, need, secrecy)| (*need, *secrecy))
}

fn covers(pattern: &str, text: &str) -> bool {
    if let Some((head, tail)) = pattern.split_once('*') {
        return text.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail) && !rest.contains('/'));
    }
    match pattern.strip_suffix('/') {
        Some(dir) => text.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        None => text == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_how_much_they_are_needed() {
        let of = |text: &str, home| of(&RelPath::new(text.as_bytes()).unwrap(), home);
        assert_eq!(of("/etc/machine-id", false), (Critical, Public));
        assert_eq!(of("/etc/ssh/ssh_host_rsa_key", false), (Critical, Secret));
        assert_eq!(of("/etc/ssh/ssh_host_rsa_key.pub", false), (Recommended, Public));
        assert_eq!(of(".ssh/id_ed25519", true), (Critical, Secret));
        assert_eq!(of(".sshfs", true), (Need::Required, Public));
        assert_eq!(of(".ssh", false), (Need::Required, Public));
    }
}
