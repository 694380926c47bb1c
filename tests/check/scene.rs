//! A target tree on which `check` finds nothing to complain about.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::nixos::{self, age_key};
use crate::kit::run::{Ran, plain};
use crate::kit::sh;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(super) const PLAN: &str = r#"version = 1
name = "t"
source = "/nowhere"
[ids]
users = { sinh = 1000 }
groups = { users = 100 }
[[target]]
name = "system"
to = "/persist/system"
directories = [
  "/var/log", "/var/lib/docker", "/var/lib/nixos", "/var/lib/NetworkManager", "/var/lib/private/app",
  "/etc/NetworkManager/system-connections",
  { path = "/var/lib/colord", owner = "colord", group = "colord" },
  { path = "/var/lib/never", need = "optional" },
]
files = ["/etc/machine-id", "/etc/ssh/ssh_host_*"]
[[target]]
name = "home"
from = "/home/sinh"
to = "/persist/home/sinh"
parents = { owner = "sinh", group = "users" }
directories = [
  { path = ".ssh", need = "critical" }, ".gnupg", ".config/sops/age", ".local/share/fish",
  { path = "Documents", need = "recommended" },
]
files = [".config/app.conf"]
[[map]]
name = "nix"
from = "/nix"
to = "/nix"
[[fixup]]
path = "/persist/home/sinh"
owner = "sinh"
group = "users"
mode = "0700"
[[fixup]]
path = "/persist/system/var/lib/colord"
mode = "0755"
"#;

pub(super) const ID: &str = "0123456789abcdef0123456789abcdef";

/// What the storage lies on.
#[derive(Clone, Copy)]
pub(super) enum Disk {
    Ext4,
    /// The root's own file system.
    None,
    Tmpfs,
}

pub(super) struct Scene {
    nix: Attached,
    // Stands for the EFI partition: not every test machine's kernel has vfat.
    boot: Attached,
    pub(super) world: World,
    pub(super) plan: PathBuf,
}

/// Rows that are no PASS and no SKIP: id, path, status.
pub(super) type Findings = BTreeSet<(String, String, String)>;

impl Scene {
    pub(super) fn new(disk: Disk) -> Self {
        let world = match disk {
            Disk::Ext4 => World::ext4(48),
            Disk::None => World::plain(),
            Disk::Tmpfs => World::tmpfs(),
        };
        let nix = Attached::fresh("ext4", 16, &world.path().join("nix.img"), &world.root.join("nix"));
        let boot = Attached::tmpfs("size=1M", &world.root.join("boot"));
        let plan = world.plan_text(PLAN);
        let scene = Self { nix, boot, world, plan };
        scene.system();
        scene.boot();
        scene.storage();
        scene.home();
        scene.docker();
        scene
    }

    pub(super) fn good() -> Self {
        Self::new(Disk::Ext4)
    }

    /// A path below the root.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.world.root.join(path)
    }

    /// Writes a file with its parents, 0644 unless `mode` says otherwise.
    pub(super) fn put(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        self.mode(&path, mode);
        path
    }

    pub(super) fn mode(&self, path: impl AsRef<Path>, mode: u32) {
        std::fs::set_permissions(self.world.root.join(path), PermissionsExt::from_mode(mode)).unwrap();
    }

    pub(super) fn own(&self, path: &str, uid: u32, gid: u32) {
        chown(self.at(path), Some(uid), Some(gid)).unwrap();
    }

    /// Removes whatever is at `path`.
    pub(super) fn gone(&self, path: &str) {
        sh!("rm", "-r", self.at(path));
    }

    /// Puts a symlink in the place of whatever is there.
    pub(super) fn link(&self, to: &str, path: &str) {
        sh!("rm", "-rf", self.at(path));
        symlink(to, self.at(path)).unwrap();
    }

    fn system(&self) {
        let spec = r#"{"mutableUsers":true,"groups":[],"users":[{"name":"root","isSystemUser":false,"hashedPassword":"!"},
            {"name":"sinh","isSystemUser":false,"hashedPasswordFile":"/persist/passwords/sinh"}]}"#;
        nixos::install(&self.world.root, spec);
    }

    pub(super) fn boot(&self) {
        self.put("boot/EFI/systemd/systemd-bootx64.efi", "loader", 0o644);
        for name in ["kernel", "initrd"] {
            self.put(&format!("boot/EFI/nixos/{name}.efi"), name, 0o644);
        }
        let entry = "title NixOS\nlinux /EFI/nixos/kernel.efi\ninitrd /EFI/nixos/initrd.efi\noptions init=/nix/init\n";
        self.put("boot/loader/entries/nixos-generation-1.conf", entry, 0o644);
    }

    fn storage(&self) {
        self.put("persist/passwords/sinh", "$y$hash", 0o600);
        let system = |path: &str| format!("persist/system/{path}");
        self.put(&system("etc/machine-id"), format!("{ID}\n"), 0o444);
        self.put(&system(&format!("var/log/journal/{ID}/system.journal")), "journal", 0o640);
        self.put(&system("var/lib/nixos/uid-map"), r#"{"colord":997,"sinh":1000}"#, 0o644);
        self.put(&system("var/lib/nixos/gid-map"), r#"{"colord":995}"#, 0o644);
        self.put(&system("var/lib/nixos/auto-subuid-map"), "{\"sinh\":100000}\n", 0o644);
        self.put(&system("var/lib/nixos/declarative-users"), "colord sinh", 0o644);
        self.put(&system("var/lib/nixos/declarative-groups"), "colord", 0o644);
        self.put(&system("var/lib/NetworkManager/secret_key"), [7; 32], 0o600);
        let profile = "[connection]\nid=Home\ntype=wifi\n\n[wifi-security]\npsk=secret\n";
        self.put(&system("etc/NetworkManager/system-connections/Home.nmconnection"), profile, 0o600);
        self.put(&system("var/lib/private/app/state"), "state", 0o600);
        self.mode(system("var/lib/private"), 0o700);
        self.put(&system("var/lib/colord/mapping.db"), "db", 0o644);
        self.own(&system("var/lib/colord"), 997, 995);
        std::fs::create_dir_all(self.at("persist/system/etc/ssh")).unwrap();
        self.key("persist/system/etc/ssh/ssh_host_ed25519_key", 0);
    }

    fn home(&self) {
        let home = |path: &str| format!("persist/home/sinh/{path}");
        std::fs::create_dir_all(self.at(&home(".ssh"))).unwrap();
        self.key(&home(".ssh/id_ed25519"), 1);
        self.put(&home(".ssh/authorized_keys"), "", 0o600);
        self.put(&home(".ssh/config"), "Host *\n", 0o644);
        self.put(&home(".gnupg/private-keys-v1.d/0123.key"), "key", 0o600);
        self.put(&home(".gnupg/pubring.kbx"), "ring", 0o644);
        let text = format!("# created: today\n# public key: age1\n{}\n", age_key());
        self.put(&home(".config/sops/age/keys.txt"), text, 0o600);
        self.put(&home(".config/app.conf"), "setting", 0o644);
        self.put(&home(".local/share/fish/fish_history"), "ls", 0o600);
        self.put(&home("Documents/letter"), "dear", 0o644);
        sh!("chown", "-R", "1000:100", self.at("persist/home/sinh"));
        for path in [".ssh", ".gnupg", ""] {
            self.mode(home(path), 0o700);
        }
    }

    fn docker(&self) {
        let docker = |path: &str| format!("persist/system/var/lib/docker/{path}");
        std::fs::create_dir_all(self.at(&docker("overlay2/l"))).unwrap();
        for (layer, short) in [("base", "AAAA"), ("app", "BBBB")] {
            self.put(&docker(&format!("overlay2/{layer}/diff/file")), layer, 0o644);
            self.put(&docker(&format!("overlay2/{layer}/link")), short, 0o644);
            self.link(&format!("../{layer}/diff"), &docker(&format!("overlay2/l/{short}")));
            self.put(&docker(&format!("image/overlay2/layerdb/sha256/{layer}0/cache-id")), layer, 0o644);
        }
        self.put(&docker("overlay2/app/lower"), "l/AAAA", 0o644);
        std::fs::create_dir(self.at(&docker("overlay2/app/merged"))).unwrap();
        self.put(&docker("containers/c1/config.v2.json"), r#"{"ID":"c1"}"#, 0o600);
    }

    /// Puts one of a few real keys, with its public half.
    pub(super) fn key(&self, path: &str, which: usize) {
        let from = keys().join(which.to_string());
        self.put(path, std::fs::read(&from).unwrap(), 0o600);
        self.put(&format!("{path}.pub"), std::fs::read(from.with_extension("pub")).unwrap(), 0o644);
    }

    /// `check` on this root, as JSON.
    pub(super) fn check(&self, args: &[&str]) -> Ran {
        self.check_at(&self.world.root, args)
    }

    pub(super) fn check_at(&self, root: &Path, args: &[&str]) -> Ran {
        let mut all = vec![OsStr::new("check"), OsStr::new("--plan"), self.plan.as_os_str()];
        all.extend([OsStr::new("--root"), root.as_os_str(), OsStr::new("--format"), OsStr::new("json")]);
        all.extend(args.iter().map(OsStr::new));
        parsed(plain(&all))
    }

    pub(super) fn findings(&self) -> Findings {
        findings(&self.check(&[]))
    }

    /// Unmounts the store now.
    pub(super) fn without_nix(self) -> World {
        drop((self.nix, self.boot));
        self.world
    }
}

/// Reads the JSON on stdout.
pub(super) fn parsed(mut ran: Ran) -> Ran {
    ran.report = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"));
    ran
}

pub(super) fn findings(ran: &Ran) -> Findings {
    let rows = ran.report["rows"].as_array().unwrap_or_else(|| panic!("no rows\n{ran}"));
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_string();
    let found = rows.iter().filter(|row| row["status"] == "fail" || row["status"] == "warn");
    found.map(|row| (text(row, "id"), text(row, "path"), text(row, "status"))).collect()
}

/// Three keys, made once: 0 and 1 without a passphrase, 2 with one.
fn keys() -> &'static Path {
    static KEYS: OnceLock<tempfile::TempDir> = OnceLock::new();
    KEYS.get_or_init(|| {
        let dir = tempfile::TempDir::new().unwrap();
        for (name, phrase) in [("0", ""), ("1", ""), ("2", "secret")] {
            sh!("ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-C", "test", "-f", dir.path().join(name));
        }
        dir
    })
    .path()
}
