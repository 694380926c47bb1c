//! Entries that are symlinks in the backup: they lead where they would lead on
//! the machine that was backed up, never out of the backup.

use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, snapshot};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs a plan whose only target, `/persist/s`, has these entries.
fn entries(world: &World, entries: &str, args: &[&str]) -> Ran {
    let text = format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/s\"\n{entries}\n",
        world.source, world.root
    );
    run(&world.plan_text(&text), args)
}

/// A link in the backup, its directories made.
fn link(world: &World, text: &str, path: &str) {
    let path = world.source.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(text, path).unwrap();
}

#[test]
fn absolute_links_and_links_that_climb_out_stay_inside() {
    need_root!();
    let world = World::ext4(64);
    world.file("real/data/f", "of the backup");
    link(&world, "/real/data", "links/absolute");
    link(&world, "../../../../../../../../real/data", "links/climbing");
    link(&world, "/links/second", "links/first");
    link(&world, "../links/absolute", "links/second");
    // A link on the way to the entry, too.
    link(&world, "/real", "way");
    let names = ["/links/absolute", "/links/climbing", "/links/first", "/way/data"];
    entries(&world, &format!("directories = {names:?}"), &[]).exits(0);
    for name in names {
        snapshot::assert_same(&world.source.join("real/data"), &world.persist.join(format!("s{name}")));
    }
}

#[test]
fn a_link_to_what_only_the_running_system_has_is_absent() {
    need_root!();
    let world = World::ext4(64);
    world.file("here", "x");
    // Both exist outside the backup.
    std::fs::create_dir_all(world.path().join("outside")).unwrap();
    std::fs::write(world.path().join("outside/f"), "SECRET").unwrap();
    link(&world, "/proc/self", "links/proc");
    symlink(world.path().join("outside"), world.source.join("links/out")).unwrap();
    entries(&world, "directories = [\"/links/proc\", \"/links/out\"]", &[]).exits(3).says("/links/out");
    assert!(!world.persist.join("s").exists());
}

#[test]
fn a_loop_of_links_ends() {
    need_root!();
    let world = World::ext4(64);
    link(&world, "two", "one");
    link(&world, "one", "two");
    entries(&world, "directories = [\"/one\"]", &[]).exits(3).says("/one");
}

#[test]
fn a_climbing_link_resolves_while_something_is_renamed() {
    need_root!();
    let world = World::ext4(64);
    world.file("real/f", "x");
    link(&world, &format!("../{}real", "a/../".repeat(100)), "links/deep");
    std::fs::create_dir(world.source.join("a")).unwrap();
    // Any rename on the machine, while the link is followed, makes the kernel unsure of `..`.
    let (over, noise) = (AtomicBool::new(false), world.path().join("noise"));
    std::fs::create_dir(&noise).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                std::fs::rename(&noise, world.path().join("other")).unwrap();
                std::fs::rename(world.path().join("other"), &noise).unwrap();
            }
        });
        for _ in 0..10 {
            let ran = entries(&world, "directories = [\"/links/deep\"]", &["--restart"]);
            std::fs::remove_dir_all(world.persist.join("s")).ok();
            if ran.status != Some(0) {
                over.store(true, Ordering::Relaxed);
                panic!("{ran}");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_state_of_a_dynamic_user_arrives_where_it_is_declared() {
    need_root!();
    let world = World::ext4(64);
    // As systemd lays it out: /var/lib/X -> private/X, and private is root's alone.
    world.file("var/lib/private/ollama/models/m", "weights");
    let private = world.source.join("var/lib/private");
    let mode = |path: &std::path::Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    mode(&private, 0o700);
    let state = private.join("ollama");
    for path in [state.join("models/m"), state.join("models"), state.clone()] {
        chown(&path, Some(61184), Some(61184)).unwrap();
    }
    mode(&state, 0o750);
    link(&world, "private/ollama", "var/lib/ollama");
    entries(&world, "directories = [\"/var/lib/ollama\"]", &[]).exits(0);
    let there = world.persist.join("s/var/lib/ollama");
    let meta = there.symlink_metadata().unwrap();
    assert!(meta.is_dir(), "a directory, not the link");
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (61184, 61184, 0o750));
    snapshot::assert_same(&state, &there);
    let again = entries(&world, "directories = [\"/var/lib/ollama\"]", &[]).exits(0);
    assert_eq!(again.total("copied"), 0);
}

#[test]
fn the_link_and_its_private_directory_can_both_be_entries() {
    need_root!();
    let world = World::ext4(64);
    world.file("var/lib/private/app/f", "x");
    chown(world.source.join("var/lib/private/app"), Some(61184), Some(61184)).unwrap();
    std::fs::set_permissions(world.source.join("var/lib/private"), PermissionsExt::from_mode(0o700)).unwrap();
    link(&world, "private/app", "var/lib/app");
    // All of /var/lib: the link stays a link beside what it points to.
    entries(&world, "directories = [\"/var/lib\"]", &[]).exits(0);
    snapshot::assert_same(&world.source.join("var/lib"), &world.persist.join("s/var/lib"));
}
