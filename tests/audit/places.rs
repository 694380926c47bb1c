//! Odd things in the backup, and what lies around it.

use super::{audit, findings, json, left_out, plan};
use crate::kit::disk::World;
use crate::kit::{need_root, sh};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

#[test]
fn links_of_nixos_and_home_manager_are_left_out_and_counted() {
    let world = World::plain();
    let plan = plan(&world, "");
    for (link, text) in [
        ("etc/hosts.allow", "/etc/static/hosts.allow"),
        ("home/u/.zshrc", "/nix/store/x-home-manager-files/.zshrc"),
        ("home/u/.config/foo/foo.toml", "/nix/store/x-home-manager-files/foo.toml"),
    ] {
        let link = world.source.join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(text, link).unwrap();
    }
    let seen = json(&plan);
    assert_eq!(findings(&seen), [""; 0]);
    assert_eq!((left_out(&seen, "store-link"), left_out(&seen, "empty")), (3, 1), "{seen:#}");
}

#[test]
fn fifos_sockets_and_locks_neither_block_nor_count() {
    let world = World::plain();
    let plan = plan(&world, "");
    let dir = world.source.join("home/u/.config/app");
    std::fs::create_dir_all(&dir).unwrap();
    sh!("mkfifo", dir.join("pipe"), world.source.join("etc/shadow"));
    // The path of a socket is short: it is made from inside.
    let script = "import socket, sys, os; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind('s')";
    sh!("python3", "-c", script, dir);
    symlink("host-42", dir.join("SingletonLock")).unwrap();
    std::fs::write(dir.join("lock"), "").unwrap();
    let seen = json(&plan);
    assert_eq!(findings(&seen), [""; 0]);
    assert_eq!(left_out(&seen, "no-content"), 5, "{seen:#}");
}

#[test]
fn a_name_that_is_not_utf_8_is_exact_in_json() {
    let world = World::plain();
    let plan = plan(&world, "");
    let dir = world.source.join("var/lib").join(std::ffi::OsStr::from_bytes(b"caf\xe9\n"));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("f"), "x").unwrap();
    let seen = json(&plan);
    assert_eq!(seen["findings"][0]["path"], "/var/lib/caf\\xe9\\n");
    assert_eq!(seen["findings"][0]["path_bytes"], "L3Zhci9saWIvY2Fm6Qo=");
    audit(&plan, &["--suggest"]).exits(0).says("#   /var/lib/caf\\xe9\\n: its name cannot be written there");
}

#[test]
fn an_uncovered_directory_is_one_finding_with_everything_below_it() {
    let world = World::plain();
    let plan = plan(&world, "");
    for path in ["var/lib/app/a/1", "var/lib/app/a/2", "var/lib/app/b/c/3"] {
        world.file(path, "x");
    }
    std::fs::hard_link(world.source.join("var/lib/app/a/1"), world.source.join("var/lib/app/linked")).unwrap();
    filetime::set_file_mtime(
        world.source.join("var/lib/app/a/2"),
        filetime::FileTime::from_unix_time(4_000_000_000, 0),
    )
    .unwrap();
    let seen = json(&plan);
    assert_eq!(findings(&seen), ["low /var/lib/app"]);
    let total = &seen["findings"][0]["total"];
    assert_eq!((&total["files"], &total["newest"]), (&4.into(), &"2096-10-02T07:06:40Z".into()));
    let blocks =
        |path: &str| std::os::unix::fs::MetadataExt::blocks(&world.source.join(path).metadata().unwrap()) * 512;
    let paths = ["var/lib/app", "var/lib/app/a", "var/lib/app/b", "var/lib/app/b/c"];
    let files = ["var/lib/app/a/1", "var/lib/app/a/2", "var/lib/app/b/c/3"];
    let size: u64 = paths.iter().chain(&files).map(|path| blocks(path)).sum();
    assert_eq!(total["allocated_bytes"], size, "the linked file counts once");
}

#[test]
fn a_directory_on_the_way_to_an_entry_is_looked_into() {
    let world = World::plain();
    let plan = plan(&world, "");
    let deeper = std::fs::read_to_string(&plan).unwrap().replace("\"/var/log\"", "\"/var/log\", \"/var/lib/a/b/c\"");
    world.file("var/lib/a/b/c/declared", "x");
    world.file("var/lib/a/b/lost/f", "x");
    world.file("var/lib/a/lost.txt", "x");
    std::fs::write(&plan, deeper).unwrap();
    assert_eq!(findings(&json(&plan)), ["low /var/lib/a/b/lost", "low /var/lib/a/lost.txt"]);
}

#[test]
fn a_declared_symlink_covers_what_it_leads_to() {
    let world = World::plain();
    let file = plan(&world, "");
    let text = std::fs::read_to_string(&file).unwrap().replace("\"/var/log\"", "\"/var/log\", \"/var/lib/docker\"");
    world.file("data/docker/layer", "x");
    std::fs::create_dir_all(world.source.join("var/lib")).unwrap();
    symlink("/data/docker", world.source.join("var/lib/docker")).unwrap();
    assert_eq!(findings(&json(&file)), ["high /data", "low /var/lib/docker"]);
    assert_eq!(findings(&json(&world.plan_text(&text))), [""; 0]);
}

#[test]
fn what_the_plan_excludes_is_counted_and_no_loss() {
    let world = World::plain();
    let plan = plan(&world, "exclude = [\"*.old\", \"/var/log/big\"]");
    for path in ["var/log/a.old", "var/log/big/1", "var/log/big/2"] {
        world.file(path, "x");
    }
    let seen = json(&plan);
    assert_eq!(findings(&seen), [""; 0]);
    let excluded = &seen["left_out"][0];
    assert_eq!((&excluded["things"], &excluded["total"]["files"]), (&2.into(), &3.into()), "{seen:#}");
}

#[test]
fn a_home_that_is_not_in_home_is_a_home_for_rules_and_suggestions() {
    let world = World::plain();
    let text = std::fs::read_to_string(plan(&world, "")).unwrap();
    let targets = "[[target]]\nname = \"ann\"\nfrom = \"/data/ann\"\nto = \"/persist/data/ann\"\n\
                   parents = { owner = 1001, group = 100 }\ndirectories = [{ path = \"Docs\", need = \"optional\" }]\n\
                   [[target]]\nname = \"srv\"\nfrom = \"/srv\"\nto = \"/persist/srv\"\n\
                   directories = [{ path = \"a\", need = \"optional\" }]\n";
    let plan = world.plan_text(&format!("{text}{targets}"));
    for path in ["data/ann/.gnupg/key", "data/ann/.ssh/known_hosts", "data/ann/.cache/x", "srv/git/repository"] {
        world.file(path, "x");
    }
    world.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1001:100::/data/ann:/bin/sh\n");
    world.file("var/lib/nixos/declarative-users", "ann");
    let found = findings(&json(&plan));
    assert!(found.contains(&"critical /data/ann/.gnupg".into()), "{found:?}");
    assert!(found.contains(&"critical /data/ann/.ssh".into()), "{found:?}");
    assert!(!found.iter().any(|finding| finding.contains(".cache")), "{found:?}");
    let place = super::place(&world);
    let ran = audit(&plan, &[&place[..], &["--suggest"]].concat());
    let ran = ran.says("  users.\"ann\" = {\n    directories = [\n").says("    \".gnupg\"\n");
    // Not below a home: the module has no other way to know where it is.
    ran.says("    \"/srv/git\"\n");
}

#[test]
fn another_home_is_one_finding_that_tells_its_keys() {
    let world = World::plain();
    let plan = plan(&world, "");
    for path in ["home/anna/.ssh/id", "home/anna/Documents/letter", "home/anna/.cache/x", "root/.config/app"] {
        world.file(path, "x");
    }
    let seen = json(&plan);
    assert_eq!(findings(&seen), ["critical /home/anna", "medium /root"]);
    assert_eq!(seen["findings"][0]["holds"][0], "SSH keys and known hosts");
    assert_eq!(left_out(&seen, "cache"), 1);
}

#[test]
fn more_loose_files_than_can_be_named_are_one_finding() {
    let world = World::plain();
    let plan = plan(&world, "");
    for n in 0..32 {
        world.file(&format!("home/u/{n}.txt"), "x");
    }
    assert_eq!(findings(&json(&plan)).len(), 32);
    for n in 32..5000 {
        world.file(&format!("home/u/{n}.txt"), "x");
    }
    let seen = json(&plan);
    assert_eq!(findings(&seen), ["medium /home/u"]);
    assert_eq!((&seen["findings"][0]["kind"], &seen["findings"][0]["total"]["files"]), (&"files".into(), &5000.into()));
}

#[test]
fn a_built_directory_is_a_cache_only_when_it_says_so() {
    let world = World::plain();
    let plan = plan(&world, "");
    world.file("home/u/code/target/debug/x", "x");
    world.file("home/u/code/target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
    world.file("home/u/art/target/x", "x");
    let seen = json(&plan);
    assert_eq!(findings(&seen), ["medium /home/u/art"]);
    assert_eq!(left_out(&seen, "cache"), 1);
}

#[test]
fn units_name_the_directories_that_are_theirs() {
    let world = World::plain();
    let plan = plan(&world, "");
    world.file("nix/store/aa-unit-foo.service/foo.service", "[Service]\nStateDirectory=foo bar\nDynamicUser=yes\n");
    world.file("nix/store/bb-system-units/own.service", "[Service]\nStateDirectory=own\n");
    std::fs::create_dir_all(world.source.join("etc/systemd")).unwrap();
    std::fs::create_dir_all(world.source.join("nix/store/cc-etc/systemd")).unwrap();
    symlink("/nix/store/cc-etc", world.source.join("etc/static")).unwrap();
    symlink("/etc/static/systemd/system", world.source.join("etc/systemd/system")).unwrap();
    symlink("/nix/store/bb-system-units", world.source.join("nix/store/cc-etc/systemd/system")).unwrap();
    world.file("var/lib/private/foo/db", "x");
    symlink("private/foo", world.source.join("var/lib/foo")).unwrap();
    world.file("var/lib/own/db", "x");
    let seen = json(&plan);
    assert_eq!(findings(&seen), ["medium /var/lib/own", "medium /var/lib/private/foo"]);
    let units = |n: usize| seen["findings"][n]["units"][0].clone();
    assert_eq!((units(0), units(1)), ("own.service".into(), "foo.service".into()));
}

#[test]
fn a_unit_that_cannot_be_read_is_told() {
    let world = World::plain();
    let plan = plan(&world, "");
    world.file("etc/systemd/system/huge.service", vec![b'#'; 300 << 10]);
    audit(&plan, &[]).exits(1).says("/etc/systemd/system/huge.service: File too large");
}

#[test]
fn a_masked_unit_is_none() {
    let world = World::plain();
    let plan = plan(&world, "");
    std::fs::create_dir_all(world.source.join("etc/systemd/system")).unwrap();
    symlink("/dev/null", world.source.join("etc/systemd/system/off.service")).unwrap();
    let seen = json(&plan);
    assert_eq!((&seen["unit_files"], &seen["unreadable_count"]), (&0.into(), &0.into()));
}

#[test]
fn users_that_nixos_makes_again_are_no_loss() {
    let world = World::plain();
    let plan = plan(&world, "");
    world.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nu:x:1000:100::/home/u:/bin/sh\n");
    world.file("var/lib/nixos/declarative-users", "root u");
    let only_map = ["critical /var/lib/nixos"];
    assert_eq!(findings(&json(&plan)), only_map);
    world.file("etc/passwd", "u:x:1000:100::/home/u:/bin/sh\nbyhand:x:1001:100::/home/b:/bin/sh\n");
    assert_eq!(findings(&json(&plan)), [only_map[0], "medium /etc/passwd"]);
    // A second name of a number, and of root's.
    world.file("etc/passwd", "u:x:1000:100::/home/u:/bin/sh\nv:x:1000:100::/home/u:/bin/sh\n");
    assert_eq!(findings(&json(&plan)), [only_map[0], "medium /etc/passwd"]);
    world.file("etc/passwd", "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n");
    assert_eq!(findings(&json(&plan)), [only_map[0], "medium /etc/passwd"]);
}

#[test]
fn what_is_undeclared_on_the_target_is_reported() {
    let world = World::plain();
    let plan = plan(&world, "");
    audit(&plan, &[]).exits(0).says("system: /persist/system is not there, so it was not checked");
    let target = |path: &&str| {
        let path = world.persist.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    };
    ["system/var/log/a", "system/var/lib/old/f", "system/var/note", "home/u/Documents/a"].iter().for_each(target);
    let seen = json(&plan);
    let undeclared: Vec<_> =
        seen["on_target"][0]["undeclared"].as_array().unwrap().iter().map(|u| u["path"].as_str().unwrap()).collect();
    assert_eq!(undeclared, ["/persist/system/var/lib", "/persist/system/var/note"]);
    assert_eq!(seen["on_target"][1]["undeclared"], serde_json::json!([]));
}

#[test]
fn a_destination_inside_the_source_is_the_plans_own() {
    let world = World::plain();
    let plan = plan(&world, "");
    std::fs::create_dir_all(world.source.join("persist/system/var/log")).unwrap();
    std::fs::write(world.source.join("persist/system/var/log/a"), "x").unwrap();
    let ran = audit(&plan, &["--root", world.source.to_str().unwrap(), "--format", "json"]).exits(0);
    let seen: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((findings(&seen), left_out(&seen, "storage")), (vec![], 1));
}

#[test]
fn a_mount_is_entered_when_a_disk_is_behind_it() {
    need_root!();
    let world = World::plain();
    let plan = plan(&world, "");
    let (disk, memory) = (World::ext4(16), World::tmpfs());
    std::fs::write(disk.persist.join("on disk"), "x").unwrap();
    std::fs::write(memory.persist.join("in memory"), "x").unwrap();
    let mount = |from: &World, to: &str| {
        let point = world.source.join(to);
        std::fs::create_dir_all(&point).unwrap();
        sh!("mount", "--bind", from.persist, point);
        point
    };
    let points = [mount(&disk, "srv"), mount(&memory, "var/lib/ram"), mount(&disk, "mnt/usb")];
    let seen = json(&plan);
    for point in points {
        sh!("umount", "-l", point);
    }
    assert_eq!(findings(&seen), ["high /srv"]);
    let not_entered: Vec<_> = seen["not_entered"].as_array().unwrap().iter().map(|n| n["path"].clone()).collect();
    assert_eq!(not_entered, ["/mnt/usb", "/var/lib/ram"]);
}

#[test]
fn what_cannot_be_read_is_told_and_exits_with_1() {
    need_root!();
    let world = World::plain();
    let file = plan(&world, "");
    world.file("var/lib/closed/f", "x");
    crate::kit::dress::mode(&world.source.join("var/lib/closed"), 0o700);
    let nobody = crate::kit::nobody::Nobody::may_write(&world);
    let ran = nobody.plain(&["audit", "--plan", file.to_str().unwrap()]);
    ran.exits(1).says("could not be read").says("/var/lib/closed: Permission denied");
}

/// A system call that fails is told, or makes no difference.
#[test]
fn no_fault_hides_a_finding() {
    let world = World::plain();
    let plan = plan(&world, "exclude = [\"*.old\"]");
    for path in ["home/u/.python_history", "var/lib/app/a/b/c", "etc/systemd/system/app.service", "var/log/a.old"] {
        world.file(path, "[Service]\nStateDirectory=app\n");
    }
    symlink("/nix/store/x", world.source.join("etc/link")).unwrap();
    let faulted = |fault: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_persistcp"));
        command
            .args(["audit", "--threads", "1", "--plan"])
            .arg(&plan)
            .env("PERSISTCP_FAULT", fault)
            .env("RUST_BACKTRACE", "0");
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        crate::kit::run::wait(command)
    };
    let clean = audit(&plan, &["--threads", "1"]).exits(0).stdout;
    let mut hit = 0;
    for op in ["open", "stat", "getdents", "read", "statfs"] {
        for n in 1.. {
            let ran = faulted(&format!("{op}:{n}:EIO"));
            if !ran.stderr.contains("fault injected") {
                break;
            }
            hit += 1;
            let told = ran.status != Some(0) || ran.stdout.contains("Input/output error");
            assert!(told || ran.stdout == clean, "{op}:{n}\n{ran}");
        }
    }
    assert!(hit > 50, "{hit}");
}
