//! Everything a tree can hold arrives.

use crate::kit::attributes::everything;
use crate::kit::disk::World;
use crate::kit::run::run;
use crate::kit::{need_root, sh, snapshot};
use rustix::fs::{CWD, Mode, OFlags};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

#[test]
fn every_attribute_arrives_on_ext4() {
    need_root!();
    let world = World::ext4(64);
    everything(&world);
    let ran = run(&world.plan(""), &[]).exits(0).says("socket not copied");
    snapshot::assert_same(&world.data(), &world.target());
    assert_eq!(ran.report["medium"], "direct");
    assert_eq!(ran.total("hardlinks"), 3);
}

#[test]
fn every_attribute_arrives_on_xfs() {
    need_root!();
    let world = World::new("xfs", 320, &[]);
    everything(&world);
    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn every_attribute_arrives_on_btrfs() {
    need_root!();
    let world = World::new("btrfs", 160, &[]);
    everything(&world);
    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn hostile_names_at_any_depth() {
    need_root!();
    let world = World::ext4(128);
    let names: &[&[u8]] =
        &[b"a b", b"new\nline", b"\xff\xfe", b"-rf", b"'\"$(x)", &[b'n'; 255], b"\\", "…é".as_bytes(), b"*?[a]"];
    std::fs::create_dir(world.data()).unwrap();
    for name in names {
        std::fs::write(world.data().join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    // 40 levels of 200 bytes are twice PATH_MAX.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut dir = rustix::fs::openat(CWD, world.data(), flags, Mode::empty()).unwrap();
    for _ in 0..40 {
        let name = [b'd'; 200];
        rustix::fs::mkdirat(&dir, name.as_slice(), Mode::from_raw_mode(0o755)).unwrap();
        dir = rustix::fs::openat(&dir, name.as_slice(), flags, Mode::empty()).unwrap();
    }
    let file = rustix::fs::openat(&dir, "bottom", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
    rustix::io::write(&file, b"deep").unwrap();
    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    let again = run(&world.plan(""), &[]).exits(0);
    assert_eq!(again.total("copied"), 0);
}

#[test]
fn a_tebibyte_of_hole_fits_on_a_small_disk() {
    need_root!();
    let world = World::ext4(200);
    let path = world.file("data/disk.img", "start");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    rustix::io::pwrite(&file, b"middle", 1 << 39).unwrap();
    rustix::io::pwrite(&file, b"end", (1 << 40) - 3).unwrap();
    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn holes_stay_where_attributes_fill_as_many_blocks() {
    need_root!();
    let world = World::ext4(64);
    let source = world.persist.join("from");
    std::fs::create_dir_all(source.join("data")).unwrap();
    let file = std::fs::File::create(source.join("data/half")).unwrap();
    rustix::io::pwrite(&file, &[1; 4096], 4096).unwrap();
    xattr::set(source.join("data/half"), "user.block", &[7; 2000]).unwrap();
    run(&world.plan(""), &["--source", source.to_str().unwrap()]).exits(0);
    let (from, to) = (snapshot::take(&source.join("data")), snapshot::take(&world.target()));
    assert_eq!(snapshot::holes(&from, &to), [""; 0]);
}

#[test]
fn links_between_two_entries_stay_links() {
    need_root!();
    let world = World::ext4(64);
    world.file("a/one", "shared");
    std::fs::create_dir(world.source.join("b")).unwrap();
    std::fs::hard_link(world.source.join("a/one"), world.source.join("b/two")).unwrap();
    let text = format!(
        "version = 1\nsource = {:?}\nroot = {:?}\n[[target]]\nto = \"/persist/s\"\ndirectories = [\"/a\", \"/b\"]\n",
        world.source, world.root
    );
    run(&world.plan_text(&text), &[]).exits(0);
    snapshot::assert_same(&world.source, &world.persist.join("s"));
}

#[test]
fn an_inherited_default_acl_is_cleared() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    sh!("setfacl", "-d", "-m", "u:1234:rwx", world.persist);
    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn an_inner_entry_wins_for_its_subtree_and_is_copied_once() {
    need_root!();
    let world = World::ext4(64);
    world.file("state/app/db", "x");
    world.file("state/app/secret/key", "k");
    world.file("elsewhere/e", "e");
    symlink("../elsewhere", world.source.join("state/moved")).unwrap();
    let text = format!(
        "version = 1\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/s\"\ndirectories = [\"/state\", \
         {{ path = \"/state/app/secret\", mode = \"0700\", owner = 7 }}, \"/state/moved\"]\n",
        world.source, world.root
    );
    let ran = run(&world.plan_text(&text), &[]).exits(0);
    let found = snapshot::take(&world.persist.join("s"));
    let secret = &found[b"/state/app/secret".as_slice()];
    assert_eq!((secret.mode, secret.owner.0), (0o700, 7));
    assert!(found.contains_key(b"/state/moved/e".as_slice()), "a symlinked entry is followed inside the backup");
    assert_eq!(ran.total("files"), 3);
}

#[test]
fn an_absolute_symlink_as_entry_stays_inside_the_backup() {
    need_root!();
    let world = World::ext4(64);
    world.file("etc/passwd", "root:x:0:0:of the backup:/:\n");
    world.file("var/x", "x");
    symlink("/etc/passwd", world.source.join("var/link")).unwrap();
    let text = format!(
        "version = 1\nsource = {:?}\nroot = {:?}\n[[target]]\nto = \"/persist/s\"\nfiles = [{{ path = \"/var/link\", follow = true }}]\n",
        world.source, world.root
    );
    run(&world.plan_text(&text), &[]).exits(0);
    let content = std::fs::read_to_string(world.persist.join("s/var/link")).unwrap();
    assert!(content.contains("of the backup"), "{content}");
}

#[test]
fn excluded_names_are_left_out_and_counted() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/keep", "x");
    world.file("data/cache/big", "x");
    world.file("data/a.tmp", "x");
    let ran = run(&world.plan(""), &["--exclude", "*.tmp", "--exclude", "/cache"]).exits(0);
    assert_eq!(ran.total("excluded"), 2);
    assert!(!world.target().join("cache").exists() && world.target().join("keep").exists());
}

#[test]
fn a_file_that_grows_while_it_is_copied_is_reported() {
    need_root!();
    let world = World::ext4(512);
    world.file("data/still", "x");
    let path = world.file("data/log", vec![1; 64 << 20]);
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let over = over.clone();
        move || {
            let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut file, b"line\n").unwrap();
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    });
    // Not too quick for the writer.
    let ran = run(&world.plan(""), &["--bwlimit", "200M"]);
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    let ran = ran.exits(1);
    assert_eq!(ran.problems(), [("changed-source".to_string(), "/persist/data/log".to_string())]);
    assert!(world.target().join("still").exists());
    // Once the source holds still, the same command brings it.
    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}
