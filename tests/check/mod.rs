//! `persistcp check`: a good target, and then each thing broken alone.

mod booted;
mod breakages;
mod commands;
mod scene;

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::nobody::Nobody;
use crate::kit::run::{plain, wait};
use crate::kit::sh;
use scene::{Disk, Scene, findings};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

#[test]
fn a_good_target_has_nothing_to_mend_but_what_cannot_be_seen() {
    need_root!();
    let scene = Scene::good();
    let ran = scene.check(&[]).exits(0);
    let found: Vec<_> = findings(&ran).into_iter().map(|(id, ..)| id).collect();
    // What sops-nix is told stands in a configuration that is not on the disk.
    assert_eq!(found, ["age-key-path"], "{ran}");
}

#[test]
fn a_storage_that_is_not_mounted_is_found() {
    need_root!();
    let before = Scene::good().findings();
    for disk in [Disk::None, Disk::Tmpfs] {
        let after = Scene::new(disk).findings();
        let new: Vec<_> = after.difference(&before).collect();
        assert!(
            matches!(new[..], [(id, path, status)] if id == "storage-mounted" && path == "/persist" && status == "fail"),
            "{new:?}"
        );
    }
}

#[test]
fn a_store_that_is_not_mounted_is_found() {
    need_root!();
    let scene = Scene::good();
    let plan = scene.plan.clone();
    let world = scene.without_nix();
    let args = ["check", "--plan", plan.to_str().unwrap(), "--root", world.root.to_str().unwrap()];
    let ran = plain(&args.map(OsStr::new)).exits(1);
    let text = ran.says("storage-mounted    /nix: is not a mount of its own").says("no system is installed").stdout;
    assert!(text.contains("NOT READY"), "{text}");
}

#[test]
fn the_table_ends_with_what_needs_fixing_worst_first() {
    need_root!();
    let scene = Scene::good();
    scene.mode("persist/home/sinh/.ssh", 0o755);
    let args = ["check", "--plan", scene.plan.to_str().unwrap(), "--root", scene.world.root.to_str().unwrap()];
    let ran = plain(&args.map(OsStr::new)).exits(1);
    let mend = ran.stdout.split("to fix:\n").nth(1).unwrap_or_else(|| panic!("{ran}"));
    assert!(mend.starts_with("  FAIL ssh-directory      /persist/home/sinh/.ssh: "), "{mend}");
    let word = scene.at("persist/home/sinh/.ssh").display().to_string();
    let command = format!(
        "       $ {{ test \"$(readlink /proc/self/fd/9)\" = {word} && chmod 0700 /proc/self/fd/9; }} 9< {word}"
    );
    assert_eq!(mend.lines().nth(1), Some(&command[..]));
    assert!(mend.lines().nth(2).is_some_and(|line| line.starts_with("  WARN age-key-path")), "{mend}");
    assert!(mend.contains("NOT READY: 1 failed, 1 warnings, "), "{mend}");
    let colored = plain(&[&args[..], &["--color", "always"]].concat().iter().map(OsStr::new).collect::<Vec<_>>());
    assert!(colored.stdout.contains("\x1b[1;31mFAIL\x1b[0m"), "{colored}");
}

/// Runs the command that a row offers, and looks again.
#[test]
fn the_commands_mend() {
    need_root!();
    let scene = Scene::good();
    let before = scene.findings();
    scene.mode("persist/home/sinh", 0o755);
    scene.own("persist/home/sinh/.local", 0, 0);
    scene.own("persist/system/var/lib/colord", 42, 43);
    scene.mode("persist/home/sinh/.ssh/id_ed25519", 0o644);
    scene.own("persist/home/sinh/.ssh/id_ed25519", 0, 0);
    scene.put("persist/system/etc/NetworkManager/system-connections/it's a\nname", "[connection]\nid=x\n", 0o644);
    scene.mode("persist/system/var/lib/private", 0o755);
    let ran = scene.check(&[]).exits(1);
    let rows = ran.report["rows"].as_array().unwrap();
    let failed: Vec<_> = rows.iter().filter(|row| row["status"] == "fail").collect();
    assert_eq!(failed.len(), 6, "{ran}");
    for row in failed {
        let command = row["mend"]["run"].as_str().unwrap_or_else(|| panic!("no command: {row}"));
        sh!("bash", "-ec", command);
    }
    assert_eq!(scene.findings(), before);
}

#[test]
fn a_password_file_is_made_where_its_directory_is_missing_and_nowhere_else() {
    need_root!();
    let scene = Scene::good();
    let mend = || {
        let ran = scene.check(&[]).exits(1);
        let rows = ran.report["rows"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["id"] == "password-file").unwrap()["mend"].clone()
    };
    scene.gone("persist/passwords");
    let command = mend()["run"].as_str().unwrap().to_string();
    // Stands for the program that asks for a password.
    let tools = tempfile::tempdir().unwrap();
    std::fs::write(tools.path().join("mkpasswd"), "#!/bin/sh\necho '$y$j9T$salt$hash'\n").unwrap();
    sh!("chmod", "+x", tools.path().join("mkpasswd"));
    let run = |command: &str| {
        let path = format!("{}:/usr/bin:/bin", tools.path().display());
        Command::new("bash").args(["-ec", command]).env("PATH", path).status().unwrap().success()
    };
    assert!(run(&command), "{command}");
    scene.check(&[]).exits(0);
    assert_eq!(std::fs::metadata(scene.at("persist/passwords")).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(!run(&command), "what is there by then is not written over");
    // In a user's directory a symlink may stand in the way by the time the command runs.
    scene.gone("persist/passwords");
    std::fs::create_dir(scene.at("persist/passwords")).unwrap();
    scene.own("persist/passwords", 1000, 100);
    assert!(mend()["do"].is_string());
}

#[test]
fn a_home_that_is_not_in_home_is_a_home() {
    need_root!();
    let scene = Scene::good();
    let plan = scene::PLAN.replace("from = \"/home/sinh\"", "from = \"/data/sinh\"");
    scene.world.plan_text(&plan.replace("/persist/home/sinh", "/persist/data/sinh"));
    sh!("mv", scene.at("persist/home"), scene.at("persist/data"));
    assert_eq!(scene.findings().into_iter().map(|f| f.0).collect::<Vec<_>>(), ["age-key-path"]);
    // The directory's name need not be the user's.
    scene.world.plan_text(
        &plan
            .replace("\"/home/sinh", "\"/data/sinh")
            .replace("/persist/home/sinh", "/persist/data/other")
            .replace("from = \"/data/sinh\"", "from = \"/data/other\""),
    );
    std::fs::rename(scene.at("persist/data/sinh"), scene.at("persist/data/other")).unwrap();
    scene.own("persist/data/other/.local", 0, 0);
    scene.check(&[]).exits(1).says("sinh can make nothing in it");
    scene.own("persist/data/other/.local", 1000, 100);
    std::fs::rename(scene.at("persist/data/other"), scene.at("persist/data/sinh")).unwrap();
    scene.world.plan_text(&plan.replace("/persist/home/sinh", "/persist/data/sinh"));
    scene.mode("persist/data/sinh/.ssh", 0o755);
    scene.mode("persist/data/sinh", 0o755);
    scene.mode("persist/data/sinh/.gnupg", 0o755);
    let found: Vec<_> = scene.findings().into_iter().map(|f| f.0).collect();
    assert_eq!(found, ["age-key-path", "gnupg-directory", "home", "ssh-directory"]);
}

#[test]
fn what_sops_nix_is_told_is_read_from_the_installed_system() {
    need_root!();
    let scene = Scene::good();
    let key = "/persist/home/sinh/.config/sops/age/keys.txt";
    scene.put("nix/store/cccc-manifest.json", format!("{{\"ageKeyFile\":\"{key}\"}}"), 0o444);
    let script = scene.at("nix/store/aaaa-nixos-system/activate");
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(&script, text + "sops-install-secrets /nix/store/cccc-manifest.json\n").unwrap();
    let ran = scene.check(&[]).exits(0);
    assert!(findings(&ran).is_empty(), "{ran}");
    ran.says("the installed system names it").says("sops.age.keyFile: there when secrets are decrypted");
}

#[test]
fn the_json_has_the_documented_shape() {
    need_root!();
    let scene = Scene::good();
    scene.mode("persist/home/sinh", 0o755);
    let ran = scene.check(&[]).exits(1);
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&ran.report), ["booted", "counts", "outcome", "plan", "root", "rows", "tool", "version"]);
    assert_eq!(keys(&ran.report["counts"]), ["fail", "pass", "skip", "warn"]);
    assert_eq!(
        (&ran.report["version"], &ran.report["booted"], &ran.report["outcome"], &ran.report["counts"]["fail"]),
        (&1.into(), &false.into(), &"problems".into(), &1.into())
    );
    let rows = ran.report["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| keys(row) == ["group", "id", "mend", "path", "status", "why"]), "{ran}");
    let home = rows.iter().find(|row| row["id"] == "home").unwrap();
    let word = scene.at("persist/home/sinh").display().to_string();
    let expected = serde_json::json!({
        "id": "home", "group": "homes", "path": "/persist/home/sinh", "status": "fail",
        "why": "is 1000:100 0755, not 1000:100 0700: sinh cannot use it, or others can",
        "mend": {"run": format!("chown -h 1000:100 {word} && chmod 0700 {word}")},
    });
    assert_eq!(home, &expected);
}

#[test]
fn every_row_is_documented() {
    need_root!();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/check.md")).unwrap();
    let ran = Scene::good().check(&[]);
    for row in ran.report["rows"].as_array().unwrap() {
        let id = row["id"].as_str().unwrap();
        assert!(page.contains(&format!("| `{id}` |")), "{id} is not in docs/check.md");
    }
}

#[test]
fn what_fstab_names_is_mounted_with_its_options_and_nothing_else_is_made_up() {
    need_root!();
    let scene = Scene::new(Disk::None);
    let fstab = scene.at("nix/store/aaaa-nixos-system/etc/fstab");
    let mend = |lines: &str, id: &str| {
        std::fs::write(&fstab, format!("tmpfs / tmpfs size=4G,mode=755 0 0\n{lines}")).unwrap();
        let ran = scene.check(&[]);
        let rows = ran.report["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["id"] == id && row["mend"].is_object()).unwrap_or_else(|| panic!("{ran}"));
        row["mend"].clone()
    };
    let subvolume = "UUID=1-2 /persist btrfs subvol=@persist,noatime,x-initrd.mount 0 0\n";
    let run = mend(subvolume, "storage-mounted")["run"].as_str().unwrap().to_string();
    let point = scene.at("persist").display().to_string();
    assert!(
        run.starts_with(&format!("mount --mkdir -t btrfs -o subvol=@persist,noatime UUID=1-2 {point} && ")),
        "{run}"
    );
    assert!(mend("/disk/persist /persist none bind 0 0\n", "storage-mounted")["do"].is_string());
    sh!("rm", "-r", scene.at("boot/EFI"));
    assert!(mend("", "boot-loader")["do"].as_str().unwrap().contains("lsblk -f"));
    let esp = mend("/dev/null /boot/efi vfat umask=0077,nofail 0 2\n", "boot-loader");
    let point = scene.at("boot/efi").display().to_string();
    assert_eq!(esp["run"], format!("mount --mkdir -t vfat -o umask=0077 /dev/null {point}"));
}

#[test]
fn an_empty_gnupg_directory_is_nothing_to_mend() {
    need_root!();
    let scene = Scene::good();
    let before = scene.findings();
    scene.gone("persist/home/sinh/.gnupg/private-keys-v1.d");
    scene.gone("persist/home/sinh/.gnupg/pubring.kbx");
    assert_eq!(scene.findings(), before);
    let ran = scene.check(&[]).exits(0);
    let row = ran.report["rows"].as_array().unwrap().iter().find(|row| row["id"] == "gnupg-keys").unwrap();
    assert_eq!((&row["status"], &row["mend"]), (&"skip".into(), &serde_json::Value::Null), "{row}");
}

#[test]
fn builds_in_memory_are_noted() {
    need_root!();
    let scene = Scene::good();
    let top = "nix/store/aaaa-nixos-system";
    let status = |fstab: &str, conf: &str, nix: &str| {
        std::fs::write(scene.at(&format!("{top}/etc/fstab")), fstab).unwrap();
        scene.put(&format!("{top}/etc/nix/nix.conf"), conf, 0o444);
        scene.put(&format!("nix/store/dddd-{nix}/bin/nix"), "", 0o555);
        std::fs::create_dir_all(scene.at(&format!("{top}/sw/bin"))).unwrap();
        scene.link(&format!("/nix/store/dddd-{nix}/bin/nix"), &format!("{top}/sw/bin/nix"));
        let ran = scene.check(&[]);
        let rows = ran.report["rows"].as_array().unwrap();
        rows.iter().find(|row| row["id"] == "build-memory").map(|row| row["status"].as_str().unwrap().to_string())
    };
    let memory = "tmpfs / tmpfs size=4G,mode=755 0 0\n/dev/zero /nix ext4 noatime,x-initrd.mount 0 2\n";
    let own = format!("{memory}/dev/zero /tmp ext4 noatime 0 2\n");
    assert_eq!(status(memory, "", "nix-2.28.3").as_deref(), Some("skip"));
    assert_eq!(status(memory, "", "nix-2.31.1").as_deref(), Some("pass"));
    assert_eq!(status(memory, "cores = 0\nbuild-dir = /nix/var/nix/builds\n", "nix-2.24.1").as_deref(), Some("pass"));
    assert_eq!(status(memory, "build-dir = /var/tmp\n", "nix-2.31.1").as_deref(), Some("skip"));
    assert_eq!(status(&own, "", "nix-2.28.3"), None);
}

#[test]
fn a_damaged_map_is_a_row_and_not_the_end() {
    need_root!();
    let scene = Scene::good();
    scene.put("persist/system/var/lib/nixos/uid-map", "", 0o644);
    // No name of the plan has a number of its own any more.
    let plan = scene::PLAN.replace("users = { sinh = 1000 }", "users = {}");
    scene.world.plan_text(&plan);
    let ran = scene.check(&[]).exits(1);
    let found = findings(&ran);
    let has = |id: &str, path: &str| found.iter().any(|f| f.0 == id && f.1 == path);
    assert!(has("id-map", "/persist/system/var/lib/nixos/uid-map"), "{ran}");
    assert!(has("home", "/persist/home/sinh"), "{ran}");
    assert!(!has("id-name", "/persist/system/var/lib/nixos/uid-map"), "{ran}");
}

#[test]
fn a_name_that_nobody_knows_is_a_row() {
    need_root!();
    let scene = Scene::good();
    let plan = format!("{}[[fixup]]\npath = \"/persist/system/var/log\"\nowner = \"stranger\"\n", scene::PLAN);
    scene.world.plan_text(&plan);
    scene.check(&[]).exits(1).says("the number of the user stranger is not known");
}

#[test]
fn nothing_is_written_and_a_fifo_blocks_nothing() {
    need_root!();
    let scene = Scene::good();
    for path in ["persist/home/sinh/.ssh/id_fifo", "persist/system/var/lib/nixos/auto-subuid-map"] {
        sh!("rm", "-f", scene.at(path));
        sh!("mkfifo", scene.at(path));
    }
    sh!("mount", "-o", "remount,bind,noatime", scene.world.persist);
    let before = crate::kit::snapshot::take(&scene.world.persist);
    scene.check(&[]).exits(1).says("is not a regular file");
    assert_eq!(before, crate::kit::snapshot::take(&scene.world.persist));
}

#[test]
fn a_root_that_is_not_there_is_refused_and_a_wrong_plan_is_an_error() {
    let world = crate::kit::disk::World::plain();
    let plan = world.plan_text(scene::PLAN);
    let check = |plan: &OsStr, root: &str| {
        plain(&[OsStr::new("check"), OsStr::new("--plan"), plan, OsStr::new("--root"), OsStr::new(root)])
    };
    check(plan.as_os_str(), "/nowhere/at/all").exits(3).says("cannot be opened");
    check(OsStr::new("/nowhere/plan.toml"), "/").exits(2);
}

#[test]
fn a_shadow_that_is_kept_must_let_somebody_in() {
    need_root!();
    let scene = Scene::good();
    // As a file it has a row of its own.
    scene.world.plan_text(
        &scene::PLAN.replace("directories = [\n  \"/var/log\",", "directories = [\n  \"/etc\", \"/var/log\","),
    );
    let passwords = |shadow: &str| {
        scene.put("persist/system/etc/shadow", shadow, 0o600);
        let ran = scene.check(&[]);
        assert!(!ran.stdout.contains("hash"), "{ran}");
        findings(&ran).iter().any(|f| f.0 == "passwords" && f.1 == "/persist/system/etc/shadow" && f.2 == "fail")
    };
    assert!(passwords("root:!:1::::::\nsinh:!:1::::::\n"));
    assert!(!passwords("root:!:1::::::\nsinh:$y$hash:1::::::\n"));
}

#[test]
fn the_owner_of_what_is_optional_and_absent_need_not_be_known() {
    need_root!();
    let scene = Scene::good();
    let never = "{ path = \"/var/lib/never\", need = \"optional\", owner = \"stranger\" }";
    let plan = scene::PLAN.replace("{ path = \"/var/lib/never\", need = \"optional\" }", never);
    scene.world.plan_text(&plan);
    scene.check(&[]).exits(0).says("user stranger is not in the map");
}

#[test]
fn keys_of_every_kind_and_under_any_name_are_keys() {
    need_root!();
    let scene = Scene::good();
    let before = scene.findings();
    let dir = scene.at("persist/home/sinh/.ssh");
    scene.key("persist/home/sinh/.ssh/id_with_a_phrase", 2);
    let make = |name: &OsStr, args: &[&str]| {
        let file = dir.join(name);
        let mut all = vec![OsStr::new("-q"), OsStr::new("-N"), OsStr::new(""), OsStr::new("-f"), file.as_os_str()];
        all.extend(args.iter().map(OsStr::new));
        crate::kit::system("ssh-keygen", &all);
    };
    let odd = OsStr::from_bytes(b"my key\xff");
    make(OsStr::new("id_ecdsa"), &["-t", "ecdsa"]);
    make(OsStr::new("id_pem"), &["-t", "rsa", "-m", "PEM"]);
    make(odd, &["-t", "ed25519"]);
    sh!("chown", "-R", "1000:100", dir);
    assert_eq!(scene.findings(), before);
    // Not by its name, but by its first line.
    std::fs::set_permissions(dir.join(odd), PermissionsExt::from_mode(0o644)).unwrap();
    let ran = scene.check(&[]).exits(1);
    let row = ran.report["rows"].as_array().unwrap().iter().find(|row| row["status"] == "fail").unwrap().clone();
    assert_eq!(row["path"], "/persist/home/sinh/.ssh/my key\\xff");
    assert_eq!(row["path_bytes"], "L3BlcnNpc3QvaG9tZS9zaW5oLy5zc2gvbXkga2V5/w==");
    sh!("bash", "-ec", row["mend"]["run"].as_str().unwrap());
    assert_eq!(scene.findings(), before);
}

#[test]
fn an_ordinary_user_is_told_to_be_root() {
    need_root!();
    let scene = Scene::good();
    // As Nobody does it: the way there is open, the binary lies beside it.
    Nobody::may_write(&scene.world);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
    command.arg(scene.world.path().join("persistcp")).args(["check", "--plan"]).arg(&scene.plan);
    command.arg("--root").arg(&scene.world.root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command).exits(1).says("cannot be read: Permission denied").says("run the check as root");
}

#[test]
fn nothing_passes_on_an_empty_root() {
    let world = World::plain();
    std::fs::remove_dir(&world.persist).unwrap();
    let plan = world.plan_text(scene::PLAN);
    let args = ["check", "--format", "json", "--plan", plan.to_str().unwrap(), "--root", world.root.to_str().unwrap()];
    let ran = scene::parsed(plain(&args.map(OsStr::new)).exits(1));
    let passed = ran.report["rows"].as_array().unwrap().iter().filter(|row| row["status"] == "pass");
    // Names that the plan itself gives numbers are good anywhere.
    let passed: Vec<_> = passed.filter(|row| row["id"] != "id-name").collect();
    assert!(passed.is_empty(), "{passed:?}");
}
