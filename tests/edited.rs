//! A plan that was edited between two runs.

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::run::{Ran, run};

/// Targets with their directories: name, `to`, directories of the source.
type Targets<'a> = &'a [(&'a str, &'a str, &'a [&'a str])];

fn go(world: &World, targets: Targets<'_>, args: &[&str]) -> Ran {
    let mut text = format!("version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n", world.source, world.root);
    for (name, to, directories) in targets {
        text.push_str(&format!("[[target]]\nname = {name:?}\nto = {to:?}\ndirectories = {directories:?}\n"));
    }
    run(&world.plan_text(&text), args)
}

fn world() -> World {
    let world = World::ext4(64);
    for name in ["a/one", "b/two", "c/three"] {
        world.file(name, name);
    }
    world
}

#[test]
fn an_added_entry_is_copied_and_the_others_are_not_again() {
    need_root!();
    let world = world();
    go(&world, &[("s", "/persist/s", &["/a"])], &[]).exits(0);
    let ran = go(&world, &[("s", "/persist/s", &["/a", "/b"])], &[]).exits(0);
    assert!(world.persist.join("s/b/two").exists() && ran.total("copied") == 2, "{ran}");
}

#[test]
fn a_removed_entry_stays_and_is_reported_until_it_is_gone() {
    need_root!();
    let world = world();
    go(&world, &[("s", "/persist/s", &["/a", "/b"])], &[]).exits(0);
    let without: Targets = &[("s", "/persist/s", &["/a"])];
    for args in [&[][..], &["--verify-only"]] {
        let ran = go(&world, without, args).exits(1).says("it is no longer declared");
        assert_eq!(ran.problems(), [("extra".to_string(), "/persist/s/b".to_string())], "{ran}");
    }
    assert!(world.persist.join("s/b/two").exists());
    std::fs::remove_dir_all(world.persist.join("s/b")).unwrap();
    // The removal moved the time of the directory above, which the next run puts right.
    go(&world, without, &[]).exits(0);
    go(&world, without, &["--verify-only"]).exits(0);
    // Put back into the plan it is copied like any other.
    let ran = go(&world, &[("s", "/persist/s", &["/a", "/b"])], &[]).exits(0);
    assert!(world.persist.join("s/b/two").exists(), "{ran}");
}

#[test]
fn a_changed_mapping_is_refused_unless_restarted() {
    need_root!();
    let world = world();
    go(&world, &[("s", "/persist/s", &["/a"])], &[]).exits(0);
    let elsewhere: Targets = &[("s", "/persist/other", &["/a"])];
    go(&world, elsewhere, &[])
        .exits(3)
        .says("/a went to /persist/s/a, and is now to go to /persist/other/a")
        .says("--restart");
    assert!(!world.persist.join("other").exists());
    go(&world, elsewhere, &["--restart"]).exits(0);
    assert!(world.persist.join("other/a/one").exists() && world.persist.join("s/a/one").exists());
}

#[test]
fn targets_in_another_order_keep_their_rows() {
    need_root!();
    let world = world();
    go(&world, &[("first", "/persist/f", &["/a"]), ("second", "/persist/s", &["/b"])], &[]).exits(0);
    let swapped: Targets = &[("second", "/persist/s", &["/b"]), ("first", "/persist/f", &["/a"])];
    let again = go(&world, swapped, &[]).exits(0);
    assert_eq!(again.total("copied"), 0, "{again}");
    std::fs::write(world.persist.join("f/a/one"), "A/ONE").unwrap();
    let ran = go(&world, swapped, &["--verify-only", "--strict"]).exits(1);
    assert!(ran.report["problems"].as_array().unwrap().iter().all(|p| p["target"] == "first"), "{ran}");
}

#[test]
fn a_new_target_that_something_else_filled_is_refused_though_the_plan_is_known() {
    need_root!();
    let world = world();
    go(&world, &[("s", "/persist/s", &["/a"])], &[]).exits(0);
    std::fs::create_dir(world.persist.join("n")).unwrap();
    std::fs::write(world.persist.join("n/stranger"), "x").unwrap();
    let both: Targets = &[("s", "/persist/s", &["/a"]), ("n", "/persist/n", &["/b"])];
    go(&world, both, &[]).exits(3).says("/persist/n is not empty, and not by this plan");
    go(&world, both, &["--allow-nonempty"]).exits(0);
    assert!(world.persist.join("n/stranger").exists());
}

#[test]
fn an_immutable_file_of_a_target_that_left_the_plan_does_no_harm() {
    need_root!();
    let world = world();
    crate::kit::sh!("chattr", "+i", world.source.join("b/two"));
    go(&world, &[("first", "/persist/f", &["/a"]), ("second", "/persist/s", &["/b"])], &[]).exits(0);
    crate::kit::sh!("chattr", "-i", world.source.join("b/two"));
    let without: Targets = &[("first", "/persist/f", &["/a"])];
    go(&world, without, &[]).exits(1).says("it is no longer declared");
    crate::kit::sh!("chattr", "-i", world.persist.join("s/b/two"));
    std::fs::remove_dir_all(world.persist.join("s")).unwrap();
    go(&world, without, &[]).exits(0);
}
