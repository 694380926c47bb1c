//! How much a declared path is needed, if its name says so.
//!
//! Everything else is `required`: a missing entry then refuses the run, and the user decides.

use crate::engine::mapping::model::Need;
use crate::nixos::known_paths::{KnownPath, Spot};

/// Whether others may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    Public,
    Secret,
}

/// How much `spot` is needed, by its own record or the innermost one around it.
pub(crate) fn need(spot: &Spot) -> Need {
    spot.around().find_map(KnownPath::need).unwrap_or(Need::Required)
}

/// Whether others may read what is at `spot`.
pub(crate) fn secrecy(spot: &Spot) -> Secrecy {
    let itself = spot.known().is_some_and(KnownPath::is_secret);
    if itself || spot.around().any(KnownPath::holds_secrets) { Secrecy::Secret } else { Secrecy::Public }
}

#[cfg(test)]
mod tests {
    use super::{Need::*, Secrecy::*, *};
    use crate::base::path::RelPath;

    #[test]
    fn names_say_how_much_they_are_needed() {
        let rel = |text: &str| RelPath::new(text.as_bytes()).unwrap();
        let both = |spot: Spot| (need(&spot), secrecy(&spot));
        let system = |text: &str| both(Spot::System(rel(text)));
        let home = |text: &str| both(Spot::Home(rel(text)));
        assert_eq!(system("/etc/machine-id"), (Critical, Public));
        assert_eq!(system("/etc/ssh"), (Critical, Public));
        assert_eq!(system("/etc/ssh/ssh_host_rsa_key"), (Critical, Secret));
        assert_eq!(system("/etc/ssh/ssh_host_rsa_key.pub"), (Recommended, Public));
        assert_eq!(system("/etc/NetworkManager/system-connections"), (Critical, Secret));
        assert_eq!(system("/var/lib/private"), (Required, Secret));
        assert_eq!(system("/var/lib/private/x"), (Required, Public));
        assert_eq!(system("/var/lib/sops-nix/key.txt"), (Critical, Secret));
        assert_eq!(system("/var/cache/x"), (Optional, Public));
        assert_eq!(system("/etc/x"), (Required, Public));
        assert_eq!(home(".ssh/id_ed25519"), (Critical, Secret));
        assert_eq!(home(".config/sops/age"), (Critical, Secret));
        assert_eq!(home(".cache/x"), (Optional, Public));
        assert_eq!(home(".sshfs"), (Required, Public));
        assert_eq!(home(".config/hypr"), (Required, Public));
        assert_eq!(system(".ssh"), (Required, Public));
    }
}
