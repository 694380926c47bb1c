//! Numbers that NixOS fixes for every machine (nixpkgs, `nixos/modules/misc/ids.nix`), of names that
//! own state on disk or represent hardware. All other system names are allocated by the machine and
//! are in its `/var/lib/nixos` maps.

use crate::engine::mapping::model::IdKind;

#[rustfmt::skip]
const USERS: &[(&str, u32)] = &[
    ("root", 0), ("messagebus", 4), ("ftp", 8), ("nagios", 11), ("atd", 12), ("postfix", 13), ("tomcat", 16),
    ("pulseaudio", 22), ("gpsd", 23), ("polkituser", 28), ("davfs2", 31), ("tor", 35), ("cups", 36), ("git", 41),
    ("dovecot2", 46), ("dovenull2", 47), ("mpd", 50), ("clamav", 51), ("wwwrun", 54), ("spamd", 56), ("scanner", 59),
    ("nginx", 60), ("chrony", 61), ("transmission", 70), ("postgres", 71), ("varnish", 75), ("lighttpd", 77),
    ("lightdm", 78), ("bacula", 81), ("deluge", 83), ("mysql", 84), ("rabbitmq", 85), ("minidlna", 91),
    ("elasticsearch", 92), ("munin", 102), ("couchdb", 106), ("jenkins", 109), ("systemd-journal-gateway", 110),
    ("vault", 115), ("murmur", 117), ("hydra", 122), ("influxdb", 125), ("gitolite", 127), ("znc", 128),
    ("gdm", 132), ("redmine", 147), ("prosody", 149), ("systemd-coredump", 151), ("systemd-network", 152),
    ("systemd-resolve", 153), ("systemd-timesync", 154), ("kubernetes", 162), ("gitlab", 165), ("sddm", 175),
    ("zabbix", 180), ("plex", 193), ("grafana", 196), ("nm-openvpn", 217), ("matrix-synapse", 224),
    ("syncthing", 237), ("caddy", 239), ("mosquitto", 246), ("prometheus", 255), ("ipfs", 261), ("sonarr", 274),
    ("radarr", 275), ("jackett", 276), ("minio", 280), ("hass", 286), ("restic", 291), ("openvpn", 292),
    ("qemu-libvirtd", 301), ("paperless", 315), ("zigbee2mqtt", 317), ("pipewire", 323), ("nixbld", 30_000),
    ("nobody", 65_534),
];

#[rustfmt::skip]
const GROUPS: &[(&str, u32)] = &[
    ("root", 0), ("wheel", 1), ("kmem", 2), ("tty", 3), ("messagebus", 4), ("disk", 6), ("ftp", 8), ("atd", 12),
    ("postfix", 13), ("postdrop", 14), ("tomcat", 16), ("audio", 17), ("floppy", 18), ("uucp", 19), ("lp", 20),
    ("proc", 21), ("pulseaudio", 22), ("gpsd", 23), ("cdrom", 24), ("tape", 25), ("video", 26), ("dialout", 27),
    ("utmp", 29), ("davfs2", 31), ("tor", 35), ("git", 41), ("dovecot2", 46), ("mpd", 50), ("clamav", 51),
    ("wwwrun", 54), ("adm", 55), ("spamd", 56), ("networkmanager", 57), ("scanner", 59), ("nginx", 60),
    ("chrony", 61), ("systemd-journal", 62), ("libvirtd", 67), ("transmission", 70), ("postgres", 71),
    ("vboxusers", 72), ("vboxsf", 73), ("lighttpd", 77), ("lightdm", 78), ("bacula", 81), ("deluge", 83),
    ("mysql", 84), ("rabbitmq", 85), ("minidlna", 91), ("elasticsearch", 92), ("keys", 96), ("users", 100),
    ("munin", 102), ("couchdb", 106), ("jenkins", 109), ("systemd-journal-gateway", 110), ("vault", 115),
    ("hydra", 122), ("influxdb", 125), ("gitolite", 127), ("znc", 128), ("docker", 131), ("gdm", 132),
    ("redmine", 147), ("prosody", 149), ("systemd-network", 152), ("systemd-resolve", 153),
    ("systemd-timesync", 154), ("kubernetes", 162), ("gitlab", 165), ("input", 174), ("sddm", 175),
    ("zabbix", 180), ("plex", 193), ("nm-openvpn", 217), ("matrix-synapse", 224), ("syncthing", 237),
    ("caddy", 239), ("mosquitto", 246), ("prometheus", 255), ("ipfs", 261), ("sonarr", 274), ("radarr", 275),
    ("jackett", 276), ("minio", 280), ("hass", 286), ("restic", 291), ("openvpn", 292), ("qemu-libvirtd", 301),
    ("kvm", 302), ("render", 303), ("sgx", 304), ("paperless", 315), ("zigbee2mqtt", 317), ("shadow", 318),
    ("pipewire", 323), ("uinput", 327), ("nixbld", 30_000), ("nogroup", 65_534),
];

fn table(kind: IdKind) -> &'static [(&'static str, u32)] {
    match kind {
        IdKind::User => USERS,
        IdKind::Group => GROUPS,
    }
}

/// The fixed number of `name`.
pub(crate) fn find(kind: IdKind, name: &str) -> Option<u32> {
    table(kind).iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
}

/// The name whose fixed number is `id`.
pub(crate) fn name(kind: IdKind, id: u32) -> Option<&'static str> {
    table(kind).iter().find(|(_, known)| *known == id).map(|(name, _)| *name)
}
