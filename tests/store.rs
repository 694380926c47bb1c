//! A Nix store that a `[[map]]` copies.

use crate::kit::disk::World;
use crate::kit::run::{Ran, faulty, run};
use crate::kit::{nar, need_root, need_tools, sh, snapshot};
use rusqlite::Connection;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A store as Nix leaves it after `nix-store --optimise`: what is equal is one inode, symlinks
/// too; modes are 0444 and 0555, times are 1, and the database knows the hash of each path.
fn store(nix: &Path) -> Connection {
    let (store, links) = (nix.join("store"), nix.join("store/.links"));
    std::fs::create_dir_all(&links).unwrap();
    std::fs::create_dir_all(nix.join("var/nix/db")).unwrap();
    std::fs::write(links.join("0tool"), vec![7; 70_000]).unwrap();
    std::fs::write(links.join("1data"), "data\n").unwrap();
    symlink("../bin/tool", links.join("2link")).unwrap();
    let paths: Vec<PathBuf> =
        (0..20).map(|n| store.join(format!("{n:02}a1yf11s723m8b5rp4n7v96dxz9klx-pkg-{n}"))).collect();
    for path in &paths {
        for (dir, name, link) in [
            ("bin", "tool", "0tool"),
            ("share", "data", "1data"),
            ("share", "link", "2link"),
            ("share", "more", "1data"),
        ] {
            std::fs::create_dir_all(path.join(dir)).unwrap();
            std::fs::hard_link(links.join(link), path.join(dir).join(name)).unwrap();
        }
        std::fs::write(path.join("share/own"), path.as_os_str().as_encoded_bytes()).unwrap();
    }
    sh!("chmod", "0555", links.join("0tool"));
    sh!("chmod", "0444", links.join("1data"));
    for path in &paths {
        sh!("chmod", "0444", path.join("share/own"));
        sh!("chmod", "0555", path, path.join("bin"), path.join("share"));
    }
    sh!("find", store, "-mindepth", "1", "-exec", "touch", "-h", "-d", "@1", "{}", "+");
    let database = Connection::open(nix.join("var/nix/db/db.sqlite")).unwrap();
    database.pragma_update(None, "journal_mode", "wal").unwrap();
    database.execute_batch("CREATE TABLE ValidPaths(path TEXT UNIQUE, hash TEXT, narSize INTEGER)").unwrap();
    for path in &paths {
        let (hash, size) = nar::hash(path);
        let name = format!("/nix/store/{}", path.file_name().unwrap().to_str().unwrap());
        let size = i64::try_from(size).unwrap();
        database.execute("INSERT INTO ValidPaths VALUES(?1, ?2, ?3)", (name, format!("sha256:{hash}"), size)).unwrap();
    }
    database
}

/// What `nix-store --verify --check-contents` does: the hash of every path, as it stands, is the database's.
fn assert_valid(nix: &Path, paths: usize) {
    let database = Connection::open(nix.join("var/nix/db/db.sqlite")).unwrap();
    let mut statement = database.prepare("SELECT path, hash, narSize FROM ValidPaths").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let rows: Vec<(String, String, i64)> = rows.map(Result::unwrap).collect();
    assert_eq!(rows.len(), paths);
    for (path, hash, size) in rows {
        let found = nar::hash(&nix.join(path.strip_prefix("/nix/").unwrap()));
        assert_eq!((format!("sha256:{}", found.0), i64::try_from(found.1).unwrap()), (hash, size), "{path}");
    }
}

/// A root with two file systems: the backup is on the one, `/nix` is the other.
struct Machine {
    world: World,
    plan: PathBuf,
    from: PathBuf,
    to: PathBuf,
}

fn machine() -> Machine {
    let (world, backup) = (World::ext4(64), World::ext4(64));
    let from = backup.persist.join("nix");
    let to = world.persist.join("nix");
    let text = "version = 1\nname = \"t\"\n[[map]]\nname = \"nix\"\nfrom = \"/nix\"\nto = \"/persist/nix\"\n";
    let plan = world.plan_text(text);
    // The mount of the backup ends with its world.
    std::mem::forget(backup);
    Machine { world, plan, from, to }
}

impl Machine {
    fn run(&self, args: &[&str]) -> Ran {
        let source = self.from.parent().unwrap().to_str().unwrap();
        run(&self.plan, &[&["--source", source, "--root", self.world.root.to_str().unwrap()], args].concat())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let mount = self.from.parent().unwrap();
        Command::new("umount").arg("-l").arg(mount).status().ok();
        std::fs::remove_dir_all(mount.parent().unwrap().parent().unwrap()).ok();
    }
}

fn du(path: &Path) -> String {
    let out = Command::new("du").args(["-s", "-B1"]).arg(path).output().unwrap();
    String::from_utf8(out.stdout).unwrap().split_whitespace().next().unwrap().to_string()
}

#[test]
fn a_store_arrives_with_its_links_its_times_and_valid_paths() {
    need_root!();
    let machine = machine();
    drop(store(&machine.from));
    machine.run(&[]).exits(0);
    snapshot::assert_same(&machine.from, &machine.to);
    assert_eq!(du(&machine.from), du(&machine.to));
    let stat = |path: &str| std::fs::symlink_metadata(machine.to.join(path)).unwrap();
    assert_eq!((stat("store/.links/0tool").nlink(), stat("store/.links/1data").nlink()), (21, 41));
    let link = stat("store/.links/2link");
    assert_eq!((link.is_symlink(), link.nlink(), link.mtime()), (true, 21, 1));
    machine.run(&["--verify-only"]).exits(0);
    machine.run(&["--verify-only", "--against", "source"]).exits(0);
    // Last: SQLite makes and removes its files beside the database.
    assert_valid(&machine.to, 20);
}

/// With Nix itself, where it is installed: its own store, optimised, and its own verdict on the copy.
#[test]
fn nix_finds_the_copy_of_its_store_whole() {
    need_root!();
    need_tools!("nix-store");
    let machine = machine();
    let home = tempfile::TempDir::new().unwrap();
    std::fs::write(home.path().join("nix.conf"), "build-users-group =\n").unwrap();
    let nix = |root: &Path, args: &[&str]| {
        let mut command = Command::new("nix-store");
        command.arg("--store").arg(root).args(args).env("HOME", home.path()).env("NIX_CONF_DIR", home.path());
        let out = command.output().unwrap();
        assert!(out.status.success(), "nix-store {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let backup = machine.from.parent().unwrap();
    for name in ["one", "two"] {
        let tree = home.path().join(name);
        std::fs::create_dir_all(tree.join("bin")).unwrap();
        std::fs::write(tree.join("bin/tool"), vec![9; 50_000]).unwrap();
        std::fs::write(tree.join("own"), name).unwrap();
        symlink("bin/tool", tree.join("link")).unwrap();
        nix(backup, &["--add", tree.to_str().unwrap()]);
    }
    nix(backup, &["--optimise"]);
    machine.run(&[]).exits(0);
    let said = nix(&machine.world.persist, &["--verify", "--check-contents"]);
    assert!(said.contains("checking store hashes") && !said.contains("was modified"), "{said}");
    assert_eq!(std::fs::read_dir(machine.to.join("store")).unwrap().count(), 3);
}

#[test]
fn a_path_that_was_changed_on_the_target_is_not_valid_any_more() {
    need_root!();
    let machine = machine();
    drop(store(&machine.from));
    machine.run(&[]).exits(0);
    let tool = machine.to.join("store/.links/0tool");
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o444)).unwrap();
    assert!(std::panic::catch_unwind(|| assert_valid(&machine.to, 20)).is_err());
    let ran = machine.run(&["--verify-only"]).exits(1);
    assert!(ran.problems().iter().any(|(kind, _)| kind == "mode"), "{ran}");
    machine.run(&["--repair"]);
    assert_valid(&machine.to, 20);
}

#[test]
fn a_database_that_is_open_somewhere_is_not_copied() {
    need_root!();
    let machine = machine();
    let live = store(&machine.from);
    let ran = machine.run(&[]).exits(3).says("its WAL is live").says("nix-daemon").says("--load-db");
    assert!(ran.stderr.contains(&std::process::id().to_string()), "{ran}");
    assert!(!machine.to.exists());
    let text = std::fs::read_to_string(&machine.plan).unwrap();
    std::fs::write(&machine.plan, format!("{text}exclude = [\"/var/nix/db\"]\n")).unwrap();
    machine.run(&[]).exits(0);
    assert!(machine.to.join("store/.links/0tool").exists() && !machine.to.join("var/nix/db").exists());
    drop(live);
}

#[test]
fn a_database_that_cannot_be_asked_is_said_to_be_unknown() {
    need_root!();
    let machine = machine();
    drop(store(&machine.from));
    let (source, root) = (machine.from.parent().unwrap(), &machine.world.root);
    let args = ["--source", source.to_str().unwrap(), "--root", root.to_str().unwrap(), "--dry-run"];
    let ran = faulty(&machine.plan, &args, "fcntl:1:EIO").exits(0);
    ran.says("db.sqlite cannot be read").says("whether Nix has its database open is not known");
}

#[test]
fn a_log_that_a_power_cut_left_is_copied_with_its_database() {
    need_root!();
    let machine = machine();
    let live = store(&machine.from);
    // As a power cut leaves them: nobody has them open, nothing was put together.
    let db = machine.from.join("var/nix/db");
    let aside = machine.world.path().join("aside");
    sh!("cp", "-a", db, aside);
    drop(live);
    sh!("rm", "-r", db);
    sh!("cp", "-a", aside, db);
    assert!(std::fs::metadata(db.join("db.sqlite-wal")).unwrap().len() > 0);
    machine.run(&["--dry-run"]).exits(0).says("db.sqlite-wal is not empty");
    let ran = machine.run(&[]).exits(0);
    assert!(ran.report["notes"].to_string().contains("db.sqlite-wal is not empty"), "{ran}");
    assert_valid(&machine.to, 20);
}
