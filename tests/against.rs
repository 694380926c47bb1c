//! `--verify-only --against source`: the backup itself is read again.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::random::Random;
use crate::kit::run::{Ran, run};
use crate::kit::tree::Tree;
use crate::kit::{need_root, sh};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};

const AGAINST: &[&str] = &["--verify-only", "--against", "source"];

fn has(ran: &Ran, kind: &str, path: &str) {
    assert!(ran.problems().contains(&(kind.to_string(), path.to_string())), "{kind} {path}\n{ran}");
}

#[test]
fn random_trees_are_the_same_as_their_backup() {
    need_root!();
    for seed in 0..8 {
        let world = World::ext4(96);
        Tree::grow(&world.data(), &mut Random::new(seed));
        let plan = world.plan("");
        let copied = run(&plan, &[]);
        let ran = run(&plan, AGAINST);
        assert_eq!(ran.status, copied.status, "seed {seed}\n{copied}\n{ran}");
        // The copy itself may have had something to say of symlinks' flags.
        assert!(ran.problems().iter().all(|p| copied.problems().contains(p)), "seed {seed}\n{ran}");
    }
}

#[test]
fn changes_on_either_side_are_named() {
    need_root!();
    let world = World::ext4(300);
    world.file("data/large", vec![1; 70 << 20]);
    for name in ["same", "content", "size", "mode", "new", "gone", "linked"] {
        if name != "new" {
            world.file(&format!("data/d/{name}"), name);
        }
    }
    symlink("here", world.data().join("link")).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    run(&plan, AGAINST).exits(0);
    let (source, target) = (world.data(), world.target());
    std::fs::write(source.join("d/content"), "CONTENT").unwrap();
    std::fs::write(source.join("d/size"), "longer than it was").unwrap();
    std::fs::set_permissions(source.join("d/mode"), PermissionsExt::from_mode(0o604)).unwrap();
    std::fs::write(source.join("d/new"), "new").unwrap();
    std::fs::hard_link(source.join("d/linked"), source.join("d/other")).unwrap();
    std::fs::write(target.join("d/other"), "linked").unwrap();
    std::fs::remove_file(target.join("d/gone")).unwrap();
    std::fs::write(target.join("d/stranger"), "x").unwrap();
    std::fs::remove_file(target.join("link")).unwrap();
    symlink("there", target.join("link")).unwrap();
    let large = std::fs::OpenOptions::new().write(true).open(target.join("large")).unwrap();
    large.write_all_at(b"?", 20 << 20).unwrap();
    large.sync_all().unwrap();
    let ran = run(&plan, AGAINST).exits(1);
    for (kind, path) in [
        ("content", "d/content"),
        ("size", "d/size"),
        ("mode", "d/mode"),
        ("missing", "d/new"),
        ("missing", "d/gone"),
        ("extra", "d/stranger"),
        ("changed-target", "link"),
        ("changed-target", "large"),
    ] {
        has(&ran, kind, &format!("/persist/data/{path}"));
    }
    assert!(ran.problems().iter().any(|p| p.0 == "link"), "{ran}");
    assert!(!ran.problems().iter().any(|p| p.1.ends_with("same")), "{ran}");
    // The next run brings what is new in the source, and leaves what was changed on the target.
    std::fs::remove_file(target.join("d/stranger")).unwrap();
    run(&plan, &[]).exits(1);
    assert_eq!(std::fs::read(target.join("d/content")).unwrap(), b"CONTENT");
    assert_eq!(std::fs::read_link(target.join("link")).unwrap().to_str(), Some("there"));
    run(&plan, &["--repair", "--overwrite"]).exits(0);
    run(&plan, AGAINST).exits(0);
}

#[test]
fn what_the_plan_changes_leaves_out_and_moves_is_taken_into_account() {
    need_root!();
    let world = World::ext4(64);
    for path in ["home/u/.ssh/id", "home/u/docs/a", "home/u/docs/b.log", "home/u/docs/fixed/x", "other/o", "way/f"] {
        chown(world.file(path, path), Some(7), Some(8)).unwrap();
    }
    symlink("/way/f", world.source.join("home/u/entry")).unwrap();
    let plan = world.plan_text(&format!(
        r#"version = 1
name = "t"
source = {:?}
root = {:?}
[[target]]
name = "home"
from = "/home/u"
to = "/persist/u"
exclude = ["*.log"]
directories = [{{ path = ".ssh", owner = 5, mode = "0700" }}, "docs"]
files = [{{ path = "entry", follow = true }}]
[[map]]
name = "other"
from = "/other"
to = "/persist/other"
[[fixup]]
path = "/persist/u/docs/fixed"
owner = 3
group = 4
mode = "0750"
recursive = true
"#,
        world.source, world.root
    ));
    run(&plan, &[]).exits(0);
    run(&plan, AGAINST).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    let target = world.persist.join("u");
    chown(target.join("docs/fixed/x"), Some(7), Some(8)).unwrap();
    std::fs::set_permissions(target.join(".ssh"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(world.persist.join("other/o"), "OTHER/O").unwrap();
    std::fs::set_permissions(&target, PermissionsExt::from_mode(0o777)).unwrap();
    let ran = run(&plan, AGAINST).exits(1);
    has(&ran, "owner", "/persist/u/docs/fixed/x");
    has(&ran, "mode", "/persist/u/.ssh");
    has(&ran, "changed-target", "/persist/other/o");
    has(&ran, "mode", "/persist/u");
}

#[test]
fn a_backup_that_is_not_there_is_refused() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    std::fs::rename(&world.source, world.path().join("away")).unwrap();
    run(&plan, AGAINST).exits(3).says("cannot be opened");
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn what_a_source_gives_that_rots_is_found_and_not_copied_until_somebody_vouches_for_it() {
    need_root!();
    let world = World::ext4(64);
    let image = world.path().join("source.img");
    let source = Attached::fresh("ext4", 32, &image, &world.data());
    for i in 0..3 {
        world.file(&format!("data/{i}"), format!("ONEone {i}"));
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    source.unmount();
    // Other content under the same stat, as a source that rots has it.
    let mut bytes = std::fs::read(&image).unwrap();
    let at = bytes.windows(8).position(|eight| eight == b"ONEone 1").unwrap();
    bytes[at..at + 6].copy_from_slice(b"TWOtwo");
    std::fs::write(&image, bytes).unwrap();
    let _source = Attached::image(&image, "loop", &world.data());
    has(&run(&plan, AGAINST).exits(1), "content", "/persist/data/1");
    let kept = run(&plan, &["--repair"]).exits(1).says("is on is failing");
    has(&kept, "unreadable", "/persist/data/1");
    assert_eq!(std::fs::read_to_string(world.target().join("1")).unwrap(), "ONEone 1");
    run(&plan, &["--verify-only"]).exits(0);
    has(&run(&plan, AGAINST).exits(1), "content", "/persist/data/1");
    sh!("touch", world.data().join("1"));
    run(&plan, &[]).exits(0);
    assert_eq!(std::fs::read_to_string(world.target().join("1")).unwrap(), "TWOtwo 1");
    run(&plan, AGAINST).exits(0);
}
