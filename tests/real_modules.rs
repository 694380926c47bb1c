//! The real modules, where they are at hand: what a configuration declares, what a plan makes of it, what
//! the module mounts at boot, and an export read by the module again, entry for entry.
//!
//! `PERSISTCP_NIX_MODULES` names a directory with checkouts `impermanence`, `preservation`, `home-manager`
//! and `nixpkgs.lib` (docs/nix.md); with `PERSISTCP_RECORD=1` the evaluated configurations are written to
//! `tests/fixtures/nix/`, which the last test here reads without any of them.

use crate::kit::run::{Ran, plain};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A module, a configuration for it, and how a plan is written for it.
struct RealModule {
    name: &'static str,
    files: &'static [&'static str],
    format: &'static str,
    config: &'static str,
    /// The declared set: kind, live path, stored path.
    declared: &'static [(&'static str, &'static str, &'static str)],
}

const USERS: &str = r#"users.users = { root = { home = "/root"; group = "root"; }; sinh.uid = 1000;
  ann = { home = "/data/ann"; group = "staff"; }; main = { name = "eve"; home = "/srv/e"; uid = 1002; }; }; networking.hostName = "real"; services.openssh.enable = true;"#;

const MODULES: [RealModule; 3] = [
    RealModule {
        name: "impermanence",
        files: &["/impermanence/nixos.nix"],
        format: "nix",
        config: r#"environment.persistence."/persist" = {
  directories = [ "/var/log" { directory = "/var/lib/colord"; user = "colord"; group = "colord"; mode = "u=rwx,g=rx,o="; } ];
  files = [ "/etc/machine-id" { file = "/etc/nix/id_rsa"; parentDirectory = { mode = "u=rwx,g=,o="; }; } ];
  users.sinh = { directories = [ "Documents" { directory = ".ssh"; mode = "0700"; } ]; files = [ ".screenrc" ]; };
  users.ann.directories = [ ".gnupg" ];
  users.main.directories = [ ".mail" ];
};"#,
        declared: &[
            ("directory", "/var/log", "/persist/var/log"),
            ("directory", "/var/lib/colord", "/persist/var/lib/colord"),
            ("file", "/etc/machine-id", "/persist/etc/machine-id"),
            ("file", "/etc/nix/id_rsa", "/persist/etc/nix/id_rsa"),
            ("directory", "/home/sinh/Documents", "/persist/home/sinh/Documents"),
            ("directory", "/home/sinh/.ssh", "/persist/home/sinh/.ssh"),
            ("file", "/home/sinh/.screenrc", "/persist/home/sinh/.screenrc"),
            ("directory", "/data/ann/.gnupg", "/persist/data/ann/.gnupg"),
            ("directory", "/srv/e/.mail", "/persist/srv/e/.mail"),
        ],
    },
    RealModule {
        name: "home-manager",
        files: &["/impermanence/nixos.nix", "/home-manager/nixos/common.nix"],
        format: "nix",
        config: r#"environment.persistence."/persist".directories = [ "/var/log" ];
home-manager.users.sinh = { home.stateVersion = "24.05";
  home.persistence."/persist" = { directories = [ "Documents" { directory = ".ssh"; mode = "0700"; } ]; files = [ ".config/git/config" ]; };
  home.persistence."/cache".directories = [ ".cache/nix" ];
};
home-manager.users.ann = { config, ... }: { home.stateVersion = "24.05";
  home.persistence.main = { persistentStoragePath = "/persist"; directories = [ ".local/share/direnv" ]; };
};"#,
        declared: &[
            ("directory", "/var/log", "/persist/var/log"),
            ("directory", "/home/sinh/Documents", "/persist/home/sinh/Documents"),
            ("directory", "/home/sinh/.ssh", "/persist/home/sinh/.ssh"),
            ("file", "/home/sinh/.config/git/config", "/persist/home/sinh/.config/git/config"),
            ("directory", "/home/sinh/.cache/nix", "/cache/home/sinh/.cache/nix"),
            ("directory", "/data/ann/.local/share/direnv", "/persist/data/ann/.local/share/direnv"),
        ],
    },
    RealModule {
        name: "preservation",
        files: &["/preservation/module.nix"],
        format: "preservation",
        config: r#"preservation.enable = true; preservation.preserveAt."/persistent" = {
  files = [ { file = "/etc/machine-id"; inInitrd = true; } { file = "/etc/ssh/ssh_host_rsa_key"; how = "symlink"; configureParent = true; } ];
  directories = [ "/var/lib/systemd/timers" { directory = "/var/lib/nixos"; inInitrd = true; } ];
  users.sinh = { commonMountOptions = [ "x-gvfs-hide" ]; directories = [ { directory = ".ssh"; mode = "0700"; } ]; files = [ ".histfile" ]; };
  users.ann.directories = [ ".local/share/direnv" ];
  users.main.directories = [ ".mail" ];
};"#,
        declared: &[
            ("file", "/etc/machine-id", "/persistent/etc/machine-id"),
            ("file", "/etc/ssh/ssh_host_rsa_key", "/persistent/etc/ssh/ssh_host_rsa_key"),
            ("directory", "/var/lib/systemd/timers", "/persistent/var/lib/systemd/timers"),
            ("directory", "/var/lib/nixos", "/persistent/var/lib/nixos"),
            ("directory", "/home/sinh/.ssh", "/persistent/home/sinh/.ssh"),
            ("file", "/home/sinh/.histfile", "/persistent/home/sinh/.histfile"),
            ("directory", "/data/ann/.local/share/direnv", "/persistent/data/ann/.local/share/direnv"),
            ("directory", "/srv/e/.mail", "/persistent/srv/e/.mail"),
        ],
    },
];

/// A configuration around the real module, with stand-ins for what else it defines.
const EVALUATE: &str = r#"dir: stubs: which: config:
let
  lib = import (dir + "/nixpkgs.lib/lib");
  pkgs = {
    inherit lib;
    callPackage = file: args: import file ({ inherit lib; } // args);
    stdenv.hostPlatform = lib.systems.elaborate "x86_64-linux";
    path = stubs;
  };
  utils = { escapeSystemdPath = builtins.replaceStrings [ "/" ] [ "-" ]; pathsNeededForBoot = [ ]; };
  user = { name, ... }: { options = builtins.mapAttrs (_: default: lib.mkOption { inherit default; }) {
    inherit name; home = "/home/${name}"; homeMode = "0700"; group = "users"; uid = null; }; };
  mounts = lib.mkOption { default = [ ]; type = lib.types.listOf lib.types.anything; };
  stub = {
    config._module.freeformType = lib.types.lazyAttrsOf lib.types.anything;
    options.users.users = lib.mkOption { type = lib.types.attrsOf (lib.types.submodule user); };
    options.users.groups = lib.mkOption { default = { }; };
    options.fileSystems = lib.mkOption { default = { }; type = lib.types.attrsOf lib.types.anything; };
    options.systemd.mounts = mounts;
    options.boot.initrd = {
      postMountCommands = lib.mkOption { default = ""; };
      systemd = { inherit mounts; enable = lib.mkEnableOption "it"; suppressedUnits = mounts; };
    };
  };
  home-manager.home-manager = {
    minimal = true;
    useGlobalPkgs = true;
    # Its minimal modules set options of programs that they do not have.
    sharedModules = [ { _module.check = lib.mkForce false; } ];
  };
in (lib.evalModules {
  class = "nixos";
  specialArgs = { inherit pkgs utils; };
  modules = map (file: dir + file) which ++ [ stub config ] ++ lib.optional (lib.length which > 1) home-manager;
}).config"#;

/// Everything that is mounted, as the running system sees it.
const MOUNTS: &str = r#"c: map (m: builtins.mapAttrs (_: builtins.replaceStrings [ "/sysroot" ] [ "" ]) { inherit (m) what where; })
  (c.systemd.mounts ++ c.boot.initrd.systemd.mounts)"#;

/// What home-manager takes from nixpkgs' own modules, below `pkgs.path`.
const FROM_NIXPKGS: [(&str, &str); 2] = [
    (
        "assertions.nix",
        r#"{ lib, ... }: { options = builtins.mapAttrs (_: default: lib.mkOption { inherit default; })
          { assertions = [ ]; warnings = [ ]; }; }"#,
    ),
    ("meta.nix", "{ lib, ... }: { options.meta = lib.mkOption { default = { }; type = lib.types.anything; }; }"),
];

struct Evaluator<'m> {
    modules: PathBuf,
    module: &'m RealModule,
    scratch: tempfile::TempDir,
}

type Declared = BTreeSet<(String, String, String)>;

impl<'m> Evaluator<'m> {
    fn new(modules: PathBuf, module: &'m RealModule) -> Self {
        let new = Self { modules, module, scratch: tempfile::tempdir().unwrap() };
        let dir = new.path("nixpkgs/nixos/modules/misc");
        std::fs::create_dir_all(&dir).unwrap();
        for (name, text) in FROM_NIXPKGS {
            std::fs::write(dir.join(name), text).unwrap();
        }
        new
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// What `apply` makes of the configuration `config`.
    fn evaluate(&self, apply: &str, config: &str) -> Value {
        let (dir, stubs) = (self.modules.display(), self.path("nixpkgs"));
        let files: String = self.module.files.iter().map(|file| format!("\"{file}\" ")).collect();
        let whole = format!("({apply}) (({EVALUATE}) {dir} {} [ {files}] ({config}))", stubs.display());
        let mut command = Command::new("nix-instantiate");
        command.args(["--eval", "--strict", "--json", "-E", &whole]);
        let out = command.env("NIX_REMOTE", "dummy://").env("HOME", self.scratch.path()).output().unwrap();
        assert!(out.status.success(), "{}: {}", self.module.name, String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// The plan of an evaluated configuration.
    fn plan(&self, evaluated: &Value, name: &str) -> PathBuf {
        let json = self.path("config.json");
        std::fs::write(&json, evaluated.to_string()).unwrap();
        self.import(&["--nix-json".as_ref(), json.as_os_str()], name)
    }

    fn import(&self, args: &[&OsStr], name: &str) -> PathBuf {
        let plan = self.path(name);
        let all = [&["plan", "import"].map(OsStr::new), args, &["--output".as_ref(), plan.as_os_str()]].concat();
        plain(&all).exits(0);
        plan
    }
}

fn export(plan: &Path, format: &str) -> Ran {
    plain(&["plan".as_ref(), "export".as_ref(), plan.as_os_str(), "--format".as_ref(), format.as_ref()])
}

/// What a plan declares; the public halves of host keys, which no module names, are left away.
fn declared(plan: &Path) -> Declared {
    let exported: Value = serde_json::from_str(&export(plan, "json").stdout).unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_string();
    let areas = exported["areas"].as_array().unwrap().iter();
    areas
        .flat_map(|area| area["entries"].as_array().unwrap())
        .map(|entry| (text(entry, "kind"), text(entry, "live"), text(entry, "stored")))
        .filter(|(_, live, _)| !live.ends_with(".pub"))
        .collect()
}

fn expected(module: &RealModule) -> Declared {
    module
        .declared
        .iter()
        .map(|(kind, live, stored)| (kind.to_string(), live.to_string(), stored.to_string()))
        .collect()
}

#[test]
#[ignore = "needs checkouts of the modules: PERSISTCP_NIX_MODULES names their directory (docs/nix.md)"]
fn import_export_and_the_real_modules_agree() {
    let modules = std::env::var_os("PERSISTCP_NIX_MODULES").expect("PERSISTCP_NIX_MODULES names the checkouts");
    let projection = plain(&["plan", "nix-expr"].map(OsStr::new)).exits(0).stdout;
    for module in &MODULES {
        let evaluator = Evaluator::new(std::path::absolute(&modules).unwrap(), module);
        let config = format!("{{ {USERS} {} }}", module.config);
        let evaluated = evaluator.evaluate(&projection, &config);
        if std::env::var_os("PERSISTCP_RECORD").is_some() {
            std::fs::write(fixture(module), format!("{evaluated:#}\n")).unwrap();
        }
        let plan = evaluator.plan(&evaluated, "evaluated.toml");
        assert_eq!(declared(&plan), expected(module), "{}: imported from JSON", module.name);

        let text = evaluator.path("module.nix");
        std::fs::write(&text, &config).unwrap();
        let literal = evaluator.import(&["--nix".as_ref(), text.as_os_str()], "literal.toml");
        assert_eq!(declared(&literal), expected(module), "{}: imported from the text", module.name);

        // Directories and files that are mounted, some by the initrd; others are linked by scripts.
        let mounts = evaluator.evaluate(MOUNTS, &config);
        let mut mounts = mounts.as_array().unwrap().clone();
        for (kind, live, stored) in expected(module) {
            let at = mounts.iter().position(|mount| *mount == json!({"what": stored, "where": live}));
            assert!(at.is_some() || kind == "file", "{}: {live} is not mounted: {mounts:?}", module.name);
            at.map(|at| mounts.remove(at));
        }
        assert!(mounts.is_empty(), "{}: {mounts:?}", module.name);

        let exported = export(&plan, module.format);
        // A plan knows accounts; the modules want the attribute (docs/nix-export.md).
        let text = exported.stdout.replace("users.eve = ", "users.main = ");
        let again = format!("{{ imports = [ ({text}) ]; {USERS} }}");
        let again = evaluator.plan(&evaluator.evaluate(&projection, &again), "again.toml");
        assert_eq!(declared(&again), expected(module), "{}: exported and imported again\n{exported}", module.name);
    }
}

fn fixture(module: &RealModule) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/nix/real-{}.json", module.name))
}

#[test]
fn what_the_real_modules_evaluated_to_is_imported_whole() {
    for module in &MODULES {
        let scratch = tempfile::tempdir().unwrap();
        let plan = scratch.path().join("plan.toml");
        let args = ["plan".as_ref(), "import".as_ref(), "--nix-json".as_ref()];
        let recorded = fixture(module);
        let all = [&args[..], &[recorded.as_os_str(), "--output".as_ref(), plan.as_os_str()]].concat();
        let ran = plain(&all).exits(0);
        assert_eq!(declared(&plan), expected(module), "{}", module.name);
        let text = std::fs::read_to_string(&plan).unwrap();
        assert!(text.contains("name = \"real\""), "{text}");
        // Both modules give `main` as the owner, which is only the attribute of the account `eve`.
        if module.config.contains("users.main") {
            ran.says("users.users.main.name is eve");
            assert!(text.contains("users = { eve = 1002, sinh = 1000 }") && !text.contains("\"main\""), "{text}");
        }
    }
}
