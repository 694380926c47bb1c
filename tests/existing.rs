//! What stands in the target before the run.

use crate::kit::disk::World;
use crate::kit::mount::{Fs, Mounted};
use crate::kit::run::run;
use crate::kit::{need_root, sh, snapshot};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What one side has under a name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Has {
    File,
    Directory,
    Symlink,
}

fn make(path: &Path, has: Has, whose: &str) {
    match has {
        Has::File => std::fs::write(path, whose).unwrap(),
        Has::Directory => {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join(whose), whose).unwrap();
        }
        Has::Symlink => symlink(format!("../../outside/{whose}"), path).unwrap(),
    }
}

#[test]
fn each_type_over_each_type() {
    need_root!();
    let all = [Has::File, Has::Directory, Has::Symlink];
    for source in all {
        for target in all {
            let world = World::ext4(32);
            let pair = format!("{source:?} over {target:?}");
            std::fs::create_dir(world.data()).unwrap();
            make(&world.data().join("it"), source, "new");
            let outside = world.persist.join("outside");
            std::fs::create_dir(&outside).unwrap();
            std::fs::write(outside.join("old"), "old").unwrap();
            std::fs::create_dir(world.target()).unwrap();
            let it = world.target().join("it");
            make(&it, target, "old");
            let plan = world.plan("");
            let ran = run(&plan, &["--allow-nonempty"]);
            assert_eq!(std::fs::read(outside.join("old")).unwrap(), b"old", "{pair}: a link was followed");
            if target == Has::Directory && source != Has::Directory {
                let ran = ran.exits(1).says("a non-empty directory is in the place");
                assert_eq!(ran.problems(), [("type".to_string(), "/persist/data/it".to_string())], "{pair}");
                assert_eq!(std::fs::read(it.join("old")).unwrap(), b"old", "{pair}: content of a stranger is lost");
                continue;
            }
            let ran = ran.exits(0);
            match source {
                Has::Directory => assert_eq!(std::fs::read(it.join("new")).unwrap(), b"new", "{pair}\n{ran}"),
                Has::File => assert_eq!(std::fs::read(&it).unwrap(), b"new", "{pair}\n{ran}"),
                Has::Symlink => {
                    assert_eq!(std::fs::read_link(&it).unwrap(), Path::new("../../outside/new"), "{pair}");
                }
            }
            if (source, target) == (Has::Directory, Has::Directory) {
                assert_eq!(std::fs::read(it.join("old")).unwrap(), b"old", "{pair}: what was there stays");
            } else {
                snapshot::assert_same(&world.data(), &world.target());
            }
            assert_eq!(run(&plan, &[]).exits(0).total("copied"), 0, "{pair}");
        }
    }
}

#[test]
fn an_empty_directory_makes_way_as_a_first_boot_leaves_them() {
    need_root!();
    let world = World::ext4(32);
    world.file("data/machine-id", "0123456789abcdef0123456789abcdef\n");
    symlink("machine-id", world.data().join("link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, world.data().join("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    std::fs::hard_link(world.data().join("machine-id"), world.data().join("second")).unwrap();
    for name in ["machine-id", "link", "fifo", "second"] {
        std::fs::create_dir_all(world.target().join(name)).unwrap();
    }
    run(&world.plan(""), &["--allow-nonempty"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn other_names_of_a_replaced_file_keep_its_content() {
    need_root!();
    let world = World::ext4(32);
    world.file("data/f", "new");
    std::fs::create_dir(world.target()).unwrap();
    let (f, other) = (world.target().join("f"), world.target().join("other"));
    std::fs::write(&f, "old").unwrap();
    std::fs::hard_link(&f, &other).unwrap();
    run(&world.plan(""), &["--allow-nonempty"]).exits(0);
    assert_eq!((std::fs::read(&f).unwrap(), std::fs::read(&other).unwrap()), (b"new".to_vec(), b"old".to_vec()));
    assert_eq!(std::fs::metadata(&other).unwrap().nlink(), 1);
}

#[test]
fn whoever_reads_a_replaced_file_sees_the_old_or_the_new_one_whole() {
    need_root!();
    let world = World::ext4(96);
    let new = vec![2; 3 << 20];
    let old = vec![1; 2 << 20];
    std::fs::create_dir(world.target()).unwrap();
    for i in 0..8 {
        world.file(&format!("data/{i}"), &new);
        std::fs::write(world.target().join(i.to_string()), &old).unwrap();
    }
    let over = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (over, dir, old, new) = (over.clone(), world.target(), old.clone(), new.clone());
        move || {
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                for i in 0..8 {
                    let content = std::fs::read(dir.join(i.to_string())).expect("the name always exists");
                    assert!(content == old || content == new, "{i} is torn: {} bytes", content.len());
                    seen += 1;
                }
            }
            seen
        }
    });
    let ran = run(&world.plan(""), &["--allow-nonempty"]);
    over.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 8);
    ran.exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn leftovers_of_a_failed_first_boot_are_taken_over_and_corrected() {
    need_root!();
    let world = World::ext4(32);
    world.file("home/sinh/.ssh/id_ed25519", "key");
    world.file("home/sinh/.local/share/keyrings/login", "ring");
    let own = |path: &str, mode| {
        let path = world.source.join(path);
        chown(&path, Some(1000), Some(100)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    for (path, mode) in [
        ("home/sinh", 0o700),
        ("home/sinh/.ssh", 0o700),
        ("home/sinh/.ssh/id_ed25519", 0o600),
        ("home/sinh/.local", 0o755),
        ("home/sinh/.local/share", 0o755),
        ("home/sinh/.local/share/keyrings", 0o700),
        ("home/sinh/.local/share/keyrings/login", 0o600),
    ] {
        own(path, mode);
    }
    // As root's tmpfiles and bind mounts leave it: root's, 0755, in a home that its user has already.
    let home = world.persist.join("home/sinh");
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    std::fs::create_dir_all(home.join(".local/share/keyrings")).unwrap();
    std::fs::write(home.join(".ssh/id_ed25519"), "").unwrap();
    std::fs::set_permissions(home.join(".local/share/keyrings"), PermissionsExt::from_mode(0o700)).unwrap();
    chown(&home, Some(1000), Some(100)).unwrap();
    std::fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).unwrap();
    let plan = world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[ids]\nusers = {{ sinh = 1000 }}\n[[target]]\nname = \"home\"\n\
         from = \"/home/sinh\"\nto = \"/persist/home/sinh\"\nparents = {{ owner = \"sinh\", group = \"users\", mode = \"0755\" }}\n\
         directories = [\".ssh\", \".local/share/keyrings\"]\n",
        world.source, world.root
    ));
    run(&plan, &["--allow-nonempty"]).exits(0);
    snapshot::assert_same(&world.source.join("home/sinh"), &home);
}

#[test]
fn names_that_the_target_takes_for_the_same_are_not_lost_in_silence() {
    need_root!();
    let world = World::plain();
    let _exfat = Mounted::new(Fs::Exfat, world.path(), &world.persist);
    let state = world.path().join("state");
    world.file("data/Mail", "one");
    world.file("data/mail", "two");
    world.file("data/Dir/a", "a");
    world.file("data/dir/b", "b");
    let ran = run(&world.plan(""), &["--state", state.to_str().unwrap()])
        .exits(1)
        .says("is the same to the target's file system");
    let lost: Vec<_> = ran.problems().into_iter().filter(|(kind, _)| kind == "unsupported").collect();
    assert_eq!(lost.len(), 2, "{ran}");
    assert!(std::fs::read_dir(world.target()).unwrap().count() == 2, "{ran}");
}

#[test]
fn without_its_acl_a_file_gives_the_group_no_more_than_before() {
    need_root!();
    let world = World::plain();
    let _bindfs = Mounted::new(Fs::Bindfs, world.path(), &world.persist);
    let file = world.file("data/f", "x");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    sh!("setfacl", "-m", "u:1234:rw", file);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o660, "the group bits are the mask");
    let plan = world.plan("");
    let ran = run(&plan, &[]).exits(1);
    assert_eq!(std::fs::metadata(world.target().join("f")).unwrap().mode() & 0o777, 0o600, "{ran}");
    let mut kinds: Vec<_> = ran.problems().into_iter().map(|(kind, _)| kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["acl", "mode"], "{ran}");
    // It is neither copied again for that, nor forgotten.
    let again = run(&plan, &[]).exits(1);
    assert_eq!((again.total("copied"), again.problems().len()), (0, 2), "{again}");
}
