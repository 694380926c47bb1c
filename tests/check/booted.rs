//! The running system: a root in memory, with the storage's directories and files mounted
//! where the plan says.

use super::scene::{self, Findings, ID, Scene, findings};
use crate::kit::attach::Attached;
use crate::kit::need_root;
use crate::kit::run::{Ran, put_binary, wait};
use crate::kit::sh;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Below the root of a running system: live path, and what of the storage is mounted there.
const MOUNTS: [(&str, &str); 14] = [
    ("var/log", "system/var/log"),
    ("var/lib/docker", "system/var/lib/docker"),
    ("var/lib/nixos", "system/var/lib/nixos"),
    ("var/lib/NetworkManager", "system/var/lib/NetworkManager"),
    ("var/lib/private/app", "system/var/lib/private/app"),
    ("var/lib/colord", "system/var/lib/colord"),
    ("etc/NetworkManager/system-connections", "system/etc/NetworkManager/system-connections"),
    ("etc/machine-id", "system/etc/machine-id"),
    ("home/sinh/.ssh", "home/sinh/.ssh"),
    ("home/sinh/.gnupg", "home/sinh/.gnupg"),
    ("home/sinh/.config/sops/age", "home/sinh/.config/sops/age"),
    ("home/sinh/.local/share/fish", "home/sinh/.local/share/fish"),
    ("home/sinh/Documents", "home/sinh/Documents"),
    ("home/sinh/.config/app.conf", "home/sinh/.config/app.conf"),
];

struct Running {
    // The mounts below go with it, and before the disks.
    _memory: Attached,
    root: PathBuf,
    scene: Scene,
}

impl Running {
    fn new() -> Self {
        let scene = Scene::good();
        let root = scene.world.path().join("live");
        let memory = Attached::tmpfs("mode=755", &root);
        let running = Self { _memory: memory, root, scene };
        for name in ["persist", "nix", "boot"] {
            running.bind(&running.scene.at(name), name);
        }
        for (live, stored) in MOUNTS {
            running.bind(&running.scene.world.persist.join(stored), live);
        }
        for path in ["", ".config", ".config/sops", ".local", ".local/share"] {
            chown(running.at("home/sinh").join(path), Some(1000), Some(100)).unwrap();
        }
        std::fs::set_permissions(running.at("var/lib/private"), PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::create_dir_all(running.at("etc/ssh")).unwrap();
        let key = "HostKey /persist/system/etc/ssh/ssh_host_ed25519_key\n";
        std::fs::write(running.at("etc/ssh/sshd_config"), key).unwrap();
        std::fs::copy(running.scene.at("nix/store/aaaa-nixos-system/etc/fstab"), running.at("etc/fstab")).unwrap();
        running
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn bind(&self, from: &std::path::Path, live: &str) {
        let to = self.at(live);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        if from.is_dir() {
            std::fs::create_dir_all(&to).unwrap()
        } else {
            drop(std::fs::File::create(&to).unwrap())
        }
        sh!("mount", "--bind", from, to);
    }

    fn check(&self) -> Ran {
        self.scene.check_at(&self.root, &["--booted", "yes"])
    }

    /// `check --root /` from inside, as on the machine itself.
    fn inside(&self) -> Ran {
        if !self.at("usr").exists() {
            std::fs::create_dir(self.at("usr")).unwrap();
            sh!("mount", "--bind", "/usr", self.at("usr"));
            for name in ["lib", "lib64"] {
                if let Ok(to) = std::fs::read_link(format!("/{name}")) {
                    symlink(to, self.at(name)).unwrap();
                }
            }
            put_binary(&self.at("persistcp"));
            std::fs::copy(&self.scene.plan, self.at("plan.toml")).unwrap();
        }
        let mut command = Command::new("chroot");
        command.arg(&self.root).args(["/persistcp", "check", "--plan", "/plan.toml", "--format", "json"]);
        scene::parsed(wait_piped(command))
    }
}

fn wait_piped(mut command: Command) -> Ran {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command)
}

fn new_rows(before: &Findings, ran: &Ran) -> Vec<(String, String, String)> {
    findings(ran).difference(before).cloned().collect()
}

#[test]
fn a_running_system_with_the_right_mounts_passes() {
    need_root!();
    let running = Running::new();
    let ran = running.check().exits(0);
    assert_eq!(findings(&ran).iter().map(|f| &f.0[..]).collect::<Vec<_>>(), ["age-key-path"], "{ran}");
    let rows = ran.report["rows"].as_array().unwrap();
    let live = |path: &str| rows.iter().any(|r| r["id"] == "live" && r["path"] == path && r["status"] == "pass");
    assert!(MOUNTS.iter().all(|(path, _)| live(&format!("/{path}"))), "{ran}");
    assert!(live("/etc/ssh/ssh_host_ed25519_key"), "{ran}");
}

#[test]
fn each_mount_that_is_missing_is_found_alone() {
    need_root!();
    let running = Running::new();
    let before = findings(&running.check());
    for (live, stored) in MOUNTS {
        sh!("umount", running.at(live));
        let ran = running.check().exits(1);
        let new = new_rows(&before, &ran);
        assert_eq!(new, [("live".to_string(), format!("/{live}"), "fail".to_string())], "{ran}");
        running.bind(&running.scene.world.persist.join(stored), live);
    }
    assert_eq!(findings(&running.check()), before);
}

#[test]
fn the_command_of_a_missing_mount_mounts_it() {
    need_root!();
    let running = Running::new();
    let before = findings(&running.check());
    let breaks: [&dyn Fn(); 7] = [
        &|| sh!("umount", running.at("var/log")),
        &|| {
            sh!("umount", running.at("home/sinh/.config/app.conf"));
            sh!("rm", running.at("home/sinh/.config/app.conf"));
        },
        // The boot's "A file already exists".
        &|| {
            sh!("umount", running.at("etc/machine-id"));
            std::fs::write(running.at("etc/machine-id"), format!("{ID}\n")).unwrap();
        },
        // Something hides the storage.
        &|| sh!("mount", "-t", "tmpfs", "none", running.at("var/log")),
        // In a home.
        &|| sh!("umount", running.at("home/sinh/.gnupg")),
        &|| {
            sh!("umount", running.at("home/sinh/.local/share/fish"));
            sh!("rm", "-r", running.at("home/sinh/.local"));
        },
        &|| {
            sh!("umount", running.at("home/sinh/.config/app.conf"));
            std::fs::write(running.at("home/sinh/.config/app.conf"), "early").unwrap();
        },
    ];
    for (number, breaks) in breaks.iter().enumerate() {
        breaks();
        let ran = running.check().exits(1);
        let rows = ran.report["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["id"] == "live" && row["status"] == "fail").unwrap();
        assert_eq!(
            row["why"].as_str().unwrap().contains("A file already exists at"),
            [2, 6].contains(&number),
            "{row}"
        );
        assert_eq!(row["why"].as_str().unwrap().contains("(tmpfs) is mounted there"), number == 3, "{row}");
        sh!("bash", "-ec", row["mend"]["run"].as_str().unwrap());
        // Over a hidden mount the command may leave one more.
        assert_eq!(findings(&running.check()), before, "{row}");
    }
}

#[test]
fn a_symlink_to_the_storage_is_as_good_as_a_mount_and_a_read_only_one_is_not() {
    need_root!();
    let running = Running::new();
    let before = findings(&running.check());
    let conf = running.at("home/sinh/.config/app.conf");
    sh!("umount", conf);
    sh!("rm", conf);
    symlink("/persist/home/sinh/.config/app.conf", &conf).unwrap();
    assert_eq!(findings(&running.check()), before);
    sh!("mount", "-o", "remount,bind,ro", running.at("var/log"));
    let new = new_rows(&before, &running.check());
    assert_eq!(new, [("live".to_string(), "/var/log".to_string(), "warn".to_string())]);
}

#[test]
fn what_was_written_under_a_missing_mount_is_not_hidden_by_the_advice() {
    need_root!();
    let running = Running::new();
    let before = findings(&running.check());
    sh!("umount", running.at("home/sinh/.ssh"));
    std::fs::write(running.at("home/sinh/.ssh/id_new"), "a key of today").unwrap();
    let mend = || {
        let ran = running.check().exits(1);
        let rows = ran.report["rows"].as_array().unwrap();
        rows.iter().find(|row| row["id"] == "live" && row["status"] == "fail").unwrap()["mend"].clone()
    };
    let advice = mend()["do"].as_str().unwrap().to_string();
    assert!(advice.contains("copy what is newer there to /persist/home/sinh/.ssh, empty /home/sinh/.ssh"), "{advice}");
    sh!("rm", running.at("home/sinh/.ssh/id_new"));
    sh!("bash", "-ec", mend()["run"].as_str().unwrap());
    assert_eq!(findings(&running.check()), before);
}

#[test]
fn no_mount_follows_a_symlink_that_came_after_the_check() {
    need_root!();
    let running = Running::new();
    sh!("umount", running.at("home/sinh/.local/share/fish"));
    let ran = running.check().exits(1);
    let rows = ran.report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["id"] == "live" && row["status"] == "fail").unwrap();
    let command = row["mend"]["run"].as_str().unwrap();
    let storage = running.scene.at("persist/home/sinh");
    for (place, to) in [
        (running.at("home/sinh/.local"), "/var/victim"),
        (running.at("home/sinh/.local/share/fish"), "/var/victim/share/fish"),
        (storage.join(".local/share"), "/var/victim/share"),
    ] {
        std::fs::create_dir_all(running.at("var/victim/share/fish")).unwrap();
        let aside = place.with_extension("kept");
        std::fs::rename(&place, &aside).unwrap();
        symlink(running.at(to.trim_start_matches('/')), &place).unwrap();
        let status = Command::new("bash").args(["-c", command]).stderr(Stdio::null()).status().unwrap();
        assert!(!status.success(), "{}: {command}", place.display());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains("victim"), "{}: {command}", place.display());
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(&aside, &place).unwrap();
    }
    sh!("bash", "-ec", command);
    running.check().exits(0);
}

#[test]
fn a_mount_in_a_home_is_made_writable_again_and_another_one_is_left_to_its_owner() {
    need_root!();
    let running = Running::new();
    let before = findings(&running.check());
    let mend = |status: &str| {
        let ran = running.check();
        let rows = ran.report["rows"].as_array().unwrap();
        rows.iter().find(|row| row["id"] == "live" && row["status"] == status).unwrap_or_else(|| panic!("{ran}"))["mend"].clone()
    };
    sh!("mount", "-o", "remount,bind,ro", running.at("home/sinh/.gnupg"));
    sh!("bash", "-ec", mend("warn")["run"].as_str().unwrap());
    assert_eq!(findings(&running.check()), before);
    // umount(8) goes by the path, which a user's symlink could lead to another mount.
    sh!("mount", "-t", "tmpfs", "none", running.at("home/sinh/.gnupg"));
    assert!(mend("fail")["do"].is_string());
}

#[test]
fn a_live_parent_that_is_roots_is_found() {
    need_root!();
    let running = Running::new();
    let before = findings(&running.check());
    chown(running.at("home/sinh/.local"), Some(0), Some(0)).unwrap();
    let new = new_rows(&before, &running.check().exits(1));
    assert_eq!(new, [("home-live".to_string(), "/home/sinh/.local".to_string(), "fail".to_string())]);
}

#[test]
fn the_live_directory_of_dynamic_users_is_shut_by_its_command() {
    need_root!();
    let running = Running::new();
    let before = findings(&running.check());
    std::fs::set_permissions(running.at("var/lib/private"), PermissionsExt::from_mode(0o755)).unwrap();
    let ran = running.check().exits(1);
    let expected = ("private-state".to_string(), "/var/lib/private".to_string(), "fail".to_string());
    assert_eq!(new_rows(&before, &ran), [expected]);
    let rows = ran.report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["id"] == "private-state" && row["status"] == "fail").unwrap();
    sh!("bash", "-ec", row["mend"]["run"].as_str().unwrap());
    assert_eq!(findings(&running.check()), before);
}

#[test]
fn the_root_itself_decides_that_the_system_runs() {
    need_root!();
    let running = Running::new();
    std::fs::create_dir(running.at("proc")).unwrap();
    sh!("mount", "-t", "proc", "proc", running.at("proc"));
    let ran = running.inside().exits(0);
    assert_eq!(ran.report["booted"], true);
    assert_eq!(findings(&ran).iter().map(|f| &f.0[..]).collect::<Vec<_>>(), ["age-key-path"], "{ran}");
}

#[test]
fn without_proc_nothing_is_said_of_mounts() {
    need_root!();
    let running = Running::new();
    let ran = running.inside().exits(0);
    let rows = ran.report["rows"].as_array().unwrap();
    let status = |id: &str| rows.iter().filter(|r| r["id"] == id).map(|r| r["status"].clone()).collect::<Vec<_>>();
    assert_eq!(status("mount-table"), ["warn"], "{ran}");
    assert_eq!(status("storage-mounted"), ["warn", "warn"], "{ran}");
    assert_eq!(status("live"), ["warn"], "{ran}");
    // A missing mount shows all the same.
    sh!("umount", running.at("var/log"));
    running.inside().exits(1).says("nothing is mounted there");
}

#[test]
fn a_root_on_a_disk_forgets_nothing() {
    need_root!();
    let running = Running::new();
    // The good target's root is a directory of this machine's disk.
    let ran = running.scene.check_at(&running.scene.world.root, &["--booted", "yes"]);
    let found = findings(&ran);
    let root = found.iter().find(|f| f.0 == "root-volatile");
    assert!(root.is_some_and(|f| f.1 == "/"), "{ran}");
}
