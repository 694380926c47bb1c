//! The machine that one sits at, in use while it is copied: services write in a chroot, the first pass runs
//! beside them, the second when they are down; then a week on the new side, and a third run by mistake.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::run::{Ran, finish, put_binary, run};
use crate::kit::{need_root, sh, snapshot};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An appender, SQLite in WAL mode, git commits and Maildir deliveries, until `/stop` is there.
const SERVICES: &str = r#"
import os, sqlite3, subprocess, time, random
os.environ.update(HOME='/home/u', GIT_AUTHOR_NAME='u', GIT_AUTHOR_EMAIL='u@x', GIT_COMMITTER_NAME='u', GIT_COMMITTER_EMAIL='u@x')
def git(*args): subprocess.run(('git', '-C', '/home/u/repo') + args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
db = sqlite3.connect('/var/lib/app/app.db')
db.execute('pragma journal_mode=wal')
db.execute('create table if not exists t(n integer primary key, x text)')
db.commit()
log = open('/var/log/app.log', 'ab', 0)
git('init', '-q')
n = db.execute('select count(*) from t').fetchone()[0]
while not os.path.exists('/stop'):
    n += 1
    db.execute('insert into t(x) values (?)', ('x' * 500,)); db.commit()
    log.write(b'line %d\n' % n)
    name = '%d.mail' % n
    open('/home/u/Maildir/tmp/' + name, 'w').write('mail %d' % n)
    os.rename('/home/u/Maildir/tmp/' + name, '/home/u/Maildir/new/' + name)
    if n % 3 == 0: os.rename('/home/u/Maildir/new/' + name, '/home/u/Maildir/cur/' + name + ':2,S')
    if n % 10 == 0: os.rename('/var/log/app.log', '/var/log/app.log.1'); log = open('/var/log/app.log', 'ab', 0)
    if n % 4 == 0:
        open('/home/u/repo/file', 'w').write(str(n)); git('add', '.'); git('commit', '-qm', str(n))
    if n % 40 == 0: git('gc', '-q')
    if n % 4 == 1: open('/run/alive', 'w').write(str(n))
    time.sleep(0.003)
db.close()
"#;

/// A machine whose root is a chroot, with a second disk mounted in it.
struct Machine {
    world: World,
    root: PathBuf,
    mounts: Vec<Attached>,
}

impl Machine {
    fn new() -> Self {
        // Room for a binary with all that a debugger wants to know.
        let world = World::ext4(600);
        let root = world.root.clone();
        Self::with_root(world, root)
    }

    /// A machine with one disk, on which the storage is a directory.
    fn with_one_disk() -> Self {
        let world = World::ext4(600);
        let root = world.persist.clone();
        Self::with_root(world, root)
    }

    fn with_root(world: World, root: PathBuf) -> Self {
        for dir in ["var/log", "var/lib/app", "home/u/repo", "etc", "run", "tmp"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        for dir in ["tmp", "new", "cur"] {
            std::fs::create_dir_all(root.join("home/u/Maildir").join(dir)).unwrap();
        }
        std::fs::write(root.join("etc/machine-id"), "0123456789abcdef").unwrap();
        let mut mounts = Vec::new();
        for dir in ["usr", "bin", "lib", "lib64"] {
            let here = Path::new("/").join(dir);
            match std::fs::read_link(&here) {
                Ok(text) => std::os::unix::fs::symlink(text, root.join(dir)).unwrap(),
                Err(_) if here.is_dir() => {
                    mounts.push(Attached::new(&["--bind", here.to_str().unwrap()], &root.join(dir)));
                }
                Err(_) => {}
            }
        }
        mounts.push(Attached::new(&["-t", "proc", "proc"], &root.join("proc")));
        mounts.push(Attached::new(&["--bind", "/dev"], &root.join("dev")));
        std::fs::write(root.join("services.py"), SERVICES).unwrap();
        put_binary(&root.join("persistcp"));
        let plan = "version = 1\nname = \"machine\"\nsource = \"/\"\nroot = \"/\"\n[[target]]\nname = \"system\"\n\
                    to = \"/persist/system\"\ndirectories = [\"/var/log\", \"/var/lib/app\"]\nfiles = [\"/etc/machine-id\"]\n\
                    [[target]]\nname = \"home\"\nfrom = \"/home/u\"\nto = \"/persist/home/u\"\n\
                    directories = [\"repo\", \"Maildir\"]\n";
        std::fs::write(root.join("plan.toml"), plan).unwrap();
        std::fs::write(world.path().join("plan.toml"), plan).unwrap();
        Self { world, root, mounts }
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn chroot(&self, args: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.root()).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The product in the chroot, on the machine as it runs.
    fn live(&self, args: &[&str]) -> Ran {
        let all = [&["/persistcp", "--plan", "/plan.toml", "--progress", "none", "--report", "/tmp/report.json"], args]
            .concat();
        let command = &mut self.chroot(&all);
        let what = format!("{command:?}");
        let mut ran = finish(command.spawn().unwrap(), what);
        if let Ok(text) = std::fs::read(self.root().join("tmp/report.json")) {
            ran.report = serde_json::from_slice(&text).unwrap();
        }
        ran
    }

    /// Starts the services, and is back when each has written something.
    fn start(&self) -> Child {
        std::fs::remove_file(self.root().join("stop")).ok();
        let child = self.chroot(&["/usr/bin/env", "python3", "/services.py"]).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(30);
        while !self.root().join("home/u/repo/file").exists() {
            assert!(Instant::now() < limit, "the services do not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    fn stop(&self, child: Child) {
        std::fs::write(self.root().join("stop"), "").unwrap();
        finish(child, "the services".into()).exits(0);
    }

    /// From the installer: the root's file system without what was mounted in it, and the second disk below
    /// another root.
    fn shut_down(&mut self) -> Vec<String> {
        self.mounts.clear();
        let (old, new) = (self.world.path().join("old"), self.world.path().join("new"));
        let bind = |from: &Path, at: &Path| Attached::new(&["--bind", from.to_str().unwrap()], at);
        self.mounts.push(bind(self.root(), &old));
        self.mounts.push(bind(&self.world.persist, &new.join("persist")));
        let text = |path: PathBuf| path.to_str().unwrap().to_string();
        vec!["--source".into(), text(old), "--root".into(), text(new)]
    }

    fn in_storage(&self, path: &str) -> PathBuf {
        self.root.join("persist").join(path)
    }
}

const TREES: [(&str, &str); 5] = [
    ("var/log", "system/var/log"),
    ("var/lib/app", "system/var/lib/app"),
    ("etc/machine-id", "system/etc/machine-id"),
    ("home/u/repo", "home/u/repo"),
    ("home/u/Maildir", "home/u/Maildir"),
];

fn rows(database: &Path) -> u64 {
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\n\
                  assert c.execute('pragma integrity_check').fetchone()[0]=='ok'\nprint(c.execute('select count(*) from t').fetchone()[0])";
    let out = Command::new("python3").args(["-c", script]).arg(database).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().parse().unwrap()
}

/// A week on the new machine.
fn week(storage: &Path) {
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nc.executemany('insert into t(x) values (?)',[('new',)]*50)\n\
                  c.execute('delete from t where n%7=0')\nc.commit()\nc.execute('vacuum')\nc.close()";
    sh!("python3", "-c", script, storage.join("system/var/lib/app/app.db"));
    let log = storage.join("system/var/log");
    std::fs::rename(log.join("app.log"), log.join("app.log.2")).unwrap();
    std::fs::write(log.join("app.log"), "a new week\n").unwrap();
    let repo = storage.join("home/u/repo");
    std::fs::write(repo.join("file"), "of the new week").unwrap();
    let identity = ["-c", "user.name=u", "-c", "user.email=u@x", "-c", "safe.directory=*"];
    sh!(
        "git",
        identity[0],
        identity[1],
        identity[2],
        identity[3],
        identity[4],
        identity[5],
        "-C",
        repo,
        "commit",
        "-qam",
        "new"
    );
    sh!("git", identity[4], identity[5], "-C", repo, "gc", "-q");
    for mail in std::fs::read_dir(storage.join("home/u/Maildir/new")).unwrap().take(5) {
        let mail = mail.unwrap().path();
        let name = format!("{}:2,S", mail.file_name().unwrap().to_str().unwrap());
        std::fs::rename(&mail, storage.join("home/u/Maildir/cur").join(name)).unwrap();
    }
    std::fs::write(storage.join("home/u/Maildir/new/of-the-week"), "mail").unwrap();
}

#[test]
fn two_passes_move_a_machine_in_use_and_a_third_by_mistake_loses_nothing() {
    need_root!();
    let mut machine = Machine::new();
    let services = machine.start();
    let first = machine.live(&[]);
    assert!(matches!(first.status, Some(0 | 1)), "{first}");
    // Whatever changed under its hands is a counted problem, never a silent half.
    for (kind, path) in first.problems() {
        assert!(["changed-source", "unreadable"].contains(&kind.as_str()), "{kind} {path}\n{first}");
    }
    assert_eq!(first.total("in_place"), 0, "{first}");
    assert!(first.report["notes"].to_string().contains("/var/lib/app/app.db: python3"), "{first}");
    machine.live(&["--delete"]);
    machine.stop(services);
    // In the rescue target the same plan makes the second pass.
    machine.live(&["--delete"]).exits(0);

    let installer = machine.shut_down();
    let installer: Vec<&str> = installer.iter().map(String::as_str).collect();
    let plan = machine.world.path().join("plan.toml");
    let second = run(&plan, &[&installer[..], &["--delete"]].concat()).exits(0);
    for (from, to) in TREES {
        let to = machine.in_storage(to);
        let differs = snapshot::diff(&snapshot::take(&machine.root().join(from)), &snapshot::take(&to));
        assert_eq!(differs, [""; 0], "{from}\n{second}");
    }
    let database = machine.root().join("var/lib/app/app.db");
    assert!(rows(&database) > 4);
    sh!("git", "-c", "safe.directory=*", "-C", machine.in_storage("home/u/repo"), "fsck", "--strict");
    run(&plan, &[&installer[..], &["--verify-only"]].concat()).exits(0);

    let storage = machine.world.persist.clone();
    week(&storage);
    let take = || [snapshot::take(&storage.join("system")), snapshot::take(&storage.join("home"))];
    let before = take();
    for args in [&[][..], &["--delete"], &["--dry-run"]] {
        let third = run(&plan, &[&installer[..], args].concat());
        assert_eq!(third.status, Some(i32::from(args != ["--dry-run"])), "{args:?}\n{third}");
        let allowed = ["changed-target", "missing", "extra"];
        for (kind, path) in third.problems() {
            assert!(allowed.contains(&kind.as_str()), "{kind} {path}\n{third}");
        }
        let now = take();
        for (before, now) in before.iter().zip(&now) {
            assert_eq!(snapshot::diff(before, now), [""; 0], "{args:?}\n{third}");
        }
    }
    // Without its records it cannot know what was removed, but nothing that is there is replaced by older content.
    let newer: Vec<(PathBuf, Vec<u8>)> = ["system/var/lib/app/app.db", "system/var/log/app.log", "home/u/repo/file"]
        .map(|path| (storage.join(path), std::fs::read(storage.join(path)).unwrap()))
        .into();
    let restarted = run(&plan, &[&installer[..], &["--restart"]].concat());
    for (path, content) in newer {
        assert!(std::fs::read(&path).unwrap() == content, "{}\n{restarted}", path.display());
    }
    assert_eq!(restarted.status, Some(1), "{restarted}");
}

#[test]
fn the_root_of_the_system_holds_its_storage_and_is_no_entry() {
    need_root!();
    let machine = Machine::new();
    let text = |entries: &str| {
        let plan = format!(
            "version = 1\nname = \"other\"\nsource = \"/\"\nroot = \"/\"\n[[target]]\nname = \"s\"\nto = \"/persist/other\"\n{entries}\n"
        );
        std::fs::write(machine.root().join("plan.toml"), plan).unwrap();
    };
    text("directories = [\"/var\"]");
    machine.live(&[]).exits(0);
    std::fs::create_dir_all(machine.root().join("srv/jail/proc")).unwrap();
    let _proc = Attached::new(&["-t", "proc", "proc"], &machine.root().join("srv/jail/proc"));
    text("directories = [\"/srv\"]");
    for args in [&[][..], &["--cross-mounts"], &["--verify-only", "--against", "source", "--cross-mounts"]] {
        let ran = machine.live(args);
        assert!(ran.report["notes"].to_string().contains("jail/proc: proc, where the running system"), "{ran}");
        assert!(ran.problems().iter().all(|(kind, _)| kind == "extra"), "{ran}");
    }
    assert!(machine.in_storage("other/srv/jail").is_dir());
    assert_eq!(std::fs::read_dir(machine.in_storage("other/srv/jail/proc")).unwrap().count(), 0);
    text("directories = [\"/persist\"]");
    machine.live(&[]).exits(3).says("would be copied into itself");
}

#[test]
fn a_directory_of_the_same_disk_is_storage_as_well() {
    need_root!();
    let mut machine = Machine::with_one_disk();
    std::fs::create_dir(machine.root().join("persist")).unwrap();
    std::fs::write(machine.root().join("var/log/messages"), "first").unwrap();
    machine.live(&[]).exits(3).says("--allow-volatile");
    machine.live(&["--allow-volatile"]).exits(0);
    std::fs::write(machine.root().join("var/log/messages"), "second pass").unwrap();
    // From the installer the disk is mounted read-write, once.
    machine.mounts.clear();
    let root = machine.root().to_str().unwrap().to_string();
    let plan = machine.world.path().join("plan.toml");
    let ran = run(&plan, &["--source", &root, "--root", &root, "--delete"]).exits(0);
    assert_eq!(ran.total("copied"), 1, "{ran}");
    for (from, to) in TREES {
        let differs =
            snapshot::diff(&snapshot::take(&machine.root().join(from)), &snapshot::take(&machine.in_storage(to)));
        assert_eq!(differs, [""; 0], "{from}\n{ran}");
    }
}

#[test]
fn a_database_outside_the_root_is_not_taken_for_one_inside() {
    need_root!();
    let machine = Machine::new();
    let outside = machine.world.path().join("outside.db");
    let top = outside.iter().nth(1).unwrap().to_str().unwrap();
    // What the same path leads to in the chroot is another file.
    let inside = machine.root().join(outside.strip_prefix("/").unwrap());
    std::fs::create_dir_all(inside.parent().unwrap()).unwrap();
    std::fs::write(&inside, "another").unwrap();
    std::fs::write(&outside, "a database").unwrap();
    let plan = format!(
        "version = 1\nname = \"top\"\nsource = \"/\"\nroot = \"/\"\n[[target]]\nname = \"t\"\nto = \"/persist/top\"\n\
         directories = [\"/{top}\"]\n"
    );
    std::fs::write(machine.root().join("plan.toml"), plan).unwrap();
    let notes = |path: &Path| {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut child = Command::new("sleep").arg("60").stdin(file).spawn().unwrap();
        let ran = machine.live(&[]);
        child.kill().unwrap();
        child.wait().unwrap();
        ran.report["notes"].to_string().matches("sleep (process").count()
    };
    assert_eq!(notes(&outside), 0);
    assert_eq!(notes(&inside), 1);
}

#[test]
fn all_of_a_machine_can_be_copied_to_a_disk_that_is_mounted_in_it() {
    need_root!();
    let machine = Machine::new();
    let copy = |args: &[&str]| {
        let all = [&["/persistcp", "copy", "/", "/persist/all", "--progress", "none"], args].concat();
        let command = &mut machine.chroot(&all);
        let what = format!("{command:?}");
        let mut ran = finish(command.spawn().unwrap(), what);
        if let Ok(text) = std::fs::read(machine.root().join("tmp/report.json")) {
            ran.report = serde_json::from_slice(&text).unwrap();
        }
        ran
    };
    // The directory that is to hold the copy, and what is mounted from the outside.
    let left_out = ["--exclude", "/tmp/", "--report", "/tmp/report.json"];
    for args in [&[][..], &["--delete"], &["--verify-only"], &["--verify-only", "--against", "source"]] {
        let ran = copy(&[&left_out[..], args].concat());
        assert!(ran.problems().iter().all(|(kind, _)| kind == "mount"), "{ran}");
        assert!(ran.problems().iter().all(|(_, path)| !path.ends_with("/persist")), "{ran}");
        let told = ran.report["notes"].to_string();
        let is_told =
            args == ["--verify-only"] || told.contains("/all/persist: the file system that this copy goes to");
        assert!(is_told, "{ran}");
    }
    for point in ["persist", "proc", "dev"] {
        let made = machine.in_storage("all").join(point);
        assert_eq!(std::fs::read_dir(&made).unwrap().count(), 0, "{point}");
    }
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode(&machine.in_storage("all/proc")), mode(&machine.root().join("proc")));
    assert_eq!(std::fs::read_to_string(machine.in_storage("all/etc/machine-id")).unwrap(), "0123456789abcdef");
}
