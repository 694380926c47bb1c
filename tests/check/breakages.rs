//! One thing broken at a time: exactly one new row, with the expected id.

use super::scene::Scene;
use crate::kit::need_root;
use crate::kit::nixos::age_key;
use crate::kit::sh;

/// The row that must appear: id and status, and what breaks it.
type Breakage = (&'static str, &'static str, fn(&Scene));

fn each(breakages: &[Breakage]) {
    let before = Scene::good().findings();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/check.md")).unwrap();
    for (number, (id, status, breaks)) in breakages.iter().enumerate() {
        let scene = Scene::good();
        assert!(page.contains(&format!("| `{id}` |")), "{id} is not in docs/check.md");
        breaks(&scene);
        let after = scene.findings();
        let new: Vec<_> = after.difference(&before).collect();
        let [row] = new[..] else { panic!("breakage {number} ({id}) gives {new:?}") };
        assert_eq!((&row.0[..], &row.2[..]), (*id, *status), "breakage {number}: {row:?}");
    }
}

const FSTAB: &str = "nix/store/aaaa-nixos-system/etc/fstab";
const HOST_KEY: &str = "persist/system/etc/ssh/ssh_host_ed25519_key";
const USER_KEY: &str = "persist/home/sinh/.ssh/id_ed25519";
const AGE: &str = "persist/home/sinh/.config/sops/age/keys.txt";
const PROFILE: &str = "persist/system/etc/NetworkManager/system-connections/Home.nmconnection";
const MACHINE_ID: &str = "persist/system/etc/machine-id";
const DOCUMENTS: &str = "persist/home/sinh/Documents";
const CONF: &str = "persist/home/sinh/.config/app.conf";

fn edit(scene: &Scene, path: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(scene.at(path)).unwrap();
    assert!(text.contains(from), "{path} has no {from}");
    std::fs::write(scene.at(path), text.replace(from, to)).unwrap();
}

/// What a crash leaves: the size, without the content.
fn zero(scene: &Scene, path: &str) {
    let length = std::fs::metadata(scene.at(path)).unwrap().len() as usize;
    std::fs::write(scene.at(path), vec![0; length]).unwrap();
}

fn halve(scene: &Scene, path: &str) {
    let bytes = std::fs::read(scene.at(path)).unwrap();
    std::fs::write(scene.at(path), &bytes[..bytes.len() / 2]).unwrap();
}

/// A manifest of sops-nix, as the activation script names it.
fn sops(scene: &Scene, age: &str, ssh: &str) {
    let manifest =
        format!("{{\"secrets\":[],\"ageKeyFile\":\"{age}\",\"ageSshKeyPaths\":[\"{ssh}\"],\"sshKeyPaths\":[]}}");
    scene.put("nix/store/cccc-manifest.json", manifest, 0o444);
    let script = "nix/store/aaaa-nixos-system/activate";
    edit(scene, script, "#!/bin/sh", "#!/bin/sh\nsops-install-secrets /nix/store/cccc-manifest.json");
}

fn plan(scene: &Scene, from: &str, to: &str) {
    let text = super::scene::PLAN;
    assert!(text.contains(from));
    std::fs::write(&scene.plan, text.replace(from, to)).unwrap();
}

#[test]
fn mounts() {
    need_root!();
    each(&[
        ("storage-early", "fail", |s| edit(s, FSTAB, "/persist ext4 noatime,x-initrd.mount", "/persist ext4 noatime")),
        ("storage-early", "fail", |s| edit(s, FSTAB, "/dev/full /persist", "/dev/full /elsewhere")),
        ("root-mode", "fail", |s| edit(s, FSTAB, "size=4G,mode=755", "size=4G")),
        ("root-mode", "fail", |s| edit(s, FSTAB, "mode=755", "mode=1777")),
        ("storage-options", "fail", |s| sh!("mount", "-o", "remount,ro", s.world.persist)),
        ("storage-options", "warn", |s| sh!("mount", "-o", "remount,bind,noexec", s.world.persist)),
        ("storage-options", "fail", |s| sh!("mount", "-o", "remount,bind,noexec", s.at("nix"))),
        ("storage-space", "warn", |s| fill(s, 5)),
        ("storage-space", "fail", |s| fill(s, 0)),
    ]);
}

/// Leaves `percent` of the storage's bytes free.
fn fill(scene: &Scene, percent: u64) {
    let space = rustix::fs::statvfs(&scene.world.persist).unwrap();
    let bytes = (space.f_bavail - space.f_blocks * percent / 100).saturating_sub(64) * space.f_frsize;
    sh!("fallocate", "-l", bytes.to_string(), scene.at("persist/ballast"));
}

#[test]
fn declared_paths() {
    need_root!();
    each(&[
        ("declared", "warn", |s| s.gone(DOCUMENTS)),
        ("declared", "fail", |s| s.gone(CONF)),
        ("declared", "fail", |s| s.gone("persist/home/sinh/.ssh")),
        ("declared", "fail", |s| s.gone(MACHINE_ID)),
        ("declared", "fail", |s| s.gone("persist/system/etc/ssh")),
        ("declared", "fail", |s| {
            s.gone(DOCUMENTS);
            s.put(DOCUMENTS, "file", 0o644);
        }),
        ("declared", "fail", |s| s.link("nowhere", DOCUMENTS)),
        ("declared", "fail", |s| s.link(".config/app.conf", DOCUMENTS)),
        ("declared", "warn", |s| s.link("/boot", DOCUMENTS)),
        ("declared", "fail", |s| {
            s.gone(CONF);
            std::fs::create_dir(s.at(CONF)).unwrap();
        }),
        ("declared", "fail", |s| s.link("nowhere", CONF)),
        ("declared", "fail", |s| s.link("sops", CONF)),
        ("declared", "warn", |s| {
            s.gone(CONF);
            sh!("mkfifo", s.at(CONF));
        }),
        ("declared", "fail", |s| {
            s.gone("persist/home/sinh/.local");
            s.put("persist/home/sinh/.local", "file", 0o644);
        }),
        ("fixup", "fail", |s| s.mode("persist/system/var/lib/colord", 0o700)),
        ("replaced-file", "warn", |s| {
            s.put("persist/home/sinh/.gitconfig", "[user]", 0o644);
            s.own("persist/home/sinh/.gitconfig", 1000, 100);
            plan(s, "files = [\".config/app.conf\"]", "files = [\".config/app.conf\", \".gitconfig\"]");
        }),
    ]);
}

#[test]
fn identity_and_numbers() {
    need_root!();
    const NIXOS: &str = "persist/system/var/lib/nixos";
    each(&[
        ("machine-id", "fail", |s| drop(s.put(MACHINE_ID, "", 0o444))),
        ("machine-id", "fail", |s| drop(s.put(MACHINE_ID, "uninitialized\n", 0o444))),
        ("machine-id", "fail", |s| drop(s.put(MACHINE_ID, "0".repeat(32), 0o444))),
        ("machine-id", "fail", |s| halve(s, MACHINE_ID)),
        ("machine-id-journal", "fail", |s| drop(s.put(MACHINE_ID, "f".repeat(32), 0o444))),
        ("machine-id-journal", "warn", |s| {
            drop(s.put(&format!("persist/system/var/log/journal/{}/a.journal", "e".repeat(32)), "", 0o640));
        }),
        ("machine-id", "warn", |s| plan(s, "\"/etc/machine-id\", ", "")),
        ("id-map", "fail", |s| drop(s.put(&format!("{NIXOS}/uid-map"), "", 0o644))),
        ("id-map", "fail", |s| zero(s, &format!("{NIXOS}/uid-map"))),
        ("id-map", "fail", |s| halve(s, &format!("{NIXOS}/uid-map"))),
        ("id-map", "fail", |s| edit(s, &format!("{NIXOS}/uid-map"), "1000", "997")),
        ("id-map", "fail", |s| halve(s, &format!("{NIXOS}/gid-map"))),
        ("id-map", "fail", |s| s.gone(&format!("{NIXOS}/gid-map"))),
        ("id-map", "fail", |s| zero(s, &format!("{NIXOS}/auto-subuid-map"))),
        ("id-map", "fail", |s| zero(s, &format!("{NIXOS}/declarative-users"))),
        ("id-name", "fail", |s| edit(s, &format!("{NIXOS}/uid-map"), "1000", "1001")),
        ("id-name", "warn", |s| edit(s, &format!("{NIXOS}/uid-map"), ",\"sinh\":1000", "")),
        ("id-owner", "fail", |s| s.own("persist/system/var/lib/colord", 1000, 995)),
        ("id-known", "warn", |s| s.own(DOCUMENTS, 4242, 100)),
    ]);
}

#[test]
fn keys() {
    need_root!();
    each(&[
        ("ssh-host-keys", "warn", |s| plan(s, ", \"/etc/ssh/ssh_host_*\"", "")),
        ("ssh-key", "fail", |s| zero(s, HOST_KEY)),
        ("ssh-key", "fail", |s| halve(s, HOST_KEY)),
        ("ssh-key-mode", "fail", |s| s.mode(HOST_KEY, 0o640)),
        ("ssh-key-mode", "fail", |s| s.own(HOST_KEY, 1000, 0)),
        ("ssh-key-pair", "fail", |s| {
            sh!("cp", s.at(&format!("{USER_KEY}.pub")), s.at(&format!("{HOST_KEY}.pub")));
        }),
        ("ssh-key-pair", "fail", |s| halve(s, &format!("{HOST_KEY}.pub"))),
        ("ssh-key", "fail", |s| zero(s, USER_KEY)),
        ("ssh-key-mode", "fail", |s| s.mode(USER_KEY, 0o644)),
        ("ssh-key-mode", "fail", |s| s.own(USER_KEY, 0, 0)),
        ("ssh-directory", "fail", |s| s.mode("persist/home/sinh/.ssh", 0o755)),
        ("ssh-directory", "fail", |s| s.own("persist/home/sinh/.ssh", 0, 0)),
        ("ssh-config", "fail", |s| s.mode("persist/home/sinh/.ssh/authorized_keys", 0o664)),
        ("ssh-config", "fail", |s| s.mode("persist/home/sinh/.ssh/config", 0o666)),
        ("gnupg-directory", "fail", |s| s.mode("persist/home/sinh/.gnupg", 0o755)),
        ("gnupg-keys", "warn", |s| s.gone("persist/home/sinh/.gnupg/private-keys-v1.d")),
        ("gnupg-keys", "warn", |s| s.gone("persist/home/sinh/.gnupg/pubring.kbx")),
        ("age-key", "fail", |s| zero(s, AGE)),
        ("age-key", "fail", |s| edit(s, AGE, &age_key()[..20], &format!("{}Q", &age_key()[..19]))),
        ("age-key", "fail", |s| halve(s, AGE)),
        ("age-key", "fail", |s| s.gone(AGE)),
        ("age-key-mode", "fail", |s| s.mode(AGE, 0o644)),
        ("age-key-mode", "fail", |s| s.own(AGE, 0, 0)),
        ("decryption-key", "fail", |s| {
            sops(s, "/var/lib/nixos/key.txt", "/persist/system/etc/ssh/ssh_host_ed25519_key")
        }),
        ("decryption-key", "fail", |s| sops(s, "/persist/nothing", "/persist/system/etc/ssh/ssh_host_ed25519_key")),
        ("decryption-key", "fail", |s| sops(s, &format!("/{AGE}"), "/etc/ssh/ssh_host_ed25519_key")),
        ("decryption-key", "fail", |s| {
            let script = "nix/store/aaaa-nixos-system/activate";
            edit(s, script, "#!/bin/sh", "#!/bin/sh\nfor identity in /etc/ssh/ssh_host_ed25519_key; do");
        }),
    ]);
}

#[test]
fn homes_and_services() {
    need_root!();
    const DOCKER: &str = "persist/system/var/lib/docker";
    each(&[
        ("home", "fail", |s| s.mode("persist/home/sinh", 0o755)),
        ("home", "fail", |s| s.own("persist/home/sinh", 0, 0)),
        ("home-parent", "fail", |s| s.own("persist/home/sinh/.local", 0, 0)),
        ("home-parent", "fail", |s| s.own("persist/home/sinh/.local/share", 0, 0)),
        ("home-parent", "fail", |s| s.own("persist/home/sinh/.config", 0, 0)),
        ("home-parent", "fail", |s| s.mode("persist/home/sinh/.config", 0o777)),
        ("home-entry", "fail", |s| s.own(DOCUMENTS, 0, 0)),
        ("home-entry", "fail", |s| s.own(CONF, 0, 0)),
        ("system-parent", "fail", |s| s.mode("persist/system/var/lib", 0o777)),
        ("system-parent", "fail", |s| s.own("persist/system/var", 1000, 100)),
        ("dynamic-user", "fail", |s| {
            let unit = "[Service]\nDynamicUser=yes\nStateDirectory=colord\n";
            s.put("etc/systemd/system/colord.service", unit, 0o644);
        }),
        ("home-above", "fail", |s| s.mode("persist/home", 0o700)),
        ("private-state", "fail", |s| s.mode("persist/system/var/lib/private", 0o755)),
        ("network-profiles", "warn", |s| plan(s, "  \"/etc/NetworkManager/system-connections\",\n", "")),
        ("network-profile", "fail", |s| s.mode(PROFILE, 0o644)),
        ("network-profile", "fail", |s| s.own(PROFILE, 1000, 0)),
        ("network-profile", "fail", |s| zero(s, PROFILE)),
        ("network-profile", "fail", |s| edit(s, PROFILE, "[connection]", "[connexion]")),
        ("network-profile", "fail", |s| s.link("/boot", PROFILE)),
        ("docker-layer", "fail", |s| s.gone(&format!("{DOCKER}/overlay2/app"))),
        ("docker-layer", "fail", |s| s.gone(&format!("{DOCKER}/overlay2/app/diff"))),
        ("docker-layer", "fail", |s| s.gone(&format!("{DOCKER}/overlay2/app/link"))),
        ("docker-layer", "fail", |s| s.gone(&format!("{DOCKER}/overlay2/l/BBBB"))),
        ("docker-layer", "fail", |s| edit(s, &format!("{DOCKER}/overlay2/app/lower"), "AAAA", "AAAB")),
        ("docker-layer", "fail", |s| zero(s, &format!("{DOCKER}/image/overlay2/layerdb/sha256/app0/cache-id"))),
        ("docker-merged", "warn", |s| drop(s.put(&format!("{DOCKER}/overlay2/app/merged/file"), "", 0o644))),
        ("docker-container", "fail", |s| halve(s, &format!("{DOCKER}/containers/c1/config.v2.json"))),
        ("docker-container", "fail", |s| s.gone(&format!("{DOCKER}/containers/c1/config.v2.json"))),
    ]);
}

#[test]
fn passwords_and_boot() {
    need_root!();
    const TOP: &str = "nix/store/aaaa-nixos-system";
    const USERS: &str = "nix/store/bbbb-users-groups.json";
    each(&[
        ("passwords", "fail", |s| edit(s, USERS, "\"hashedPasswordFile\"", "\"nothing\"")),
        ("passwords", "warn", |s| s.gone(&format!("{TOP}/activate"))),
        ("account-file", "fail", |s| {
            s.put("persist/system/etc/shadow", "sinh:$y$hash:1::::::\n", 0o600);
            plan(s, "files = [\"/etc/machine-id\"", "files = [\"/etc/shadow\", \"/etc/machine-id\"");
        }),
        ("password-file", "fail", |s| s.gone("persist/passwords/sinh")),
        ("password-file", "fail", |s| s.gone("persist/passwords")),
        ("password-file", "fail", |s| drop(s.put("persist/passwords/sinh", "", 0o600))),
        ("password-file", "fail", |s| drop(s.put("persist/passwords/sinh", "secret\n", 0o600))),
        ("password-file", "fail", |s| drop(s.put("persist/passwords/sinh", "$1$salt$hash\n", 0o600))),
        ("password-file", "fail", |s| s.mode("persist/passwords/sinh", 0o644)),
        ("password-file", "fail", |s| edit(s, USERS, "/persist/passwords/sinh", "/secrets/sinh")),
        ("password-file", "fail", |s| edit(s, USERS, "/persist/passwords/sinh", "/var/log/password")),
        ("password-file", "fail", |s| {
            s.put("etc/password", "hash", 0o600);
            edit(s, USERS, "/persist/passwords/sinh", "/etc/password");
        }),
        ("system-profile", "fail", |s| s.gone(&format!("{TOP}/initrd"))),
        ("system-profile", "fail", |s| s.gone(&format!("{TOP}/kernel"))),
        ("fstab-device", "warn", |s| edit(s, FSTAB, "/dev/zero", "/dev/disk/by-uuid/0000-no-such-disk")),
        ("boot-mounted", "warn", |s| {
            sh!("umount", s.at("boot"));
            s.boot();
        }),
        ("boot-loader", "warn", |s| s.gone("boot/EFI")),
        ("boot-loader", "fail", |s| s.gone("boot/EFI/systemd")),
        ("boot-entry", "fail", |s| s.gone("boot/EFI/nixos/initrd.efi")),
        ("boot-entry", "fail", |s| drop(s.put("boot/EFI/nixos/kernel.efi", "", 0o644))),
        ("boot-entry", "fail", |s| s.gone("boot/loader/entries/nixos-generation-1.conf")),
    ]);
}
