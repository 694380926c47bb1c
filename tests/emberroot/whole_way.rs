//! From the old machine to the booted new one: audit, migration, check, boot, and the
//! programs whose state was moved; then one thing broken at a time.

use super::machine::{Backup, DATABASES, ID, REPOSITORY};
use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::run::{Ran, plain, put_binary, run, wait};
use crate::kit::{need_root, sh};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The old disk, and the new one at `/mnt` with `/persist` and `/nix`.
struct Move {
    _nix: Attached,
    backup: Backup,
    plan: PathBuf,
    world: World,
}

impl Move {
    fn new() -> Self {
        let world = World::ext4(512);
        let nix = Attached::fresh("ext4", 64, &world.path().join("nix.img"), &world.root.join("nix"));
        let backup = Backup::new(world.path());
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/emberroot/mapping.toml");
        let text = std::fs::read_to_string(shipped).unwrap();
        let plan = world.plan_text(&text);
        Self { _nix: nix, backup, plan, world }
    }

    fn places(&self) -> [&str; 4] {
        ["--source", self.backup.root.to_str().unwrap(), "--root", self.world.root.to_str().unwrap()]
    }

    fn migrate(&self, args: &[&str]) -> Ran {
        run(&self.plan, &[&self.places()[..], args].concat())
    }

    fn command(&self, args: &[&str]) -> Ran {
        let plan = ["--plan", self.plan.to_str().unwrap()];
        let all: Vec<&OsStr> = args.iter().chain(&plan).map(OsStr::new).collect();
        plain(&all)
    }

    /// What `check` complains about: id, path, status.
    fn findings(&self) -> BTreeSet<(String, String, String)> {
        found(&self.command(&["check", "--format", "json", "--root", self.world.root.to_str().unwrap()]))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.world.root.join(path)
    }

    /// The declared set as the boot reads it.
    fn declared(&self) -> String {
        let places = self.places().map(OsStr::new);
        let args =
            [&["plan", "show", "--format", "json"].map(OsStr::new)[..], &[self.plan.as_os_str()], &places].concat();
        let shown: serde_json::Value = serde_json::from_str(&plain(&args).exits(0).stdout).unwrap();
        let entries = shown["targets"].as_array().unwrap().iter().flat_map(|t| t["entries"].as_array().unwrap());
        let declared = entries.filter(|e| e["kind"] != "tree");
        let text = |e: &serde_json::Value, key: &str| e[key].as_str().unwrap().to_string();
        let lines = declared.map(|e| format!("{} {} {}\n", text(e, "kind"), text(e, "source"), text(e, "destination")));
        lines.collect()
    }
}

fn found(ran: &Ran) -> BTreeSet<(String, String, String)> {
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"));
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_string();
    let rows = report["rows"].as_array().unwrap().iter();
    let bad = rows.filter(|row| ["fail", "warn"].contains(&row["status"].as_str().unwrap()));
    bad.map(|row| (text(row, "id"), text(row, "path"), text(row, "status"))).collect()
}

fn ids(findings: &BTreeSet<(String, String, String)>) -> Vec<&str> {
    findings.iter().map(|f| &f.0[..]).collect()
}

/// The new machine after its boot, as a chroot.
struct Booted(PathBuf);

impl Booted {
    fn new(of: &Move) -> Self {
        let root = of.world.path().join("live");
        std::fs::create_dir(&root).unwrap();
        let booted = Self(root);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emberroot/boot.sh");
        let mut boot = Command::new("bash");
        boot.arg(script).args([&booted.0, &of.world.persist, &of.at("nix")]);
        let mut boot = boot.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        boot.stdin.take().unwrap().write_all(of.declared().as_bytes()).unwrap();
        let out = boot.wait_with_output().unwrap();
        let said = [String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)].concat();
        assert!(out.status.success() && said.is_empty(), "{said}");
        put_binary(&booted.0.join("persistcp"));
        std::fs::copy(&of.plan, booted.0.join("plan.toml")).unwrap();
        booted
    }

    /// A command inside, as root.
    fn inside(&self, args: &[&str]) -> Ran {
        let mut command = Command::new("chroot");
        command
            .arg(&self.0)
            .args(args)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", "/root");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        wait(command)
    }

    /// The same as the user of the home, in it.
    fn as_sinh(&self, script: &str) -> Ran {
        let user = ["setpriv", "--reuid=1000", "--regid=100", "--clear-groups", "--no-new-privs"];
        let script = format!("export HOME=/home/sinh; cd ~ && {script}");
        self.inside(&[&user[..], &["sh", "-euc", &script]].concat()).exits(0)
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        Command::new("umount").args(["-R", "-l"]).arg(&self.0).status().ok();
    }
}

#[test]
fn a_machine_moves_from_audit_to_boot() {
    need_root!();
    let moving = Move::new();
    let source = moving.backup.root.to_str().unwrap();
    let root = moving.world.root.to_str().unwrap();
    moving.command(&["audit", "--source", source, "--root", root]).exits(0);
    let ran = moving.migrate(&[]).exits(0);
    assert_eq!(ran.report["absent"].as_array().unwrap().len(), 0, "{ran}");
    moving.command(&["check", "--root", root]).exits(0);

    let booted = Booted::new(&moving);
    booted
        .inside(&["/persistcp", "--plan", "/plan.toml", "--root", "/", "--verify-only", "--progress", "none"])
        .exits(0);
    let check = booted.inside(&["/persistcp", "check", "--plan", "/plan.toml", "--root", "/", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&check.stdout).unwrap_or_else(|e| panic!("{e}\n{check}"));
    assert_eq!(report["booted"], true, "{check}");
    let check = check.exits(0);
    assert!(!ids(&found(&check)).contains(&"live"), "{check}");

    // Each as the user to whom it belongs, on what the boot has mounted.
    booted.as_sinh("gpg --batch --quiet --list-secret-keys | grep sinh@emberroot");
    booted.as_sinh("echo text | gpg --batch --quiet --clearsign | gpg --batch --quiet --verify; gpgconf --kill all");
    booted.as_sinh("ssh-keygen -y -P '' -f .ssh/id_ed25519 | cut -d' ' -f2 | grep -qF -f - .ssh/id_ed25519.pub");
    booted.as_sinh(&format!("cd {REPOSITORY} && git fsck --strict && git status --short >/tmp/s && ! test -s /tmp/s"));
    for database in DATABASES {
        let program = "import sqlite3,sys; db=sqlite3.connect(sys.argv[1]); \
                       print(db.execute('PRAGMA integrity_check').fetchall(), db.execute('SELECT count(*) FROM place').fetchall())";
        booted.as_sinh(&format!("python3 -c \"{program}\" {database}")).says("[('ok',)] [(500,)]");
    }
    booted.inside(&["ssh-keygen", "-y", "-P", "", "-f", "/etc/ssh/ssh_host_ed25519_key"]).exits(0).says("ssh-ed25519");
    booted.inside(&["test", "-d", &format!("/var/log/journal/{ID}")]).exits(0);
    // The layers are still layers: what was deleted stays hidden, what was replaced is.
    let layers = booted.0.join("var/lib/docker/overlay2");
    let shown = layers.display();
    let lower = format!("lowerdir={shown}/app/diff:{shown}/base/diff");
    let merged = Attached::new(&["-t", "overlay", "overlay", "-o", &lower], &moving.world.path().join("merged"));
    let view = moving.world.path().join("merged/etc");
    let names: BTreeSet<_> = std::fs::read_dir(&view).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["conf.d", "new"].map(Into::into).into());
    assert_eq!(std::fs::read_dir(view.join("conf.d")).unwrap().count(), 0);
    merged.unmount();
}

/// What breaks, and the row that must show it.
type Breakage = (&'static str, fn(&Move));

fn write(moving: &Move, path: &str, content: impl AsRef<[u8]>) {
    std::fs::write(moving.at(path), content).unwrap();
}

fn mode(moving: &Move, path: &str, mode: u32) {
    std::fs::set_permissions(moving.at(path), PermissionsExt::from_mode(mode)).unwrap();
}

const SYSTEM: &str = "persist/system";

#[rustfmt::skip]
const BREAKAGES: &[Breakage] = &[
    ("machine-id", |m| write(m, "persist/system/etc/machine-id", "uninitialized\n")),
    ("id-map", |m| write(m, "persist/system/var/lib/nixos/uid-map", [0; 40])),
    ("ssh-key", |m| { let key = m.at("persist/system/etc/ssh/ssh_host_ed25519_key"); let n = std::fs::metadata(&key).unwrap().len(); write(m, "persist/system/etc/ssh/ssh_host_ed25519_key", vec![0; n as usize]) }),
    ("ssh-key-mode", |m| mode(m, "persist/home/sinh/.ssh/id_ed25519", 0o644)),
    ("home-parent", |m| chown(m.at("persist/home/sinh/.local/share"), Some(0), Some(0)).unwrap()),
    ("home", |m| mode(m, "persist/home/sinh", 0o755)),
    ("age-key", |m| write(m, "persist/home/sinh/.config/sops/age/keys.txt", "AGE-SECRET-KEY-1QQQ\n")),
    ("network-profile", |m| mode(m, "persist/system/etc/NetworkManager/system-connections/Home.nmconnection", 0o644)),
    ("declared", |m| sh!("rm", "-r", m.at("persist/home/sinh/Documents"))),
    ("docker-layer", |m| sh!("rm", "-r", m.at(&format!("{SYSTEM}/var/lib/docker/overlay2/app/diff")))),
    ("system-profile", |m| sh!("rm", m.at("nix/store/aaaa-nixos-system/init"))),
];

/// Each is found alone, and `--repair` takes it away again; what somebody has written
/// there is replaced only when that is asked for.
#[test]
fn one_broken_thing_is_found_alone_and_repaired() {
    need_root!();
    let moving = Move::new();
    moving.migrate(&[]).exits(0);
    let before = moving.findings();
    for (id, breaks) in BREAKAGES {
        breaks(&moving);
        let after = moving.findings();
        let new: Vec<_> = after.difference(&before).collect();
        assert!(new.len() == 1 && new[0].0 == *id, "{id} gives {new:?}");
        moving.migrate(&["--repair", "--overwrite"]);
        assert_eq!(moving.findings(), before, "{id} is not repaired");
    }
}
