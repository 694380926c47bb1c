//! `plan check`, `plan show`, and what a wrong plan gets.

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::run::{plain, run};
use std::ffi::OsStr;

fn check(world: &World, text: &str) -> crate::kit::run::Ran {
    let plan = world.plan_text(text);
    plain(&[OsStr::new("plan"), OsStr::new("check"), plan.as_os_str()])
}

#[test]
fn a_typo_in_a_key_shows_the_line_and_the_nearest_key() {
    let world = World::plain();
    let text = "version = 1\nsource = \"/b\"\n[[target]]\nto = \"/persist\"\ndirectorys = [\"/var/log\"]\n";
    check(&world, text)
        .exits(2)
        .says("plan.toml:5:1")
        .says("directorys = [\"/var/log\"]")
        .says("did you mean `directories`?");
}

#[test]
fn all_errors_come_at_once() {
    let world = World::plain();
    let text = "version = 1\nbogus = 1\n[[target]]\nto = \"rel\"\nfiles = [\"../x\"]\n[[fixup]]\npath = \"/x\"\nmode = \"9\"\n";
    check(&world, text).exits(2).says("bogus").says("absolute").says("`..`").says("octal").says("4 errors");
}

#[test]
fn a_name_that_nobody_knows_is_refused_with_the_places_searched() {
    let world = World::plain();
    world.file("data/f", "x");
    let plan = world.plan("[[fixup]]\npath = \"/persist/data\"\nowner = \"sinhh\"\n");
    run(&plan, &[]).exits(2).says("`sinhh` has no number").says("uid-map").says("static ids");
}

#[test]
fn a_zero_filled_id_map_is_named() {
    let world = World::plain();
    world.file("data/f", "x");
    world.file("var/lib/nixos/uid-map", [0; 80]);
    let plan = world.plan("[[fixup]]\npath = \"/persist/data\"\nowner = \"colord\"\n");
    run(&plan, &[]).exits(2).says("backup/var/lib/nixos/uid-map").says("zeros");
}

#[test]
fn a_destination_inside_an_entry_is_refused() {
    let world = World::plain();
    world.file("data/f", "x");
    let plan = world.plan("");
    run(&plan, &["--root", world.data().to_str().unwrap()]).exits(3).says("it would be copied into itself");
}

#[test]
fn show_says_of_each_entry_what_it_is_and_whether_it_is_there() {
    let world = World::plain();
    world.file("a", "x");
    std::fs::create_dir(world.source.join("d")).unwrap();
    let text = format!(
        "version = 1\nsource = {:?}\nroot = {:?}\n[[target]]\nto = \"/persist\"\ndirectories = [\"a\", \"b\", \"d\"]\n",
        world.source, world.root
    );
    let plan = world.plan_text(&text);
    let shown = plain(&["plan", "show", plan.to_str().unwrap(), "--format", "json"].map(OsStr::new)).exits(0);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let said = shown["targets"][0]["entries"].as_array().unwrap().iter().map(|entry| {
        assert_eq!(entry["kind"], "directory");
        (entry["presence"].as_str().unwrap(), entry["detail"].as_str())
    });
    let expected = [("wrong-kind", Some("a regular file")), ("absent", None), ("present", None)];
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

#[test]
fn show_prints_numbers_and_expanded_globs() {
    let world = World::plain();
    world.file("etc/ssh/ssh_host_a", "x");
    world.file("etc/ssh/ssh_host_b", "x");
    world.file("var/lib/nixos/uid-map", r#"{"sinh":1234}"#);
    let text = format!(
        "version = 1\nsource = {:?}\nroot = {:?}\n[[target]]\nto = \"/persist\"\nparents = {{ owner = \"sinh\" }}\nfiles = [\"/etc/ssh/ssh_host_*\"]\n",
        world.source, world.root
    );
    let plan = world.plan_text(&text);
    let show = |format| plain(&["plan", "show", plan.to_str().unwrap(), "--format", format].map(OsStr::new)).exits(0);
    show("table").says("1234:0 0755").says("/etc/ssh/ssh_host_b");
    let json: serde_json::Value = serde_json::from_str(&show("json").stdout).unwrap();
    assert_eq!(json["targets"][0]["entries"][1]["destination"], "/persist/etc/ssh/ssh_host_b");
    assert_eq!(json["targets"][0]["parents"]["uid"], 1234);
    assert_eq!((&json["version"], &json["targets"][0]["entries"][1]["kind"]), (&2.into(), &"file".into()));
}

#[test]
fn completions_and_the_manual_come_from_the_same_definitions() {
    plain(&["completions", "fish"].map(OsStr::new)).exits(0).says("verify-only");
    plain(&["man"].map(OsStr::new)).exits(0).says("persistcp");
    plain(&[]).exits(2);
    plain(&["--plan", "x", "--bogus"].map(OsStr::new)).exits(2);
}

/// The storage of many machines is a directory of the disk that has the Nix store.
#[test]
fn a_storage_inside_a_mapped_tree_is_filled_by_its_own_entries() {
    need_root!();
    let world = World::ext4(64);
    world.file("nix/store/a/f", "store");
    world.file("nix/persist/var/log/old", "of the storage that the backup had");
    world.file("var/log/l", "log");
    world.file("home/u/.ssh/id", "key");
    let text = format!("version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n", world.source, world.root);
    let plan = world.plan_text(
        &(text
            + "[[target]]\nname = \"system\"\nto = \"/persist/nix/persist\"\ndirectories = [\"/var/log\"]\n\
         [[target]]\nname = \"u\"\nfrom = \"/home/u\"\nto = \"/persist/nix/persist/home/u\"\ndirectories = [\".ssh\"]\n\
         [[map]]\nname = \"nix\"\nfrom = \"/nix\"\nto = \"/persist/nix\"\n"),
    );
    plain(&[OsStr::new("plan"), OsStr::new("show"), plan.as_os_str()]).exits(0).says("/nix/store ");
    run(&plan, &["--dry-run"]).exits(0);
    run(&plan, &[]).exits(0);
    let at = |path: &str| world.persist.join("nix").join(path);
    let holds = || {
        assert_eq!(std::fs::read_to_string(at("store/a/f")).unwrap(), "store");
        assert_eq!(std::fs::read_to_string(at("persist/var/log/l")).unwrap(), "log");
        assert_eq!(std::fs::read_to_string(at("persist/home/u/.ssh/id")).unwrap(), "key");
        assert!(!at("persist/var/log/old").exists(), "the outer tree must leave the storage out");
    };
    holds();
    for args in [&["--verify-only"][..], &["--verify-only", "--against", "source"], &[], &["--delete"]] {
        run(&plan, args).exits(0);
        holds();
    }
    std::fs::remove_file(at("persist/home/u/.ssh/id")).unwrap();
    std::fs::remove_file(at("store/a/f")).unwrap();
    run(&plan, &["--verify-only", "--strict"]).exits(1);
    run(&plan, &["--repair", "--strict"]).exits(0);
    holds();
    // What the new system makes on its storage is not the store's.
    std::fs::create_dir_all(at("persist/var/lib/new")).unwrap();
    run(&plan, &["--verify-only"]).exits(0);
    run(&plan, &["--restart"]).exits(0);
    holds();
}

#[test]
fn a_storage_in_a_tree_that_is_no_map_is_still_a_conflict() {
    let world = World::plain();
    let text = "version = 1\nsource = \"/b\"\n[[target]]\nto = \"/p\"\ndirectories = [\"/srv\"]\n\
                [[target]]\nto = \"/p/srv/q\"\ndirectories = [\"/var/log\"]\n";
    check(&world, text).exits(2).says("is inside /p/srv, which another entry fills");
}
