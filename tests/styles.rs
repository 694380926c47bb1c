//! How people write what persists, in the styles of public configurations: what a person counts must be
//! in the plan, or a line must name it.

use crate::kit::run::{Ran, plain};
use std::ffi::OsStr;

/// Entries that a person counts, those that arrive, and what the lines for the rest name.
struct Style {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    counted: usize,
    arrived: &'static [&'static str],
    lines: &'static [&'static str],
}

/// Imports the first file of a style.
fn import(style: &Style, args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in style.files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let first = dir.path().join(style.files[0].0);
    let all: Vec<&OsStr> = ["plan", "import", "--nix"]
        .iter()
        .map(OsStr::new)
        .chain([first.as_os_str()])
        .chain(args.iter().map(OsStr::new))
        .collect();
    plain(&all)
}

/// `from` and path of each entry, as one live path.
fn entries(ran: &Ran) -> Vec<String> {
    let plan: toml::Table = ran.stdout.parse().unwrap_or_default();
    let mut all = Vec::new();
    for target in plan.get("target").and_then(|t| t.as_array()).into_iter().flatten() {
        for key in ["directories", "files"] {
            for entry in target.get(key).and_then(|list| list.as_array()).into_iter().flatten() {
                let path = entry.as_str().or_else(|| entry["path"].as_str()).unwrap();
                let from = target["from"].as_str().unwrap().trim_end_matches('/');
                all.push(format!("{from}/{}", path.trim_start_matches('/')));
            }
        }
    }
    all
}

const STYLES: &[Style] = &[
    Style {
        name: "one module with a literal key",
        files: &[(
            "m.nix",
            r#"{ environment.persistence."/persist" = { directories = [ "/var/log" ]; files = [ "/etc/machine-id" ]; }; }"#,
        )],
        counted: 2,
        arrived: &["/var/log", "/etc/machine-id"],
        lines: &[],
    },
    Style {
        name: "a dendritic module of the system",
        files: &[(
            "m.nix",
            r#"{ flake.modules.nixos.base = { environment.persistence."/persist".directories = [ "/var/log" ]; }; }"#,
        )],
        counted: 1,
        arrived: &["/var/log"],
        lines: &[],
    },
    Style {
        name: "dendritic modules of both sides, as functions",
        files: &[(
            "m.nix",
            r#"{ inputs, ... }: { flake.modules = {
                nixos.ssh = { config, ... }: { environment.persistence."/persist".directories = [ "/etc/ssh" ]; };
                homeManager.ssh = { home.persistence."/persist".directories = [ ".ssh" ]; };
            }; }"#,
        )],
        counted: 2,
        arrived: &["/etc/ssh", "/home/sinh/.ssh"],
        lines: &[],
    },
    Style {
        name: "an aspect under a name of its own",
        files: &[(
            "m.nix",
            r#"{ den.aspects.desktop.nixos = { pkgs, ... }: { environment.persistence."/persist".directories = [ "/var/lib/x" ]; }; }"#,
        )],
        counted: 1,
        arrived: &["/var/lib/x"],
        lines: &[],
    },
    Style {
        name: "a path bound by let",
        files: &[(
            "m.nix",
            r#"let root = "/persist"; in { environment.persistence."${root}/system".directories = [ "/var/log" ]; }"#,
        )],
        counted: 1,
        arrived: &["/var/log"],
        lines: &[],
    },
    Style {
        name: "names of let and rec, inherited",
        files: &[(
            "m.nix",
            r#"let directories = [ "/a" ]; more = rec { base = "/srv"; files = [ "${base}/f" ]; };
            in { environment.persistence."/persist" = { inherit directories; inherit (more) files; }; }"#,
        )],
        counted: 2,
        arrived: &["/a", "/srv/f"],
        lines: &[],
    },
    Style {
        name: "optional and optionals",
        files: &[(
            "m.nix",
            r#"{ config, lib, ... }: { environment.persistence."/persist".directories = [ "/a" ]
                ++ lib.optional config.services.docker.enable "/var/lib/docker"
                ++ lib.optionals config.x.enable [ "/b" "/c" ] ++ lib.optionals false [ "/never" ]; }"#,
        )],
        counted: 4,
        arrived: &["/a", "/var/lib/docker", "/b", "/c"],
        lines: &[],
    },
    Style {
        name: "mkIf as an element and around a list",
        files: &[(
            "m.nix",
            r#"{ lib, ... }: with lib; { environment.persistence."/persist" = {
                directories = [ (mkIf a.b "/a") (mkIf c { directory = "/b"; mode = "0700"; }) ];
                files = mkIf a.c [ "/f" ]; }; }"#,
        )],
        counted: 3,
        arrived: &["/a", "/b", "/f"],
        lines: &[],
    },
    Style {
        name: "lists in files of their own",
        files: &[
            (
                "m.nix",
                r#"{ environment.persistence."/persist".directories = import ./lists/dirs.nix ++ (import ./lists { root = "/srv"; }).all; }"#,
            ),
            ("lists/dirs.nix", r#"[ "/a" "/b" ]"#),
            ("lists/default.nix", r#"{ root }: { all = [ root ]; }"#),
        ],
        counted: 3,
        arrived: &["/a", "/b", "/srv"],
        lines: &[],
    },
    Style {
        name: "imports of files and directories, in a circle",
        files: &[
            ("m.nix", r#"{ imports = [ ./a.nix ./sub ]; environment.persistence."/persist".directories = [ "/m" ]; }"#),
            (
                "a.nix",
                r#"{ imports = [ ./m.nix ./sub/../sub ]; environment.persistence."/persist".directories = [ "/a" ]; }"#,
            ),
            (
                "sub/default.nix",
                r#"{ ... }: { imports = [ ../a.nix ]; environment.persistence."/persist".files = [ "/s" ]; }"#,
            ),
        ],
        counted: 3,
        arrived: &["/m", "/a", "/s"],
        lines: &[],
    },
    Style {
        name: "an import that is not below the file",
        files: &[
            (
                "host/m.nix",
                r#"{ imports = [ ../common.nix inputs.impermanence.nixosModules.impermanence ];
              environment.persistence."/persist".directories = [ "/a" ]; }"#,
            ),
            ("common.nix", r#"{ environment.persistence."/persist".directories = [ "/b" ]; }"#),
        ],
        counted: 2,
        arrived: &["/a"],
        lines: &["m.nix:1: the module ../common.nix is not read"],
    },
    Style {
        name: "a set that updates another",
        files: &[(
            "m.nix",
            r#"let base = { hideMounts = true; files = [ "/gone" ]; }; in
              { environment.persistence."/persist" = base // { directories = [ "/a" ]; files = [ "/f" ]; }; }"#,
        )],
        counted: 2,
        arrived: &["/a", "/f"],
        lines: &[],
    },
    Style {
        name: "an option set of one's own, passed on",
        files: &[
            (
                "m.nix",
                r#"{ config, lib, ... }: let cfg = config.my.persist; in {
                imports = [ ./apps.nix ];
                options.my.persist.directories = lib.mkOption { };
                config.environment.persistence."/persist" = { directories = cfg.directories; inherit (cfg) files; }; }"#,
            ),
            ("apps.nix", r#"{ my.persist = { directories = [ "/a" ]; files = [ "/f" ]; }; }"#),
        ],
        counted: 2,
        arrived: &["/a", "/f"],
        lines: &[],
    },
    Style {
        name: "an alias of the option set",
        files: &[(
            "m.nix",
            r#"{ lib, ... }: { imports = [ (lib.mkAliasOptionModule [ "my" "keep" ] [ "environment" "persistence" "/persist" ]) ];
              my.keep.directories = [ "/a" ]; }"#,
        )],
        counted: 1,
        arrived: &["/a"],
        lines: &[],
    },
    Style {
        name: "the whole storage area from an own option",
        files: &[(
            "m.nix",
            r#"{ config, ... }: { environment.persistence."/persist" = config.my.state; my.state.directories = [ "/a" ]; }"#,
        )],
        counted: 1,
        arrived: &["/a"],
        lines: &[],
    },
    Style {
        name: "an own option that leads out of sight",
        files: &[(
            "m.nix",
            r#"{ custom.persist.home.directories = [ ".a" ]; environment.persistence."/persist".files = [ "/f" ]; }"#,
        )],
        counted: 2,
        arrived: &["/f"],
        lines: &["m.nix:1: custom.persist.home.directories is an option of the configuration's own"],
    },
    Style {
        name: "an own option that no file sets",
        files: &[(
            "m.nix",
            r#"{ config, ... }: let cfg = config.my; in {
              environment.persistence."/persist" = { directories = cfg.persist.directories ++ [ "/a" ]; }; }"#,
        )],
        counted: 2,
        arrived: &["/a"],
        lines: &["needs an evaluator: `config.my.persist.directories`"],
    },
    Style {
        name: "functions that are written beside the list",
        files: &[(
            "m.nix",
            r#"let private = directory: { inherit directory; mode = "0700"; }; lib = import <nixpkgs/lib>;
              in { environment.persistence."/persist".directories = [ (private "/a") ] ++ map (n: "/var/lib/${n}") [ "b" "c" ]; }"#,
        )],
        counted: 3,
        arrived: &["/a", "/var/lib/b", "/var/lib/c"],
        lines: &[],
    },
    Style {
        name: "functions from elsewhere",
        files: &[(
            "m.nix",
            r#"{ mylib, ... }: { environment.persistence."/persist".directories = [ "/a" (mylib.private "/b") ] ++ mylib.more [ "/c" ]; }"#,
        )],
        counted: 3,
        arrived: &["/a"],
        lines: &["`mylib.private \"/b\"`", "`mylib.more [ \"/c\" ]`"],
    },
    Style {
        name: "home-manager inside the system, each user's own file",
        files: &[
            (
                "m.nix",
                r#"{ home-manager.users.ann = import ./ann.nix; home-manager.users.bob.imports = [ ./common.nix ]; }"#,
            ),
            (
                "ann.nix",
                r#"{ ... }: { imports = [ ./common.nix ]; home.persistence."/persist".directories = [ "Docs" ]; }"#,
            ),
            ("common.nix", r#"{ home.persistence."/persist".files = [ ".zsh_history" ]; }"#),
        ],
        counted: 3,
        arrived: &["/home/ann/Docs", "/home/ann/.zsh_history", "/home/bob/.zsh_history"],
        lines: &[],
    },
    Style {
        name: "users of the system's module, with homes elsewhere",
        files: &[(
            "m.nix",
            r#"{ users.users.main = { name = "ann"; home = "/data/ann"; uid = 1000; };
              environment.persistence."/persist".users = { main.directories = [ ".ssh" ]; root = { home = "/root"; files = [ ".x" ]; }; }; }"#,
        )],
        counted: 2,
        arrived: &["/data/ann/.ssh", "/root/.x"],
        lines: &[],
    },
    Style {
        name: "lists in lists, and functions that make lists",
        files: &[(
            "m.nix",
            r#"{ lib, ... }: { environment.persistence."/persist" = {
              directories = lib.flatten [ "/a" [ "/b" [ "/c" ] ] ] ++ lib.singleton { directory = "/d"; };
              files = lib.concatMap (k: [ "/k/${k}" "/k/${k}.pub" ]) [ "e" "f" ]; }; }"#,
        )],
        counted: 8,
        arrived: &["/a", "/b", "/c", "/d", "/k/e", "/k/e.pub", "/k/f", "/k/f.pub"],
        lines: &[],
    },
    Style {
        name: "the mode of a file's directory by a dotted name",
        files: &[(
            "m.nix",
            r#"{ environment.persistence."/persist".files = [ { file = "/etc/nix/key"; parentDirectory.mode = "0700"; } ]; }"#,
        )],
        counted: 1,
        arrived: &["/etc/nix/key"],
        lines: &[],
    },
    Style {
        name: "paths of the system without their slash, which the modules take for absolute ones, and an empty one",
        files: &[(
            "m.nix",
            r#"{ environment.persistence."/persist" = { directories = [ "var/log" "" ]; files = [ "etc/adjtime" ]; }; }"#,
        )],
        counted: 3,
        arrived: &["/var/log", "/etc/adjtime"],
        lines: &["an empty text names no path"],
    },
    Style {
        name: "an absolute path in a home, which the module puts below the home",
        files: &[(
            "m.nix",
            r#"{ users.users.ann.group = "users"; environment.persistence."/persist".users.ann.directories = [ "/home/ann/x" "/z" ]; }"#,
        )],
        counted: 2,
        arrived: &["/home/ann/home/ann/x", "/home/ann/z"],
        lines: &[],
    },
    Style {
        name: "a label with its path in another file",
        files: &[
            ("m.nix", r#"{ imports = [ ./where.nix ]; environment.persistence.main.directories = [ "/a" ]; }"#),
            ("where.nix", r#"{ environment.persistence.main.persistentStoragePath = "/persist"; }"#),
        ],
        counted: 1,
        arrived: &["/a"],
        lines: &[],
    },
    Style {
        name: "a label without a path",
        files: &[(
            "m.nix",
            r#"{ environment.persistence = { main.directories = [ "/a" ]; "/persist".files = [ "/f" ]; }; }"#,
        )],
        counted: 2,
        arrived: &["/f"],
        lines: &["m.nix:1: environment.persistence.main.directories: \"main\" is a label"],
    },
    Style {
        name: "a label with two paths",
        files: &[(
            "m.nix",
            r#"{ imports = [ { environment.persistence.main.persistentStoragePath = "/q"; } ];
              environment.persistence.main = { persistentStoragePath = "/p"; directories = [ "/a" ]; }; }"#,
        )],
        counted: 1,
        arrived: &[],
        lines: &["m.nix:2: environment.persistence.main.directories: its persistentStoragePath is said to be"],
    },
    Style {
        name: "preservation as its manual writes it",
        files: &[(
            "m.nix",
            r#"{ preservation = { enable = true; preserveAt."/persistent" = {
                files = [ { file = "/etc/machine-id"; inInitrd = true; } { file = "/etc/ssh/ssh_host_rsa_key"; how = "symlink"; configureParent = true; } ];
                directories = [ "/var/lib/systemd/timers" { directory = "/var/lib/nixos"; inInitrd = true; } ];
                users.butz = { commonMountOptions = [ "x-gvfs-hide" ]; directories = [ { directory = ".ssh"; mode = "0700"; } ]; files = [ ".histfile" ]; };
              }; }; }"#,
        )],
        counted: 6,
        arrived: &[
            "/var/lib/systemd/timers",
            "/var/lib/nixos",
            "/etc/machine-id",
            "/etc/ssh/ssh_host_rsa_key",
            "/home/butz/.ssh",
            "/home/butz/.histfile",
        ],
        lines: &[],
    },
    Style {
        name: "mkMerge with conditions",
        files: &[(
            "m.nix",
            r#"{ lib, config, ... }: { config = lib.mkMerge [
                { environment.persistence."/persist".directories = lib.mkBefore [ "/a" ]; }
                (lib.mkIf config.x { environment.persistence."/persist".directories = [ "/b" ]; })
                (lib.optionalAttrs true { environment.persistence."/persist".files = [ "/f" ]; }) ]; }"#,
        )],
        counted: 3,
        arrived: &["/a", "/b", "/f"],
        lines: &[],
    },
    Style {
        name: "users that a function makes",
        files: &[(
            "m.nix",
            r#"{ environment.persistence."/persist" = { files = [ "/f" ]; users = lib.genAttrs names (n: { directories = [ ".ssh" ]; }); }; }"#,
        )],
        counted: 2,
        arrived: &["/f"],
        lines: &["m.nix:1: environment.persistence.\"/persist\".users"],
    },
    Style {
        name: "a condition with two lists",
        files: &[(
            "m.nix",
            r#"{ environment.persistence."/persist".directories = [ "/a" ] ++ (if server then [ "/s" ] else [ "/d" ]); }"#,
        )],
        counted: 2,
        arrived: &["/a"],
        lines: &["`if server then"],
    },
    Style {
        name: "a list that contains itself",
        files: &[(
            "m.nix",
            r#"let all = all ++ [ "/a" ]; in { environment.persistence."/persist".directories = all; }"#,
        )],
        counted: 1,
        arrived: &["/a"],
        lines: &["has no end that can be read"],
    },
];

#[test]
fn what_a_person_counts_arrives_or_is_named() {
    let mut failures = Vec::new();
    for style in STYLES {
        let ran = import(style, &["--user", "sinh"]);
        let (mut found, mut expected) = (entries(&ran), style.arrived.to_vec());
        found.sort();
        expected.sort_unstable();
        let lines = ran.stderr.lines().filter(|line| line.contains("not in the plan: ")).count();
        let whole = style.lines.is_empty();
        let said = style.lines.iter().all(|line| ran.stderr.contains(line));
        let status = ran.status == Some(if whole { 0 } else { 1 });
        let all_counted = style.arrived.len() == style.counted || !whole;
        let one_line_each = ran.stderr.lines().all(|line| line.chars().count() < 240);
        println!("{}: counted {}, arrived {}, named {lines}", style.name, style.counted, found.len());
        if found != expected || !said || !status || !all_counted || !one_line_each || (whole && lines > 0) {
            failures.push(format!("{}\n{found:?}\n{ran}", style.name));
        }
    }
    assert!(STYLES.len() >= 25 && failures.is_empty(), "{}", failures.join("\n\n"));
}

fn of_text(text: &'static str, args: &[&str]) -> Ran {
    let files: &[_] = Box::leak(Box::new([("m.nix", text)]));
    import(&Style { name: "", files, counted: 0, arrived: &[], lines: &[] }, args)
}

#[test]
fn one_computed_storage_is_the_given_one_and_a_second_is_named() {
    let text = r#"{
      environment.persistence.${config.p}.directories = [ "/a" ];
      environment.persistence.${config.c}.directories = [ "/b" ];
      environment.persistence.main.directories = [ "/c" ];
    }"#;
    let ran =
        of_text(text, &["--storage", "/persist"]).exits(1).says("# note: \"${config.p}\" is taken to be /persist");
    assert_eq!(entries(&ran), ["/a"]);
    for line in ["m.nix:3: ", "m.nix:4: ", "--storage already stands for \"${config.p}\"", "\"main\" is a label"] {
        assert!(ran.stderr.contains(line), "{line}\n{ran}");
    }
    let ran = of_text(text, &[]).exits(1);
    assert!(ran.stderr.contains("m.nix:2: ") && ran.stderr.contains("give its path with --storage PATH"), "{ran}");
}

#[test]
fn a_literal_of_the_text_wins_over_the_command_line() {
    let text = r#"let p = "/real"; in { environment.persistence.${p}.directories = [ "/a" ]; }"#;
    let ran = of_text(text, &["--storage", "/other"]).exits(0).says("to = \"/real\"");
    assert!(!ran.stdout.contains("/other"), "{ran}");
}

#[test]
fn one_computed_user_is_the_given_one_and_a_second_is_named() {
    let text = r#"{ environment.persistence."/p".users = {
      ${a.user}.directories = [ ".a" ];
      ${b.user}.directories = [ ".b" ];
    }; }"#;
    let ran = of_text(text, &["--user", "sinh"]).exits(1).says("\"${a.user}\" is taken to be sinh");
    assert_eq!(entries(&ran), ["/home/sinh/.a"]);
    assert!(
        ran.stderr.contains("m.nix:3: ") && ran.stderr.contains("--user already stands for \"${a.user}\""),
        "{ran}"
    );
}

#[test]
fn keys_that_begin_alike_have_one_storage() {
    let text = r#"{ environment.persistence = {
      "${p}/system".directories = [ "/a" ];
      "${p}/cache".directories = [ "/b" ];
    }; }"#;
    for given in ["/persist", "/persist/system"] {
        of_text(text, &["--storage", given]).exits(0).says("to = \"/persist/system\"").says("to = \"/persist/cache\"");
    }
}

#[test]
fn what_nests_without_end_is_refused_with_its_line() {
    let deep = format!("{{ a = 1;\n b = {}[ ]; }}", "[ ] ++ ".repeat(20_000));
    let ran = of_text(Box::leak(deep.into_boxed_str()), &[]).exits(2);
    assert!(ran.stderr.contains("m.nix:2: nested too deeply"), "{ran}");
}
