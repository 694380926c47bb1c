//! A source that lies on another file system than the one that was copied: a machine that booted without its bind
//! mounts, a disk that is not mounted. What it has under the same paths takes nothing's place.

use crate::kit::attach::{Attached, make_image};
use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, need_tools, sh, snapshot};
use crate::passes::counts;
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The old machine, on a disk of its own at the source's place.
struct OldMachine {
    world: World,
    image: PathBuf,
    plan: PathBuf,
}

const OLD: [(&str, &str); 6] = [
    ("etc/machine-id", "0123456789abcdef"),
    ("etc/ssh/ssh_host_ed25519_key", "the key that clients know"),
    ("etc/ssh/ssh_host_ed25519_key.pub", "its public half"),
    ("srv/app/config", "a file"),
    ("srv/app/same", "the same on both"),
    ("srv/data/x", "below a directory"),
];

impl OldMachine {
    /// Copies it to the storage.
    fn migrated() -> Self {
        let world = World::ext4(64);
        let image = world.path().join("old.img");
        make_image("ext4", 64, &[], &image);
        let root = world.source.clone();
        let plan = world.plan_text(&format!(
            "version = 1\nname = \"t\"\nsource = {root:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/system\"\n\
             directories = [\"/etc/ssh\", \"/srv\"]\nfiles = [\"/etc/machine-id\"]\n",
            world.root
        ));
        let machine = Self { world, image, plan };
        let old = machine.boot_old();
        for (path, content) in OLD {
            machine.write(path, content);
        }
        symlink("app", machine.world.source.join("srv/link")).unwrap();
        run(&machine.plan, &[]).exits(0);
        old.unmount();
        machine
    }

    fn boot_old(&self) -> Attached {
        Attached::image(&self.image, "loop", &self.world.source)
    }

    fn write(&self, path: &str, content: &str) {
        self.world.file(path, content);
    }

    fn stored(&self, path: &str) -> PathBuf {
        self.world.persist.join("system").join(path)
    }

    fn holds_the_old(&self, ran: &Ran) {
        for (path, content) in OLD {
            assert_eq!(read(self.stored(path)), content, "{path}\n{ran}");
        }
        assert_eq!(std::fs::read_link(self.stored("srv/link")).unwrap().to_str(), Some("app"), "{ran}");
    }

    /// What the first boot of the new machine makes in a root without its mounts.
    fn first_boot(&self, root: Attached) -> Attached {
        self.write("etc/machine-id", "fedcba9876543210");
        self.write("etc/ssh/ssh_host_ed25519_key", "a key that nobody knows");
        self.write("etc/ssh/ssh_host_ed25519_key.pub", "its own public half");
        self.write("srv/app/same", "the same on both");
        self.write("srv/new", "made by the new machine");
        symlink("elsewhere", self.world.source.join("srv/link")).unwrap();
        // A container makes a directory of what it cannot find, and a program a file.
        std::fs::create_dir(self.world.source.join("srv/app/config")).unwrap();
        self.write("srv/data", "a file in the place of a directory");
        root
    }
}

/// What the first boot has other than what was copied.
const CHANGED: [&str; 6] = [
    "etc/machine-id",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "srv/app/config",
    "srv/data",
    "srv/link",
];

#[test]
fn what_a_first_boot_without_mounts_made_replaces_no_copy() {
    need_root!();
    let machine = OldMachine::migrated();
    let _new = machine.first_boot(Attached::tmpfs("size=4m", &machine.world.source));
    let expected: BTreeMap<String, String> =
        CHANGED.map(|path| (format!("/persist/system/{path}"), "changed-source".to_string())).into();
    let dry = run(&machine.plan, &["--dry-run"]).exits(0);
    assert_eq!(dry.report["targets"][0]["kept"]["entries"], 6, "{dry}");
    for args in [&[][..], &["--delete"], &["--repair"], &["--repair", "--strict"], &[]] {
        let ran = run(&machine.plan, args).exits(1).says("is not the one which was copied");
        machine.holds_the_old(&ran);
        let found: BTreeMap<String, String> = ran.problems().into_iter().map(|(kind, path)| (path, kind)).collect();
        let found: BTreeMap<_, _> = found.into_iter().filter(|(_, kind)| kind != "stale").collect();
        assert_eq!(found, expected, "{args:?}\n{ran}");
        assert_eq!(read(machine.stored("srv/new")), "made by the new machine", "{ran}");
    }
    let found = run(&machine.plan, &["--verify-only"]).exits(1);
    assert_eq!(counts(&found).get("changed-source"), Some(&6), "{found}");
}

#[test]
fn the_way_out_is_named_and_works() {
    need_root!();
    let machine = OldMachine::migrated();
    let new = machine.first_boot(Attached::tmpfs("size=4m", &machine.world.source));
    std::fs::remove_file(machine.world.source.join("srv/data")).unwrap();
    run(&machine.plan, &[]).exits(1).says("Mount what was copied and run again");
    new.unmount();
    let old = machine.boot_old();
    machine.write("etc/machine-id", "changed on the old one");
    run(&machine.plan, &[]);
    assert_eq!(read(machine.stored("etc/machine-id")), "changed on the old one");
    old.unmount();
    let _new = machine.first_boot(Attached::tmpfs("size=4m", &machine.world.source));
    std::fs::remove_file(machine.world.source.join("srv/data")).unwrap();
    run(&machine.plan, &["--overwrite"]);
    assert_eq!(read(machine.stored("etc/machine-id")), "fedcba9876543210");
    assert!(machine.stored("srv/app/config").is_dir());
}

#[test]
fn another_disk_with_the_same_content_is_the_same_source() {
    need_root!();
    let machine = OldMachine::migrated();
    let copy = machine.world.path().join("copy.img");
    let place = machine.world.path().join("place");
    let (old, new) = (machine.boot_old(), Attached::fresh("ext4", 64, &copy, &place));
    sh!("cp", "-a", machine.world.source.join("."), place);
    std::fs::write(place.join("etc/machine-id"), "changed with the move").unwrap();
    old.unmount();
    new.unmount();
    let _new = Attached::image(&copy, "loop", &machine.world.source);
    let ran = run(&machine.plan, &[]).exits(1);
    assert_eq!(ran.problems(), [("changed-source".to_string(), "/persist/system/etc/machine-id".to_string())], "{ran}");
    // What was the same is known there from then on.
    machine.write("srv/app/config", "changed after the move");
    run(&machine.plan, &[]).exits(1);
    assert_eq!(read(machine.stored("srv/app/config")), "changed after the move");
    run(&machine.plan, &["--overwrite"]).exits(0);
    assert_eq!(read(machine.stored("etc/machine-id")), "changed with the move");
    run(&machine.plan, &["--verify-only", "--against", "source"]).exits(0);
}

#[test]
fn what_lies_under_a_mount_point_is_no_new_state_of_what_is_mounted_there() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/disk/f", "under the mount point");
    let image = world.path().join("disk.img");
    let mounted = Attached::fresh("ext4", 16, &image, &world.data().join("disk"));
    world.file("data/disk/f", "on the disk");
    let plan = world.plan("");
    run(&plan, &["--cross-mounts"]).exits(0);
    mounted.unmount();
    run(&plan, &["--cross-mounts"]).exits(1);
    assert_eq!(read(world.target().join("disk/f")), "on the disk");
    let _mounted = Attached::image(&image, "loop", &world.data().join("disk"));
    world.file("data/disk/f", "changed on the disk");
    run(&plan, &["--cross-mounts"]).exits(0);
    assert_eq!(read(world.target().join("disk/f")), "changed on the disk");
}

/// A database in WAL mode with a log, and `rows` rows, closed by nobody.
fn database(path: &Path, rows: u32) {
    let script = "import sqlite3,sys,os\nc=sqlite3.connect(sys.argv[1])\nc.execute('pragma journal_mode=wal')\n\
                  c.execute('create table t(x)')\nc.executemany('insert into t values (?)',[('x',)]*int(sys.argv[2]))\n\
                  c.commit()\nos._exit(0)";
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    sh!("python3", "-c", script, path, rows.to_string());
    assert!(path.with_extension("db-wal").exists());
}

#[test]
fn no_log_of_another_database_is_put_beside_a_copy() {
    need_root!();
    let world = World::ext4(64);
    let image = world.path().join("old.img");
    let old = Attached::fresh("ext4", 16, &image, &world.data());
    database(&world.data().join("app.db"), 5);
    std::fs::remove_file(world.data().join("app.db-shm")).unwrap();
    sh!(
        "python3",
        "-c",
        "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('pragma wal_checkpoint(truncate)'); c.close()",
        world.data().join("app.db")
    );
    assert!(!world.data().join("app.db-wal").exists());
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let before = snapshot::take(&world.target());
    old.unmount();
    let _new = Attached::tmpfs("size=8m", &world.data());
    database(&world.data().join("app.db"), 9);
    for args in [&[][..], &["--repair"]] {
        let ran = run(&plan, args).exits(1);
        let now = snapshot::take(&world.target());
        let differs: Vec<_> =
            snapshot::diff(&before, &now).into_iter().filter(|line| line.contains("app.db")).collect();
        assert_eq!(differs, [""; 0], "{ran}");
    }
}

#[test]
fn a_new_root_on_the_same_btrfs_is_another_source_and_a_newer_snapshot_is_not() {
    need_root!();
    need_tools!("btrfs", "mkfs.btrfs");
    let world = World::ext4(64);
    let pool = world.path().join("pool");
    let image = world.path().join("pool.img");
    let _pool = Attached::fresh("btrfs", 200, &image, &pool);
    sh!("btrfs", "-q", "subvolume", "create", pool.join("root"));
    let write = |sub: &str, content: &str| {
        let path = pool.join(sub).join("etc/machine-id");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("root", "the first state");
    let snapshot = |name: &str| sh!("btrfs", "-q", "subvolume", "snapshot", "-r", pool.join("root"), pool.join(name));
    snapshot("one");
    write("root", "the second state");
    snapshot("two");
    sh!("btrfs", "-q", "subvolume", "create", pool.join("blank"));
    write("blank", "made by the first boot");
    let plan = world.plan("");
    std::fs::create_dir_all(world.data()).unwrap();
    let boot_with = |name: &str, args: &[&str]| {
        let mounted = Attached::new(&["--bind", pool.join(name).to_str().unwrap()], &world.data());
        let ran = run(&plan, args);
        mounted.unmount();
        ran
    };
    let boot = |name: &str| boot_with(name, &[]);
    boot("one").exits(0);
    boot("two").exits(0);
    let id = world.target().join("etc/machine-id");
    assert_eq!(read(&id), "the second state");
    let ran = boot("blank").exits(1);
    assert_eq!(ran.problems(), [("changed-source".to_string(), "/persist/data/etc/machine-id".to_string())], "{ran}");
    assert_eq!(read(&id), "the second state");
    // An older snapshot by mistake brings nothing older, and takes nothing newer away.
    write("root", "the third state");
    std::fs::write(pool.join("root/etc/since"), "a key").unwrap();
    snapshot("three");
    boot("three").exits(0);
    for args in [&[][..], &["--delete"], &["--repair"]] {
        let ran = boot_with("two", args).exits(1).says("the source has an older state of it");
        assert!(ran.kinds().contains(&"changed-source etc/machine-id".to_string()), "{ran}");
        assert_eq!(read(&id), "the third state");
        assert_eq!(read(world.target().join("etc/since")), "a key");
    }
    boot("three").exits(0);
    boot_with("two", &["--overwrite", "--delete"]).exits(0);
    assert_eq!(read(&id), "the second state");
    boot("three").exits(0);
    assert_eq!(read(&id), "the third state");
}

#[test]
fn a_driver_mounted_from_elsewhere_may_show_the_same_source() {
    need_root!();
    need_tools!("bindfs");
    let world = World::ext4(64);
    let [one, two] = ["one", "two"].map(|name| world.path().join(name));
    std::fs::create_dir_all(&one).unwrap();
    std::fs::write(one.join("f"), "first").unwrap();
    std::fs::create_dir_all(world.data()).unwrap();
    let plan = world.plan("");
    let mounted = |from: &Path| {
        sh!("bindfs", from, world.data());
        Attached::held(&world.data())
    };
    let first = mounted(&one);
    run(&plan, &[]).exits(0);
    first.unmount();
    std::fs::rename(&one, &two).unwrap();
    std::fs::write(two.join("f"), "the second state").unwrap();
    let _second = mounted(&two);
    run(&plan, &[]).exits(0);
    assert_eq!(read(world.target().join("f")), "the second state");
}
