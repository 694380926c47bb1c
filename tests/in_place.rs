//! What is in its place already, on a machine whose storage is half set up: never replaced by a copy of
//! itself, guarded from then on, and not overwritten by what a later run finds under the mounts.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, snapshot};
use crate::passes::{PASSES, counts};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A machine that runs: its root is source and root of the plan alike, and its storage is a mount in it.
struct Machine {
    world: World,
    mounts: Vec<Attached>,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { world: World::ext4(64), mounts: Vec::new() };
        machine.old("etc/fstab", "x");
        machine
    }

    fn root(&self) -> &Path {
        &self.world.root
    }

    /// A file of the root's own file system.
    fn old(&self, path: &str, content: &str) -> PathBuf {
        write(&self.root().join(path), content)
    }

    /// A file of the storage.
    fn stored(&self, path: &str, content: &str) -> PathBuf {
        write(&self.root().join("persist/system").join(path), content)
    }

    /// Mounts the storage's `path` in its place.
    fn bind(&mut self, path: &str) {
        let from = self.root().join("persist/system").join(path);
        self.mounts.push(Attached::over(&["--bind", from.to_str().unwrap()], &self.root().join(path)));
    }

    fn plan(&self, entries: &str) -> PathBuf {
        let root = self.root();
        self.world.plan_text(&format!(
            "version = 1\nname = \"t\"\nsource = {root:?}\nroot = {root:?}\n[[target]]\nname = \"s\"\nto = \"/persist/system\"\n\
             {entries}\n"
        ))
    }

    /// What the installer sees: the root's file system without the mounts, and the storage at its place below
    /// another root. Returns the arguments that say so.
    fn boot_installer(&mut self) -> Vec<String> {
        self.mounts.clear();
        let (old, new) = (self.world.path().join("old"), self.world.path().join("new"));
        self.mounts.push(Attached::new(&["--bind", self.root().to_str().unwrap()], &old));
        let persist = self.world.persist.to_str().unwrap().to_string();
        self.mounts.push(Attached::new(&["--bind", &persist], &new.join("persist")));
        let text = |path: PathBuf| path.to_str().unwrap().to_string();
        vec!["--source".into(), text(old), "--root".into(), text(new)]
    }
}

fn write(path: &Path, content: &str) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    path.to_path_buf()
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn with<'a>(args: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    args.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

const KEY: &str = "etc/ssh/ssh_host_ed25519_key";

/// A machine with a key in use, mounted from the storage over an older one, and something else to copy.
fn with_key(bound: &str) -> Machine {
    let mut machine = Machine::new();
    machine.old(KEY, "the old key");
    machine.stored(KEY, "the key in use");
    machine.old("var/log/messages", "log");
    machine.bind(bound);
    machine
}

fn in_place(ran: &Ran) -> u64 {
    ran.total("in_place")
}

#[test]
fn what_is_mounted_from_the_storage_is_recorded_and_left() {
    need_root!();
    for (bound, entries, count) in [
        (KEY, "files = [\"/etc/ssh/ssh_host_*\"]\ndirectories = [\"/var/log\"]", 1),
        ("etc/ssh", "directories = [\"/etc/ssh\", \"/var/log\"]", 2),
        ("etc", "directories = [\"/etc/ssh\", \"/var/log\"]", 2),
        ("etc/ssh", "directories = [\"/etc\", \"/var/log\"]", 2),
        (KEY, "directories = [\"/etc\", \"/var/log\"]", 1),
    ] {
        let machine = with_key(bound);
        let key = machine.root().join("persist/system").join(KEY);
        let before = key.metadata().unwrap();
        let plan = machine.plan(entries);
        let dry = run(&plan, &["--allow-nonempty", "--dry-run", "-v"]).exits(0).says("in-place");
        assert!(!dry.stdout.contains(&format!("changed\tf\t14\t/persist/system/{KEY}")), "{bound}: {dry}");
        let ran = run(&plan, &["--allow-nonempty"]).exits(0);
        assert_eq!(in_place(&ran), count, "{bound}: {ran}");
        let after = key.metadata().unwrap();
        assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()), "{bound}: {ran}");
        assert_eq!(read(machine.root().join("persist/system/var/log/messages")), "log");
        // Every pass after it agrees, and what was found is guarded.
        let again = run(&plan, &["--delete"]).exits(0);
        assert_eq!((in_place(&again), again.total("copied")), (count, 0), "{bound}: {again}");
        run(&plan, &["--verify-only"]).exits(0);
        run(&plan, &["--verify-only", "--against", "source"]).exits(0);
        run(&plan, &["--repair"]).exits(0);
        crate::kit::damage::flip(&machine.world, &key, 3);
        let found = run(&plan, &["--verify-only"]).exits(1);
        assert_eq!(found.problems(), [("content".to_string(), format!("/persist/system/{KEY}"))], "{bound}: {found}");
    }
}

#[test]
fn a_symlink_into_the_storage_does_not_replace_what_it_leads_to() {
    need_root!();
    for text in ["/persist/system/etc/machine-id", "../persist/system/etc/machine-id", "way"] {
        for entries in ["files = [\"/etc/machine-id\"]", "directories = [\"/etc\"]"] {
            let mut machine = Machine::new();
            std::fs::remove_file(machine.root().join("etc/fstab")).unwrap();
            let id = machine.stored("etc/machine-id", "the machine's id");
            symlink(text, machine.root().join("etc/machine-id")).unwrap();
            if text == "way" && entries.starts_with("files") {
                symlink("/persist/system/etc/machine-id", machine.root().join("etc/way")).unwrap();
            } else if text == "way" {
                continue;
            }
            let plan = machine.plan(entries);
            let passes: [&[&str]; 6] = [
                &["--allow-nonempty"],
                &[],
                &["--restart", "--allow-nonempty"],
                &["--verify-only"],
                &["--verify-only", "--against", "source"],
                &["--repair"],
            ];
            for args in passes {
                let ran = run(&plan, args).exits(0);
                assert_eq!(read(&id), "the machine's id", "{text} {entries} {args:?}\n{ran}");
                assert!(args.contains(&"--verify-only") || in_place(&ran) == 1, "{text} {entries} {args:?}\n{ran}");
            }
            run(&plan, &["--dry-run"]).exits(0).says("in-place 1");
            let installer = machine.boot_installer();
            if text != "way" {
                run(&plan, &with(&installer, &["--delete"])).exits(0);
            }
            assert_eq!(read(&id), "the machine's id", "{text} {entries}");
        }
    }
}

#[test]
fn a_directory_that_is_a_symlink_into_the_storage_is_in_its_place() {
    need_root!();
    let mut machine = Machine::new();
    let root = machine.root().to_path_buf();
    machine.stored("etc/x", "x");
    write(&root.join("persist/home/u/.ssh/id"), "a key");
    machine.old("home/u/.config/c", "c");
    symlink("/persist/home/u/.ssh", root.join("home/u/.ssh")).unwrap();
    let plan = machine.world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {root:?}\nroot = {root:?}\n[[target]]\nname = \"h\"\nfrom = \"/home/u\"\n\
         to = \"/persist/home/u\"\ndirectories = [\".ssh\", \".config\"]\n[[fixup]]\npath = \"/persist/home/u/.ssh\"\n\
         mode = \"0700\"\n"
    ));
    let ran = run(&plan, &["--allow-nonempty"]).exits(0);
    assert_eq!(in_place(&ran), 2, "{ran}");
    run(&plan, &["--verify-only"]).exits(0);
    // The symlink leads nowhere in the installer, and what it led to is where it shall be.
    let installer = machine.boot_installer();
    let ran = run(&plan, &with(&installer, &["--delete"])).exits(0);
    assert_eq!(read(root.join("persist/home/u/.ssh/id")), "a key", "{ran}");
    run(&plan, &with(&installer, &["--verify-only"])).exits(0);
}

#[test]
fn a_note_says_what_a_symlink_below_an_entry_leaves_unguarded() {
    need_root!();
    let machine = Machine::new();
    let key = machine.stored("srv/app/state/key", "a key");
    machine.old("srv/app/other", "o");
    symlink("/persist/system/srv/app/state", machine.root().join("srv/app/state")).unwrap();
    let plan = machine.plan("directories = [\"/srv\"]");
    let ran = run(&plan, &["--allow-nonempty"]).exits(0);
    let notes = ran.report["notes"].to_string();
    assert!(notes.contains("/persist/system/srv/app/state: in its place already, by a symlink"), "{ran}");
    assert!(notes.contains("no verification looks at it") && !notes.contains("recorded as it is"), "{ran}");
    // Declared by itself it is recorded.
    let plan = machine.plan("directories = [\"/srv\", \"/srv/app/state\"]");
    run(&plan, &["--allow-nonempty"]).exits(0);
    crate::kit::damage::flip(&machine.world, &key, 3);
    let found = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(found.problems(), [("content".into(), "/persist/system/srv/app/state/key".into())], "{found}");
}

/// Every pass gives exit status 1 and the same counts.
fn agree(plan: &Path, more: &[&str], expected: &[(&str, u64)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(kind, count)| (kind.to_string(), *count)).collect();
    for args in PASSES {
        let ran = run(plan, &[args, more].concat()).exits(1);
        assert_eq!(counts(&ran), expected, "{args:?}\n{ran}");
    }
}

#[test]
fn a_symlink_to_a_place_where_nothing_is_is_not_copied() {
    need_root!();
    for entries in ["files = [\"/etc/machine-id\"]", "directories = [\"/etc\"]"] {
        let machine = Machine::new();
        std::fs::create_dir_all(machine.root().join("persist/system/etc")).unwrap();
        symlink("/persist/system/etc/machine-id", machine.root().join("etc/machine-id")).unwrap();
        let plan = machine.plan(entries);
        run(&plan, &["--allow-nonempty"]).exits(1).says("leads to this very place, where nothing is");
        agree(&plan, &[], &[("missing", 1)]);
        assert!(machine.root().join("persist/system/etc/machine-id").symlink_metadata().is_err());
    }
}

#[test]
fn what_lies_under_a_mount_does_not_come_over_what_was_mounted() {
    need_root!();
    for (bound, entries, kept) in [
        (KEY, "files = [\"/etc/ssh/ssh_host_*\"]\ndirectories = [\"/var/log\"]", KEY),
        ("etc/ssh", "directories = [\"/etc/ssh\", \"/var/log\"]", "etc/ssh"),
        ("etc", "directories = [\"/etc/ssh\", \"/var/log\"]", "etc/ssh"),
        ("etc/ssh", "directories = [\"/etc\", \"/var/log\"]", "etc/ssh"),
        (KEY, "directories = [\"/etc\", \"/var/log\"]", KEY),
    ] {
        for with_problem in [false, true] {
            let mut machine = with_key(bound);
            let key = machine.root().join("persist/system").join(KEY);
            if with_problem {
                let point = machine.root().join("var/log/other");
                machine.mounts.push(Attached::tmpfs("size=1m", &point));
            }
            let plan = machine.plan(entries);
            run(&plan, &["--allow-nonempty"]).exits(i32::from(with_problem));
            let installer = machine.boot_installer();
            let installer = with(&installer, &[]);
            let dry = run(&plan, &[&installer[..], &["--dry-run"]].concat()).exits(0).says("kept 1");
            assert!(dry.report["targets"][0]["new"]["entries"].as_u64().unwrap() <= 1, "{dry}");
            let ran = run(&plan, &installer).exits(1);
            let problem = ("changed-target".to_string(), format!("/persist/system/{kept}"));
            assert_eq!(ran.problems(), [problem], "{bound}: {ran}");
            agree(&plan, &installer, &[("changed-target", 1)]);
            run(&plan, &[&installer[..], &["--delete"]].concat()).exits(1);
            assert_eq!(read(&key), "the key in use", "{bound}: {ran}");
            run(&plan, &[&installer[..], &["--overwrite"]].concat()).exits(0);
            assert_eq!(read(&key), "the old key", "{bound}: {ran}");
        }
    }
}

#[test]
fn a_killed_run_leaves_what_it_had_not_come_to_in_use() {
    need_root!();
    let mut machine = Machine::new();
    machine.old("etc/a", "copied first");
    // As large as the other, and closed: what an interrupted run may leave.
    let (old, key) = (machine.old(KEY, "the old key...."), machine.stored(KEY, "the key in use."));
    for path in [&old, &key] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    machine.bind(KEY);
    let plan = machine.plan(&format!("files = [\"/etc/a\", \"/{KEY}\"]"));
    Held::at("utimens:1", &plan, &["--allow-nonempty", "--threads", "1"]).kill();
    let installer = machine.boot_installer();
    let ran = run(&plan, &with(&installer, &[])).exits(1);
    assert_eq!(ran.problems(), [("changed-target".to_string(), format!("/persist/system/{KEY}"))], "{ran}");
    assert_eq!(read(&key), "the key in use.");
    assert_eq!(read(machine.root().join("persist/system/etc/a")), "copied first");
}

#[test]
fn what_was_copied_and_is_in_use_since_stays_guarded_by_its_row() {
    need_root!();
    let mut machine = Machine::new();
    for (path, content) in [(KEY, "a key"), ("etc/ssh/other", "o"), ("var/log/messages", "log")] {
        machine.old(path, content);
    }
    let plan = machine.plan("directories = [\"/etc/ssh\", \"/var/log\"]");
    run(&plan, &[]).exits(0);
    machine.bind("etc/ssh");
    std::fs::write(machine.root().join(KEY), "a newer key").unwrap();
    write(&machine.root().join("etc/ssh/new"), "n");
    // Run again by mistake, in every way.
    for args in [&[][..], &["--delete"], &["--dry-run"], &["--overwrite", "--delete"]] {
        let ran = run(&plan, args).exits(0);
        assert_eq!(read(machine.root().join(KEY)), "a newer key", "{args:?}\n{ran}");
    }
    run(&plan, &["--restart", "--allow-nonempty", "--delete"]).exits(0);
    assert_eq!(read(machine.root().join(KEY)), "a newer key");
    let installer = machine.boot_installer();
    let ran = run(&plan, &with(&installer, &["--delete"])).exits(1);
    assert_eq!(read(machine.root().join("persist/system").join(KEY)), "a newer key", "{ran}");
    assert_eq!(read(machine.root().join("persist/system/etc/ssh/new")), "n", "{ran}");
}

#[test]
fn a_storage_that_is_itself_a_mount_of_the_source_is_refused() {
    need_root!();
    let machine = Machine::new();
    machine.old("etc/ssh/key", "a key");
    let place = machine.root().join("persist/system/etc/ssh");
    let _bound = Attached::new(&["--bind", machine.root().join("etc/ssh").to_str().unwrap()], &place);
    let plan = machine.plan("directories = [\"/etc/ssh\"]");
    run(&plan, &["--allow-nonempty"]).exits(3).says("nothing was written");
}

#[test]
fn a_database_in_use_is_noted_with_what_to_stop() {
    need_root!();
    let world = World::ext4(64);
    let database = world.file("data/app/app.db", "");
    world.file("data/log/x.log", "x");
    let script = format!(
        "import sqlite3,sys\nc=sqlite3.connect({:?})\nc.execute('pragma journal_mode=wal')\nc.execute('create table t(x)')\n\
         c.commit()\nlog=open({:?},'a')\nprint('ready',flush=True)\nsys.stdin.read()\n",
        database,
        world.data().join("log/x.log")
    );
    let mut python = std::process::Command::new("python3")
        .args(["-c", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 5];
    std::io::Read::read_exact(python.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let plan = world.plan("");
    let notes = |args: &[&str]| {
        let ran = run(&plan, args);
        assert!(ran.status.is_some_and(|status| status < 2), "{ran}");
        let notes: Vec<String> =
            ran.report["notes"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().into()).collect();
        notes.into_iter().filter(|note| note.contains("open for writing")).collect::<Vec<_>>()
    };
    let found = notes(&[]);
    let [note] = &found[..] else { panic!("one note for the process: {found:?}") };
    assert!(note.starts_with(&format!("{}: python3 (process {})", database.display(), python.id())), "{note}");
    assert_eq!(notes(&["--exclude", "/app"]), [""; 0]);
    python.stdin.take();
    python.wait().unwrap();
    assert_eq!(notes(&[]), [""; 0]);
}

#[test]
fn a_call_that_fails_replaces_nothing_that_is_in_its_place() {
    need_root!();
    let mut machine = with_key(KEY);
    let id = machine.stored("etc/machine-id", "the machine's id");
    symlink("../persist/system/etc/machine-id", machine.root().join("etc/machine-id")).unwrap();
    machine.stored("var/lib/app/state", "state");
    std::fs::create_dir_all(machine.root().join("var/lib/app")).unwrap();
    machine.bind("var/lib/app");
    let key = machine.root().join("persist/system").join(KEY);
    let state = machine.root().join("persist/system/var/lib/app/state");
    let inodes = || [&key, &id, &state].map(|path| path.symlink_metadata().unwrap().ino());
    let before = inodes();
    let plan = machine.plan("directories = [\"/etc\", \"/var/log\", \"/var/lib/app\"]");
    run(&plan, &["--allow-nonempty"]).exits(0);
    for call in ["stat", "open", "readlink"] {
        for n in 1..60 {
            let ran = crate::kit::run::faulty(&plan, &["--threads", "1"], &format!("{call}:{n}:EIO"));
            assert_eq!(inodes(), before, "{call}:{n}\n{ran}");
            let once = crate::kit::run::faulty(&plan, &["--restart", "--allow-nonempty"], &format!("{call}:{n}:EIO"));
            assert_eq!(inodes(), before, "{call}:{n}\n{once}");
        }
        run(&plan, &[]).exits(0);
    }
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn what_its_owner_removed_in_its_place_stays_removed() {
    need_root!();
    for was_copied in [false, true] {
        let mut machine = Machine::new();
        for name in ["gone", "kept", "log.d/1", "early"] {
            machine.old(&format!("var/log/{name}"), name);
            machine.stored(&format!("var/log/{name}"), name);
        }
        let plan = machine.plan("directories = [\"/var/log\"]");
        if was_copied {
            run(&plan, &["--overwrite", "--allow-nonempty"]).exits(0);
        }
        let stored = machine.root().join("persist/system/var/log");
        std::fs::remove_file(stored.join("early")).unwrap();
        machine.bind("var/log");
        run(&plan, &["--allow-nonempty"]).exits(0);
        std::fs::remove_file(stored.join("gone")).unwrap();
        std::fs::remove_dir_all(stored.join("log.d")).unwrap();
        for args in [&["--delete"][..], &[], &["--verify-only"], &["--repair"], &["--dry-run"], &["--verify-only"]] {
            let ran = run(&plan, args).exits(0);
            assert_eq!(ran.problems(), [], "{args:?}\n{ran}");
        }
        let installer = machine.boot_installer();
        let installer = with(&installer, &[]);
        let names = || std::fs::read_dir(&stored).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        for args in [&["--delete"][..], &["--repair"], &["--verify-only"], &["--delete"]] {
            let ran = run(&plan, &[&installer[..], args].concat()).exits(1);
            assert_eq!((names(), ran.total("copied")), (vec!["kept".into()], 0), "{was_copied} {args:?}\n{ran}");
        }
        // Nor is it copied over by someone who wants the source's content of what is there.
        let ran = run(&plan, &[&installer[..], &["--overwrite"]].concat()).exits(1);
        let missing = |name: &str| ("missing".to_string(), format!("/persist/system/var/log/{name}"));
        let found = ran.problems();
        assert!(["gone", "log.d"].iter().all(|name| found.contains(&missing(name))), "{was_copied} {found:?}\n{ran}");
        assert!(!stored.join("gone").exists() && !stored.join("log.d").exists(), "{ran}");
        // What its owner makes anew is recorded again.
        machine.mounts.clear();
        machine.bind("var/log");
        machine.stored("var/log/gone", "new");
        run(&plan, &[]).exits(0);
        run(&plan, &["--verify-only"]).exits(0);
        crate::kit::damage::flip(&machine.world, &stored.join("gone"), 1);
        run(&plan, &["--verify-only"]).exits(1);
    }
}

#[test]
fn what_was_in_place_stays_when_the_directory_around_it_leaves_the_source() {
    need_root!();
    let mut machine = Machine::new();
    machine.old("etc/app/key", "the old key");
    machine.old("etc/app/conf", "conf");
    machine.stored("etc/app/key", "the key in use");
    machine.bind("etc/app/key");
    let plan = machine.plan("directories = [\"/etc\"]");
    run(&plan, &["--allow-nonempty"]).exits(0);
    let installer = machine.boot_installer();
    let installer = with(&installer, &[]);
    std::fs::remove_dir_all(machine.root().join("etc/app")).unwrap();
    let key = machine.root().join("persist/system/etc/app/key");
    for args in [&["--dry-run", "--delete"][..], &["--delete"], &["--delete", "--overwrite"]] {
        let ran = run(&plan, &[&installer[..], args].concat());
        assert_eq!(read(&key), "the key in use", "{args:?}\n{ran}");
        assert!(args.contains(&"--dry-run") || ran.stdout.contains("in its place, in use"), "{args:?}\n{ran}");
    }
    assert!(!machine.root().join("persist/system/etc/app/conf").exists());
}

#[test]
fn a_copy_that_a_symlink_leads_to_is_never_called_stale() {
    need_root!();
    for is_found in [false, true] {
        let mut machine = Machine::new();
        let root = machine.root().to_path_buf();
        write(&root.join("home/u/.ssh/id"), "a key");
        let plan = machine.world.plan_text(&format!(
            "version = 1\nname = \"t\"\nsource = {root:?}\nroot = {root:?}\n[[target]]\nname = \"h\"\nfrom = \"/home/u\"\n\
             to = \"/persist/home/u\"\ndirectories = [{{ path = \".ssh\", need = \"required\" }}]\n"
        ));
        run(&plan, &[]).exits(0);
        std::fs::remove_dir_all(root.join("home/u/.ssh")).unwrap();
        symlink("/persist/home/u/.ssh", root.join("home/u/.ssh")).unwrap();
        if is_found {
            let ran = run(&plan, &[]).exits(0);
            assert_eq!(ran.report["notes"].as_array().unwrap().len(), 1, "one note for one entry: {ran}");
        }
        let installer = machine.boot_installer();
        let installer = with(&installer, &[]);
        for args in [&["--delete"][..], &["--delete", "--allow-missing"], &["--dry-run"], &["--verify-only"], &[]] {
            let ran = run(&plan, &[&installer[..], args].concat()).exits(0);
            assert!(!ran.stdout.contains("remove the copy"), "{args:?}\n{ran}");
            assert!(
                args.len() != 1 || args[0] != "--delete" || ran.stdout.contains("stays as it is"),
                "{args:?}\n{ran}"
            );
            assert_eq!(read(root.join("persist/home/u/.ssh/id")), "a key", "{args:?}\n{ran}");
        }
        // Where nothing is there either, it is lacking.
        std::fs::remove_dir_all(root.join("persist/home/u/.ssh")).unwrap();
        if !is_found {
            run(&plan, &installer).exits(3);
        }
    }
}

/// A machine whose logs and keys an earlier run copied; then the copies were mounted over what they were made from,
/// of which nothing is left.
fn moved_in() -> (Machine, PathBuf) {
    let mut machine = Machine::new();
    for path in ["var/log/messages", "var/log/journal/1", "var/log/app.log", "etc/ssh/key", "etc/machine-id"] {
        machine.old(path, path);
    }
    symlink("messages", machine.root().join("var/log/link")).unwrap();
    std::fs::hard_link(machine.root().join("var/log/app.log"), machine.root().join("var/log/again")).unwrap();
    let plan = machine.plan("directories = [\"/var/log\", \"/etc/ssh\"]\nfiles = [\"/etc/machine-id\"]");
    run(&plan, &[]).exits(0);
    for dir in ["var/log", "etc/ssh"] {
        let at = machine.root().join(dir);
        std::fs::remove_dir_all(&at).unwrap();
        std::fs::create_dir(&at).unwrap();
        machine.bind(dir);
    }
    machine.bind("etc/machine-id");
    (machine, plan)
}

#[test]
fn what_was_copied_and_mounted_in_its_place_is_never_deleted() {
    need_root!();
    let (mut machine, plan) = moved_in();
    let stored = machine.root().join("persist/system");
    let ran = run(&plan, &["--delete"]).exits(0);
    assert_eq!((in_place(&ran), ran.total("deleted")), (10, 0), "{ran}");
    let before = [snapshot::take(&stored.join("var")), snapshot::take(&stored.join("etc"))];
    run(&plan, &["--verify-only"]).exits(0);
    let installer = machine.boot_installer();
    let installer = with(&installer, &[]);
    for args in [&["--dry-run", "--delete"][..], &["--delete"], &[], &["--repair"], &["--verify-only"], &["--delete"]] {
        let ran = run(&plan, &[&installer[..], args].concat());
        assert_eq!(ran.status, Some(i32::from(args[0..].first() != Some(&"--dry-run"))), "{args:?}\n{ran}");
        let found: Vec<_> = ran.problems().into_iter().map(|(kind, path)| format!("{kind} {path}")).collect();
        let expected = ["changed-target /persist/system/etc/ssh", "changed-target /persist/system/var/log"];
        assert!(args.first() == Some(&"--dry-run") || found == expected, "{args:?} {found:?}\n{ran}");
        let after = [snapshot::take(&stored.join("var")), snapshot::take(&stored.join("etc"))];
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(snapshot::diff(before, after), [""; 0], "{args:?}\n{ran}");
        }
    }
}

#[test]
fn a_killed_run_on_what_was_mounted_in_its_place_lets_nothing_be_deleted() {
    need_root!();
    let (mut machine, plan) = moved_in();
    let key = machine.root().join("persist/system/etc/ssh/key");
    std::fs::write(&key, "a newer key").unwrap();
    for call in ["utimens:1", "syncfs:1", "syncfs:2"] {
        Held::at(call, &plan, &["--threads", "1"]).kill();
    }
    run(&plan, &[]).exits(0);
    let installer = machine.boot_installer();
    run(&plan, &with(&installer, &["--delete"])).exits(1);
    assert_eq!(read(key), "a newer key");
}

#[test]
fn what_changes_in_its_place_is_recorded_as_it_is() {
    need_root!();
    let (machine, plan) = moved_in();
    let stored = machine.root().join("persist/system");
    // In use between the runs, and between two runs that both find it there.
    for round in ["one", "another"] {
        write(&stored.join("var/log/messages"), &format!("{round} line more"));
        std::fs::set_permissions(stored.join("etc/ssh/key"), PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::set_permissions(stored.join("var/log"), PermissionsExt::from_mode(0o750)).unwrap();
        std::fs::remove_file(stored.join("var/log/link")).unwrap();
        symlink(round, stored.join("var/log/link")).unwrap();
        run(&plan, &[]).exits(0);
        let ran = run(&plan, &["--verify-only"]).exits(0);
        assert_eq!(ran.problems(), [], "{ran}");
        run(&plan, &["--repair"]).exits(0);
        assert_eq!(read(stored.join("var/log/messages")), format!("{round} line more"));
    }
    // What rots is not taken for use by a later run.
    let log = stored.join("var/log/app.log");
    crate::kit::damage::flip(&machine.world, &log, 3);
    run(&plan, &[]);
    let found = run(&plan, &["--verify-only"]).exits(1);
    let damaged = ["again", "app.log"].map(|name| ("content".to_string(), format!("/persist/system/var/log/{name}")));
    assert!(!found.problems().is_empty() && found.problems().iter().all(|one| damaged.contains(one)), "{found}");
}
