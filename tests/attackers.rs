//! Threads that swap names, in the source and in the target, while the binary
//! copies: it reads nothing outside the source, writes nothing outside the
//! target, and never waits for them.

use crate::kit::attack::{Attack, Outside, Rights, SECRET, assert_no_secret, special, under_attack};
use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, sh, snapshot};
use rustix::fs::FileType;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Names in every directory, inside and outside.
const FILES: usize = 8;

fn tree(world: &World, content: &str) {
    for parent in ["links", "files", "moved", "out"] {
        for dir in 0..8 {
            for file in 0..FILES {
                world.file(&format!("data/{parent}/d{dir}/f{file}"), format!("{content} {parent} {dir} {file}"));
            }
        }
    }
}

/// The run ended by itself, in a documented way.
#[track_caller]
fn ended(ran: Ran) {
    assert!(matches!(ran.status, Some(0 | 1 | 4)), "{ran}");
}

fn clear(world: &World) {
    for name in ["data", ".persistcp"] {
        std::fs::remove_dir_all(world.persist.join(name)).unwrap();
    }
}

fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}

/// Below the world: what to put in the place of what, in the source.
fn source_attacks(world: &World) -> Vec<Attack> {
    let stage = world.path().join("stage");
    std::fs::create_dir(&stage).unwrap();
    let outside = world.path().join("outside");
    let mut attacks = Vec::new();
    for n in 0..8 {
        let (link, swap) = (stage.join(format!("link{n}")), stage.join(format!("file{n}")));
        symlink(if n % 2 == 0 { outside.clone() } else { path("../../../outside") }, link).unwrap();
        match n {
            0 | 1 => symlink(outside.join("f0"), &swap).unwrap(),
            2 | 3 => symlink("../../../../outside/f0", &swap).unwrap(),
            4 | 5 => special(&swap, FileType::Fifo),
            6 => special(&swap, FileType::CharacterDevice),
            _ => std::fs::create_dir(&swap).unwrap(),
        }
        let data = |rest: String| path("backup/data").join(rest);
        attacks.push(Attack::Exchange(data(format!("links/d{n}")), path(&format!("stage/link{n}"))));
        attacks.push(Attack::Exchange(data(format!("files/d{n}/f0")), path(&format!("stage/file{n}"))));
    }
    attacks.push(Attack::Away(path("backup/data/moved"), path("backup/data/elsewhere")));
    attacks.push(Attack::Away(path("backup/data/out"), path("stage/out")));
    attacks
}

#[test]
fn swaps_in_the_source_lead_nowhere() {
    need_root!();
    let world = World::ext4(128);
    tree(&world, "ours");
    let outside = Outside::new(world.path().join("outside"), FILES);
    let attacks = source_attacks(&world);
    let plan = world.plan("");
    let (mut races, mut rounds) = (0, 0);
    while races < 10_000 || rounds < 8 {
        let (ran, count) = under_attack(world.path(), Rights::Root, &attacks, || run(&plan, &[]));
        ended(ran);
        outside.assert_untouched();
        assert_no_secret(&world.persist.join("data"));
        assert_no_secret(&world.persist.join(".persistcp"));
        clear(&world);
        (races, rounds) = (races + count, rounds + 1);
    }
    println!("{races} races in {rounds} runs");
    assert!(races >= 10_000);
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

/// The name under which a replacement of `name` waits.
fn temporary(name: &str) -> String {
    format!(".persistcp-{}.tmp", &blake3::hash(name.as_bytes()).to_hex()[..16])
}

/// Below the mount: what to put in the place of what, in the target.
fn target_attacks(world: &World) -> Vec<Attack> {
    let stage = world.persist.join("stage");
    std::fs::create_dir(&stage).unwrap();
    let mut attacks = Vec::new();
    for n in 0..8 {
        let (outside, up) = (world.persist.join("outside"), path("../../../outside"));
        symlink(if n % 2 == 0 { outside.clone() } else { up }, stage.join(format!("link{n}"))).unwrap();
        attacks.push(Attack::Exchange(path(&format!("data/links/d{n}")), path(&format!("stage/link{n}"))));
        for name in ["f0".to_string(), "fifo".to_string(), temporary("f1"), temporary("f2")] {
            let name = path(&format!("data/files/d{n}")).join(name);
            attacks.push(Attack::Symlink(name.clone(), outside.join("f0")));
            attacks.push(Attack::Link(name, path("outside/f0")));
        }
    }
    attacks.push(Attack::Away(path("data/moved"), path("data/elsewhere")));
    attacks.push(Attack::Away(path("data/out"), path("stage/out")));
    attacks
}

#[test]
fn swaps_in_the_target_lead_nowhere() {
    need_root!();
    let world = World::ext4(256);
    tree(&world, "ours");
    for dir in 0..8 {
        special(&world.data().join(format!("files/d{dir}/fifo")), FileType::Fifo);
    }
    let outside = Outside::new(world.persist.join("outside"), FILES);
    let attacks = target_attacks(&world);
    let plan = world.plan("");
    let (mut races, mut rounds) = (0, 0);
    while races < 10_000 || rounds < 6 {
        // A first copy, and one that replaces every file.
        for content in ["ours", "ours again"] {
            tree(&world, &format!("{content} {rounds}"));
            let (ran, count) = under_attack(&world.persist, Rights::Root, &attacks, || run(&plan, &[]));
            ended(ran);
            outside.assert_untouched();
            races += count;
        }
        clear(&world);
        rounds += 1;
    }
    println!("{races} races in {rounds} rounds");
    assert!(races >= 10_000);
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

const USER: u32 = 1000;

/// A home that belongs to a user, with something of root's in it.
fn home(world: &World, content: &str) {
    for dir in ["", "d0", "d1", "d2", "d3"] {
        for file in 0..FILES {
            world.file(&format!("data/home/{dir}/f{file}"), format!("{content} {dir} {file}"));
        }
        chown(world.data().join("home").join(dir), Some(USER), Some(USER)).unwrap();
    }
    world.file("data/home/vault/key", "of root, behind a closed directory");
    std::fs::set_permissions(world.data().join("home/vault"), PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn the_owner_of_a_directory_of_the_target_gains_nothing() {
    need_root!();
    let world = World::ext4(128);
    let plan = world.plan("");
    let outside = Outside::new(world.persist.join("outside"), FILES);
    home(&world, "first");
    run(&plan, &[]).exits(0);
    let home_there = world.target().join("home");
    let mut attacks = Vec::new();
    for n in 0..4 {
        attacks.push(Attack::Exchange(path(&format!("d{n}")), path("vault")));
        attacks.push(Attack::Exchange(path(&format!("d{n}")), path("link")));
        attacks.push(Attack::Symlink(path(&format!("d{n}/f0")), outside.path.join("f0")));
        attacks.push(Attack::Symlink(path(&temporary(&format!("f{n}"))), outside.path.join("f0")));
    }
    let mut races = 0;
    for round in 0..10 {
        home(&world, &format!("again {round}"));
        symlink(&outside.path, home_there.join("link")).ok();
        let (ran, count) = under_attack(&home_there, Rights::User(USER), &attacks, || run(&plan, &[]));
        ended(ran);
        outside.assert_untouched();
        races += count;
        let key = find(&home_there, "key").expect("the vault is somewhere in the home");
        let vault = key.parent().unwrap().metadata().unwrap();
        let shown = (std::os::unix::fs::MetadataExt::uid(&vault), vault.permissions().mode() & 0o7777);
        assert_eq!(shown, (0, 0o700), "the directory of root was given away in round {round}");
    }
    println!("{races} races");
    assert!(races > 100, "the attacker was hardly there: {races}");
}

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).find_map(|path| match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => find(&path, name),
        _ => path.ends_with(name).then_some(path),
    })
}

#[test]
fn a_directory_of_root_under_another_name_is_not_given_away() {
    need_root!();
    let world = World::ext4(64);
    let plan = world.plan("");
    home(&world, "first");
    run(&plan, &[]).exits(0);
    // What the owner of the home may do between two runs.
    let there = world.target().join("home");
    std::fs::rename(there.join("d0"), there.join("hidden")).unwrap();
    std::fs::rename(there.join("vault"), there.join("d0")).unwrap();
    home(&world, "again");
    let ran = run(&plan, &[]).exits(1).says("not one that a run made");
    assert!(ran.problems().iter().any(|(_, path)| path == "/persist/data/home/d0"), "{ran}");
    let vault = there.join("d0").metadata().unwrap();
    assert_eq!(vault.permissions().mode() & 0o7777, 0o700);
    // A name that the plan never had before is no better.
    std::fs::rename(there.join("d0"), there.join("new")).unwrap();
    world.file("data/home/new/f", "new");
    chown(world.data().join("home/new"), Some(USER), Some(USER)).unwrap();
    run(&plan, &[]).exits(1).says("not one that a run made");
    assert_eq!(there.join("new").metadata().unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn what_a_killed_run_left_in_the_directory_of_a_user_is_trusted() {
    need_root!();
    let world = World::ext4(64);
    let plan = world.plan("");
    home(&world, "first");
    run(&plan, &[]).exits(0);
    world.file("data/home/new/f", "new");
    chown(world.data().join("home/new"), Some(USER), Some(USER)).unwrap();
    // The home closed, the new directory born, and neither finished.
    let there = world.target().join("home");
    std::fs::create_dir(there.join("new")).unwrap();
    chown(&there, Some(0), Some(0)).unwrap();
    for dir in [there.join("new"), there] {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700)).unwrap();
    }
    let journal = rusqlite::Connection::open(world.persist.join(".persistcp/t.sqlite")).unwrap();
    journal.execute("INSERT INTO run(kind, started, tool) VALUES('copy', 'killed', 't')", []).unwrap();
    drop(journal);
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_directory_that_is_moved_out_of_the_target_is_reported() {
    need_root!();
    let world = World::ext4(256);
    for file in 0..6000 {
        world.file(&format!("data/victim/f{file}"), "x");
    }
    let plan = world.plan("");
    std::fs::create_dir(world.persist.join("elsewhere")).unwrap();
    let outside = Outside::new(world.persist.join("outside"), FILES);
    let (from, to) = (world.target().join("victim"), world.persist.join("elsewhere/victim"));
    let over = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        let mover = scope.spawn(|| while std::fs::rename(&from, &to).is_err() && !over.load(Ordering::Relaxed) {});
        let ran = run(&plan, &[]);
        over.store(true, Ordering::Relaxed);
        mover.join().unwrap();
        ran
    });
    let ran = ran.exits(1);
    assert!(ran.problems().iter().any(|(_, path)| path.starts_with("/persist/data/victim")), "{ran}");
    outside.assert_untouched();
    // A repair brings it where it belongs.
    run(&plan, &["--repair"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_fifo_in_the_place_of_a_map_of_ids_never_blocks() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", SECRET);
    std::fs::create_dir_all(world.root.join("etc")).unwrap();
    special(&world.root.join("etc/passwd"), FileType::Fifo);
    let plan = world.plan("[[fixup]]\npath = \"/persist/data/f\"\nowner = \"nobody-knows\"\n");
    let ran = run(&plan, &[]);
    assert!(matches!(ran.status, Some(2 | 3)), "{ran}");
    sh!("rm", world.root.join("etc/passwd"));
}
