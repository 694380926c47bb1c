//! Later runs over a target in use: what somebody has changed there is kept.

use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::{Ran, faulty, run, spawn};
use crate::kit::{need_root, sh, snapshot};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

const NEW: &str = "a month of work";

/// A file, a symlink, a directory, two hard links, a large file: copied once.
fn copied() -> (World, PathBuf) {
    let world = World::ext4(400);
    for name in ["f", "d/inner", "a", "dir/x", "dir/y"] {
        world.file(&format!("data/{name}"), name);
    }
    std::fs::hard_link(world.data().join("a"), world.data().join("b")).unwrap();
    symlink("here", world.data().join("link")).unwrap();
    world.file("data/large", vec![3; 70 << 20]);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    (world, plan)
}

fn kinds(ran: &Ran) -> Vec<(String, String)> {
    let mut kinds = ran.problems();
    kinds.iter_mut().for_each(|(_, path)| *path = path.trim_start_matches("/persist/data/").to_string());
    kinds.sort();
    kinds
}

/// The same single problem in every pass that does not overwrite.
fn always(plan: &Path, kind: &str, path: &str) {
    for args in [&[][..], &[], &["--repair"], &["--verify-only", "--strict"], &["--verify-only", "--against", "source"]]
    {
        let ran = run(plan, args).exits(1);
        assert_eq!(kinds(&ran), [(kind.to_string(), path.to_string())], "{args:?}\n{ran}");
    }
    let dry = run(plan, &["--dry-run"]).exits(0).says("would stay so");
    assert!(dry.stdout.contains(&format!("/persist/data/{path}: {kind}")), "{dry}");
}

#[test]
fn what_somebody_has_written_is_kept_until_overwrite() {
    need_root!();
    for file in ["f", "large"] {
        let (world, plan) = copied();
        std::fs::write(world.target().join(file), NEW).unwrap();
        always(&plan, "changed-target", file);
        // Nor does a new state of the source take it back.
        world.file(&format!("data/{file}"), "newer in the source");
        run(&plan, &[]).exits(1).says("changed-target");
        assert_eq!(std::fs::read_to_string(world.target().join(file)).unwrap(), NEW);
        run(&plan, &["--overwrite"]).exits(0).says("which somebody had changed on the target, was replaced");
        run(&plan, &["--verify-only"]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
    }
}

#[test]
fn a_symlink_that_now_leads_elsewhere_is_kept() {
    need_root!();
    let (world, plan) = copied();
    let link = world.target().join("link");
    std::fs::remove_file(&link).unwrap();
    symlink("there", &link).unwrap();
    always(&plan, "changed-target", "link");
    assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some("there"));
    run(&plan, &["--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn another_type_of_inode_in_an_entrys_place_is_kept() {
    need_root!();
    let (world, plan) = copied();
    std::fs::remove_dir_all(world.target().join("d")).unwrap();
    symlink("/elsewhere", world.target().join("d")).unwrap();
    let ran = run(&plan, &[]).exits(1);
    assert_eq!(kinds(&ran), [("changed-target".to_string(), "d".to_string())], "{ran}");
    run(&plan, &["--repair"]).exits(1);
    assert!(world.target().join("d").is_symlink());
    run(&plan, &["--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn an_editor_that_replaces_one_name_of_a_linked_file_is_kept() {
    need_root!();
    let (world, plan) = copied();
    let target = world.target();
    std::fs::write(target.join("new"), NEW).unwrap();
    std::fs::rename(target.join("new"), target.join("b")).unwrap();
    always(&plan, "changed-target", "b");
    assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "a");
    run(&plan, &["--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &target);
    // In place, through either name, both have changed.
    std::fs::write(target.join("a"), NEW).unwrap();
    let ran = run(&plan, &["--repair"]).exits(1);
    let both = ["a", "b"].map(|name| ("changed-target".to_string(), name.to_string()));
    assert_eq!(kinds(&ran), both, "{ran}");
    assert_eq!(std::fs::read_to_string(target.join("b")).unwrap(), NEW);
}

#[test]
fn another_owner_or_mode_is_reported_and_put_right_by_repair_alone() {
    need_root!();
    type Change = fn(&Path);
    let changes: [(&str, &str, Change); 4] = [
        ("f", "mode", |f| std::fs::set_permissions(f, PermissionsExt::from_mode(0o640)).unwrap()),
        ("large", "owner", |f| chown(f, Some(7), None).unwrap()),
        ("d", "mode", |d| std::fs::set_permissions(d, PermissionsExt::from_mode(0o750)).unwrap()),
        ("a", "xattr", |f| xattr::set(f, "user.mine", b"1").unwrap()),
    ];
    for (name, kind, change) in changes {
        let (world, plan) = copied();
        change(&world.target().join(name));
        for args in [&[][..], &[], &["--verify-only"]] {
            let ran = run(&plan, args).exits(1);
            let expected = (kind.to_string(), name.to_string());
            assert!(kinds(&ran).contains(&expected), "{name} {args:?}\n{ran}");
            assert!(kinds(&ran).iter().all(|p| p.0 == kind), "{name} {args:?}\n{ran}");
        }
        run(&plan, &["--repair"]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
        run(&plan, &[]).exits(0).says("nothing to copy");
    }
}

#[test]
fn a_new_name_beside_a_directory_that_somebody_altered_leaves_that_as_it_is() {
    need_root!();
    let (world, plan) = copied();
    let dir = world.target().join("d");
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    world.file("data/d/later", "x");
    let ran = run(&plan, &[]).exits(1);
    assert_eq!(kinds(&ran), [("mode".to_string(), "d".to_string())], "{ran}");
    assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(std::fs::read(dir.join("later")).unwrap(), b"x");
    run(&plan, &["--verify-only"]).exits(1);
}

#[test]
fn what_was_deleted_comes_back_by_a_strict_repair_alone() {
    need_root!();
    for name in ["f", "link", "b", "large", "dir"] {
        let (world, plan) = copied();
        sh!("rm", "-r", world.target().join(name));
        for args in [
            &[][..],
            &["--verify-only", "--strict"],
            &["--verify-only", "--against", "source"],
            &["--overwrite"],
            &["--repair"],
        ] {
            let ran = run(&plan, args).exits(1);
            assert_eq!(kinds(&ran), [("missing".to_string(), name.to_string())], "{args:?}\n{ran}");
        }
        run(&plan, &["--repair", "--strict"]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
    }
}

#[test]
fn names_that_come_and_go_in_a_directory_are_no_problem_of_it() {
    need_root!();
    let (world, plan) = copied();
    let dir = world.target().join("dir");
    std::fs::write(dir.join("mine"), "x").unwrap();
    let time = std::fs::metadata(&dir).unwrap().modified().unwrap();
    run(&plan, &[]).exits(0).says("nothing to copy");
    run(&plan, &[]).exits(0).says("nothing to copy");
    assert_eq!(std::fs::metadata(&dir).unwrap().modified().unwrap(), time);
    std::fs::remove_file(dir.join("mine")).unwrap();
    for args in [&["--verify-only"][..], &["--verify-only", "--against", "source"], &["--repair"], &[]] {
        run(&plan, args).exits(0);
    }
}

#[test]
fn damage_is_repaired_by_any_run_that_knows_of_it() {
    need_root!();
    for name in ["f", "large", "a"] {
        let (world, plan) = copied();
        flip(&world, &world.target().join(name), 0);
        run(&plan, &["--verify-only"]).exits(1).says("content");
        run(&plan, &[]).exits(0);
        run(&plan, &["--verify-only"]).exits(0);
        flip(&world, &world.target().join(name), 0);
        run(&plan, &["--verify-only"]).exits(1);
        // Damaged, found so, and then written by somebody: that is newer.
        std::fs::write(world.target().join(name), NEW).unwrap();
        run(&plan, &[]).exits(1).says("changed-target");
        assert_eq!(std::fs::read_to_string(world.target().join(name)).unwrap(), NEW);
    }
}

#[test]
fn a_tree_that_was_restored_from_a_backup_of_its_own_is_taken_as_it_is() {
    need_root!();
    let (world, plan) = copied();
    sh!("cp", "-a", world.target(), world.persist.join("restored"));
    sh!("rm", "-r", world.target());
    sh!("mv", world.persist.join("restored"), world.target());
    let ran = run(&plan, &[]).exits(0);
    assert_eq!(ran.total("copied"), 0, "{ran}");
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_name_that_both_sides_have_since_the_last_run_is_kept() {
    need_root!();
    let (world, plan) = copied();
    world.file("data/d/new", "from the source, and longer");
    std::fs::write(world.target().join("d/new"), NEW).unwrap();
    run(&plan, &[]).exits(1).says("no run has recorded what stands here");
    run(&plan, &["--repair"]).exits(1);
    assert_eq!(std::fs::read_to_string(world.target().join("d/new")).unwrap(), NEW);
    run(&plan, &["--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_first_run_into_a_filled_place_names_what_it_replaces() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "from the source");
    std::fs::create_dir(world.target()).unwrap();
    std::fs::write(world.target().join("f"), "there before").unwrap();
    run(&world.plan(""), &["--allow-nonempty"]).exits(0).says("/persist/data/f: a regular file of 12 bytes");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn what_somebody_writes_after_a_kill_of_the_first_run_is_kept() {
    need_root!();
    let world = World::ext4(200);
    (0..200).for_each(|n| drop(world.file(&format!("data/f{n}"), vec![7; 8000])));
    let plan = world.plan("");
    let held = Held::at("create:100", &plan, &["--threads", "1"]);
    let file = (0..200).map(|n| world.target().join(format!("f{n}"))).find(|f| is_finished(f)).unwrap();
    held.kill();
    std::fs::write(&file, NEW).unwrap();
    run(&plan, &[]).exits(1).says("changed-target");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), NEW);
}

fn is_finished(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.mode() & 0o777 == 0o644)
}

#[test]
fn a_repair_that_was_killed_goes_on() {
    need_root!();
    let world = World::ext4(200);
    (0..300).for_each(|n| drop(world.file(&format!("data/f{n}"), vec![7; 3000])));
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    for millis in [10, 30, 60, 90, 120, 200] {
        (0..300).for_each(|n| drop(std::fs::remove_file(world.target().join(format!("f{n}")))));
        let mut child = spawn(&plan, &["--repair", "--strict"]);
        std::thread::sleep(std::time::Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        run(&plan, &["--repair", "--strict"]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
    }
}

#[test]
fn a_device_that_somebody_made_anew_is_kept() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    sh!("mknod", world.data().join("dev"), "c", "1", "3");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    std::fs::remove_file(world.target().join("dev")).unwrap();
    sh!("mknod", world.target().join("dev"), "c", "1", "5");
    always(&plan, "changed-target", "dev");
}

#[test]
fn a_directory_above_the_target_that_a_run_made_is_held_to_its_mode() {
    need_root!();
    let world = World::ext4(64);
    world.file("a/e/f", "x");
    let plan = world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nfrom = \"/a\"\nto = \"/persist/p/q\"\ndirectories = [\"e\"]\n",
        world.source, world.root
    ));
    run(&plan, &[]).exits(0);
    run(&plan, &[]).exits(0).says("nothing to copy");
    std::fs::set_permissions(world.persist.join("p"), PermissionsExt::from_mode(0o777)).unwrap();
    for args in [&[][..], &["--verify-only"]] {
        let ran = run(&plan, args).exits(1);
        assert_eq!(ran.problems(), [("mode".to_string(), "/persist/p".to_string())], "{args:?}\n{ran}");
    }
    run(&plan, &["--repair"]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_restart_takes_back_nothing_newer() {
    need_root!();
    let (world, plan) = copied();
    std::fs::write(world.target().join("f"), NEW).unwrap();
    run(&plan, &["--restart"]).exits(1).says("changed-target");
    assert_eq!(std::fs::read_to_string(world.target().join("f")).unwrap(), NEW);
    run(&plan, &["--restart", "--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_restart_that_is_cut_off_is_gone_on_with() {
    need_root!();
    for args in [&[][..], &["--restart"]] {
        let (world, plan) = copied();
        std::fs::write(world.target().join("f"), NEW).unwrap();
        world.file("data/dir/x", "newer in the source");
        // Killed before it had made its own journal.
        for file in std::fs::read_dir(world.persist.join(".persistcp")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if let Some(stem) = name.find(".sqlite").map(|at| at + ".sqlite".len()) {
                std::fs::rename(&path, path.with_file_name(format!("{}.old-1{}", &name[..stem], &name[stem..])))
                    .unwrap();
            }
        }
        let ran = run(&plan, args).exits(1);
        assert_eq!(kinds(&ran), [("changed-target".to_string(), "f".to_string())], "{args:?}\n{ran}");
        assert_eq!(std::fs::read_to_string(world.target().join("f")).unwrap(), NEW);
        run(&plan, &["--overwrite"]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
    }
}

#[test]
fn names_that_an_inode_gets_from_run_to_run_stay_one_group() {
    need_root!();
    let (world, plan) = copied();
    for name in ["0", "m", "zz", "d/0"] {
        std::fs::hard_link(world.data().join("a"), world.data().join(name)).unwrap();
        run(&plan, &[]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
    }
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_fixup_does_not_take_back_what_somebody_has_set_since() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let fixups =
        "[[fixup]]\npath = \"/persist/data\"\nmode = \"0700\"\n[[fixup]]\npath = \"/persist\"\nmode = \"0711\"\n";
    let plan = world.plan(fixups);
    run(&plan, &[]).exits(0);
    run(&plan, &[]).exits(0);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
    for path in [world.target(), world.persist.clone()] {
        let before = mode(&path);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o750)).unwrap();
        for args in [&[][..], &["--verify-only"]] {
            let ran = run(&plan, args).exits(1);
            assert_eq!(ran.problems().len(), 1, "{args:?}\n{ran}");
        }
        assert_eq!(mode(&path), 0o750);
        run(&plan, &["--repair"]).exits(0);
        assert_eq!(mode(&path), before);
        run(&plan, &["--verify-only"]).exits(0);
    }
}

#[test]
fn what_is_written_while_its_replacement_is_made_is_kept() {
    need_root!();
    let (world, plan) = copied();
    world.file("data/large", vec![4; 70 << 20]);
    let held = Held::at("write:3", &plan, &["--threads", "1"]);
    std::fs::write(world.target().join("large"), NEW).unwrap();
    let ran = held.finish("a run that replaces a large file").exits(1);
    assert!(ran.stdout.contains("changed-target"), "{ran}");
    assert_eq!(std::fs::read_to_string(world.target().join("large")).unwrap(), NEW);
}

#[test]
fn a_fixup_over_what_somebody_has_changed_does_not_make_it_ours() {
    need_root!();
    let world = World::ext4(64);
    for name in ["dated", "undated"] {
        world.file(&format!("data/{name}"), "old-old");
    }
    symlink("here", world.data().join("link")).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    for name in ["dated", "undated"] {
        let path = world.target().join(name);
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "NEW-NEW").unwrap();
        if name == "undated" {
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        }
    }
    std::fs::remove_file(world.target().join("link")).unwrap();
    symlink("elsewhere", world.target().join("link")).unwrap();
    let kept = ["dated", "link", "undated"].map(|name| ("changed-target".to_string(), name.to_string()));
    for owner in [1000, 1001] {
        world.plan(&format!("[[fixup]]\npath = \"/persist/data\"\nowner = {owner}\nrecursive = true\n"));
        for args in [&[][..], &[], &["--verify-only", "--strict"], &["--repair"], &[]] {
            let ran = run(&plan, args).exits(1);
            assert_eq!(kinds(&ran), kept, "{owner} {args:?}\n{ran}");
        }
    }
    for name in ["dated", "undated"] {
        assert_eq!(std::fs::read_to_string(world.target().join(name)).unwrap(), "NEW-NEW");
    }
}

#[test]
fn what_a_restart_has_kept_is_kept_by_the_runs_after_it() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "old");
    symlink("here", world.data().join("link")).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    std::fs::write(world.target().join("f"), NEW).unwrap();
    std::fs::remove_file(world.target().join("link")).unwrap();
    symlink("elsewhere", world.target().join("link")).unwrap();
    for args in [&["--restart"][..], &[], &["--repair"], &[]] {
        let ran = run(&plan, args).exits(1);
        let kept = ["f", "link"].map(|name| ("changed-target".to_string(), name.to_string()));
        assert_eq!(kinds(&ran), kept, "{args:?}\n{ran}");
    }
    assert_eq!(std::fs::read_to_string(world.target().join("f")).unwrap(), NEW);
}

#[test]
fn a_changed_inode_is_found_under_each_name_that_it_has_left() {
    need_root!();
    for removed in ["a", "b"] {
        let world = World::ext4(64);
        std::fs::hard_link(world.file("data/a", "old-old"), world.data().join("b")).unwrap();
        let plan = world.plan("");
        run(&plan, &[]).exits(0);
        let left = world.target().join(if removed == "a" { "b" } else { "a" });
        let before = std::fs::metadata(&left).unwrap().modified().unwrap();
        std::fs::write(&left, "NEW-NEW").unwrap();
        std::fs::File::options().write(true).open(&left).unwrap().set_modified(before).unwrap();
        std::fs::remove_file(world.target().join(removed)).unwrap();
        let name = left.file_name().unwrap().to_str().unwrap().to_string();
        for args in [
            &[][..],
            &["--verify-only"],
            &["--verify-only", "--against", "source"],
            &["--repair"],
            &["--verify-only"],
            &["--repair"],
        ] {
            let ran = run(&plan, args).exits(1);
            assert!(kinds(&ran).contains(&("changed-target".to_string(), name.clone())), "{removed} {args:?}\n{ran}");
        }
        assert_eq!(std::fs::read_to_string(&left).unwrap(), "NEW-NEW", "{removed}");
    }
}

#[test]
fn a_directory_with_moved_times_makes_way_for_what_took_its_place_in_the_source() {
    need_root!();
    let world = World::ext4(64);
    for name in ["file", "link"] {
        std::fs::create_dir_all(world.data().join(name)).unwrap();
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    for name in ["file", "link"] {
        std::fs::write(world.target().join(name).join("swap"), "").unwrap();
        std::fs::remove_file(world.target().join(name).join("swap")).unwrap();
        std::fs::remove_dir(world.data().join(name)).unwrap();
    }
    world.file("data/file", "a file now");
    symlink("file", world.data().join("link")).unwrap();
    run(&plan, &[]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn what_could_not_be_replaced_is_still_ours_to_replace() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "one");
    world.file("data/g", "two");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let source = world.file("data/f", "another");
    let stuck = world.target().join("f");
    let ran = faulty(&plan, &[], "rename:1:EIO").exits(1);
    ran.says("/persist/data/f: io: replace the existing entry");
    run(&plan, &["--verify-only"]).exits(1);
    run(&plan, &[]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    assert_eq!(std::fs::read(&stuck).unwrap(), std::fs::read(source).unwrap());
}

#[test]
fn what_somebody_has_made_immutable_is_kept_until_overwrite() {
    need_root!();
    let (world, plan) = copied();
    sh!("chattr", "+i", world.target().join("f"));
    world.file("data/f", "newer in the source");
    for args in [&[][..], &[], &["--verify-only"]] {
        let ran = run(&plan, args).exits(1);
        assert_eq!(kinds(&ran), [("flags".to_string(), "f".to_string())], "{args:?}\n{ran}");
    }
    run(&plan, &["--overwrite"]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_directory_in_the_place_of_a_copied_file_is_mended_as_its_message_says() {
    need_root!();
    let (world, plan) = copied();
    let place = world.target().join("f");
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("mine"), NEW).unwrap();
    run(&plan, &[]).exits(1).says("--overwrite replaces it only if it is empty");
    let ran = run(&plan, &["--overwrite"]).exits(1).says("move it away and run again (with --repair --strict if");
    assert_eq!(std::fs::read_to_string(place.join("mine")).unwrap(), NEW, "{ran}");
    std::fs::rename(&place, world.persist.join("away")).unwrap();
    run(&plan, &["--repair", "--strict"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    run(&plan, &["--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}
