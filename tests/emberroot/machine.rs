//! A made backup of the Emberroot machine with its whole inventory, and real things in it:
//! keys that open, repositories, databases, layers that an overlay file system wrote.

use crate::kit::attach::Attached;
use crate::kit::{nixos, sh};
use rusqlite::Connection;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const ID: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct Backup {
    pub(super) root: PathBuf,
    // It goes with its mount.
    _disk: Attached,
}

impl Backup {
    /// On a disk of its own below `scratch`: layers need a file system with `trusted.*` attributes.
    pub(crate) fn new(scratch: &Path) -> Self {
        let root = scratch.join("old");
        let disk = Attached::fresh("ext4", 512, &scratch.join("old.img"), &root);
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-demo-tree");
        sh!(demo.to_str().unwrap(), root);
        let backup = Self { root, _disk: disk };
        backup.system();
        backup.docker();
        backup.store();
        backup.gnupg();
        backup.home();
        backup
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn put(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn system(&self) {
        self.put("etc/machine-id", format!("{ID}\n"), 0o444);
        self.put("var/lib/nixos/declarative-groups", "colord systemd-journal users", 0o644);
        self.put("var/lib/nixos/auto-subuid-map", "{\"sinh\":100000}\n", 0o644);
        let profile = "[connection]\nid=Home\ntype=wifi\n\n[wifi-security]\npsk=secret\n";
        self.put("etc/NetworkManager/system-connections/Home.nmconnection", profile, 0o600);
    }

    /// Two layers; the upper one is what the kernel makes of deleting, replacing and adding.
    fn docker(&self) {
        let docker = |path: &str| format!("var/lib/docker/{path}");
        sh!("rm", "-r", self.at(&docker("overlay2")));
        self.put(&docker("overlay2/base/diff/usr/bin/tool"), vec![1; 40_000], 0o4755);
        self.put(&docker("overlay2/base/diff/etc/gone"), "gone", 0o644);
        self.put(&docker("overlay2/base/diff/etc/conf.d/old"), "old", 0o644);
        for (layer, short) in [("base", "AAAAAAAAAAAAAAAAAAAAAAAAAA"), ("app", "BBBBBBBBBBBBBBBBBBBBBBBBBB")] {
            for dir in ["diff", "work", "merged"] {
                std::fs::create_dir_all(self.at(&docker(&format!("overlay2/{layer}/{dir}")))).unwrap();
            }
            self.put(&docker(&format!("overlay2/{layer}/link")), short, 0o644);
            std::fs::create_dir_all(self.at(&docker("overlay2/l"))).unwrap();
            symlink(format!("../{layer}/diff"), self.at(&docker(&format!("overlay2/l/{short}")))).unwrap();
            self.put(&docker(&format!("image/overlay2/layerdb/sha256/{layer}0/cache-id")), layer, 0o644);
        }
        self.put(&docker("overlay2/app/lower"), "l/AAAAAAAAAAAAAAAAAAAAAAAAAA", 0o644);
        self.put(&docker("containers/c1/config.v2.json"), r#"{"ID":"c1"}"#, 0o600);
        let overlay2 = self.at(&docker("overlay2"));
        let shown = overlay2.display();
        let options = format!("lowerdir={shown}/base/diff,upperdir={shown}/app/diff,workdir={shown}/app/work");
        let merged = Attached::over(&["-t", "overlay", "overlay", "-o", &options], &overlay2.join("app/merged"));
        sh!("rm", overlay2.join("app/merged/etc/gone"));
        sh!("rm", "-r", overlay2.join("app/merged/etc/conf.d"));
        sh!("mkdir", overlay2.join("app/merged/etc/conf.d"));
        std::fs::write(overlay2.join("app/merged/etc/new"), "new").unwrap();
        merged.unmount();
    }

    fn store(&self) {
        let spec = r#"{"mutableUsers":false,"groups":[],"users":[{"name":"root","isSystemUser":false,"hashedPassword":"!"},
            {"name":"sinh","isSystemUser":false,"hashedPassword":"$y$j9T$hash"}]}"#;
        nixos::install(&self.root, spec);
    }

    fn gnupg(&self) {
        let home = self.at("home/sinh/.gnupg");
        sh!("rm", "-rf", home);
        // In a short path: the agent's socket has room for 107 bytes of it.
        let short = tempfile::TempDir::new().unwrap();
        let made = short.path().join("g");
        std::fs::create_dir(&made).unwrap();
        std::fs::set_permissions(&made, PermissionsExt::from_mode(0o700)).unwrap();
        let gpg = |args: &[&str]| {
            let out = Command::new(args[0]).args(&args[1..]).env("GNUPGHOME", &made).output().unwrap();
            assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        };
        let key = ["--passphrase", "", "--quick-gen-key", "sinh@emberroot", "ed25519", "sign", "never"];
        gpg(&[&["gpg", "--batch", "--quiet"][..], &key].concat());
        gpg(&["gpgconf", "--kill", "all"]);
        sh!("cp", "-a", made, home);
    }

    fn home(&self) {
        let home = |path: &str| format!("home/sinh/{path}");
        let key = format!("# public key: age1\n{}\n", nixos::age_key());
        self.put(&home(".config/sops/age/keys.txt"), key, 0o600);
        self.put(&home(".config/git/config"), "[user]\n\tname = sinh\n\temail = sinh@emberroot\n", 0o644);
        self.put(&home(".ssh/config"), "Host *\n", 0o644);
        for path in DATABASES {
            let file = self.at(&home(path));
            std::fs::remove_file(&file).unwrap();
            let database = Connection::open(file).unwrap();
            database.execute_batch("CREATE TABLE place(url TEXT); CREATE INDEX by_url ON place(url)").unwrap();
            for n in 0..500 {
                database.execute("INSERT INTO place VALUES(?1)", [format!("https://example.org/{n}")]).unwrap();
            }
        }
        let project = self.at(&home(REPOSITORY));
        for n in 0..20 {
            std::fs::write(project.join(format!("file-{n}")), format!("{n}\n").repeat(200)).unwrap();
        }
        let git = |args: &[&str]| {
            let out = Command::new("git").arg("-C").arg(&project).args(["-c", "safe.directory=*"]).args(args).output();
            let out = out.unwrap();
            assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        };
        git(&["add", "-A"]);
        git(&["-c", "user.name=sinh", "-c", "user.email=sinh@emberroot", "commit", "-qm", "second"]);
        git(&["gc", "-q"]);
        sh!("chown", "-Rh", "1000:100", self.at("home/sinh"));
        chown(self.at("home"), Some(0), Some(0)).unwrap();
        std::fs::set_permissions(self.at("home/sinh"), PermissionsExt::from_mode(0o755)).unwrap();
    }
}

/// Below the home.
pub(super) const DATABASES: [&str; 2] = [".mozilla/firefox/p.default/places.sqlite", ".local/share/atuin/history.db"];
pub(super) const REPOSITORY: &str = "git-repos/project";
