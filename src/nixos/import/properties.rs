//! Whatever is declared can be read back from the plan, name by name.

use super::*;
use crate::engine::mapping::mode::Mode;
use crate::engine::mapping::model::EntryKind;
use crate::plan::{EntryDraft, IdRef, IdValue, TargetDraft};
use crate::sys::stat::Kind;
use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What one path is declared to be.
#[derive(Clone, Debug)]
struct PathSample {
    directory: bool,
    user: Option<String>,
    group: Option<String>,
    mode: Option<String>,
}

/// Live path, stored path, kind, owner, group, mode.
type PlannedRow = (String, String, bool, Option<String>, Option<String>, Option<u32>);

/// One name of a path, as hostile as Nix and TOML can carry it.
fn name() -> impl Strategy<Value = String> {
    let odd = "[\\]\\[*?{}\\\\!^\"'#$ \n\t\u{7f}\u{1}é.~-]{1,6}";
    prop_oneof![2 => odd, 1 => "[a-c]{1,3}", 1 => "[^/\u{0}]{1,8}"]
        .prop_filter("not a name", |name| name != "." && name != "..")
}

/// Not a name that looks like a number: the plan would take it for one.
fn owner() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof!["[a-z_][a-z0-9_-]{0,9}", "x[^\u{0}]{1,6}"])
}

fn declared() -> impl Strategy<Value = PathSample> {
    let mode = option::of(prop_oneof!["0[0-7]{3}", Just("u=rwx,g=rx,o=".to_string()), Just("=rx".to_string())]);
    (any::<bool>(), owner(), owner(), mode).prop_map(|(directory, user, group, mode)| PathSample {
        directory,
        user,
        group,
        mode,
    })
}

fn paths() -> impl Strategy<Value = BTreeMap<String, PathSample>> {
    let path = prop::collection::vec(name(), 1..4).prop_map(|names| names.join("/"));
    btree_map(path, declared(), 0..6)
}

use std::collections::BTreeMap;

fn lists(paths: &BTreeMap<String, PathSample>, above: &str, home: Option<&str>) -> (Vec<Value>, Vec<Value>) {
    let (mut directories, mut files) = (Vec::new(), Vec::new());
    for (path, declared) in paths {
        let live = format!("{above}/{path}");
        let PathSample { user, group, mode, directory } = declared;
        if *directory {
            directories.push(json!({"dirPath": live, "user": user, "group": group, "mode": mode, "home": home}));
        } else {
            files.push(json!({"filePath": live, "home": home}));
        }
    }
    (directories, files)
}

fn row(path: &str, declared: &PathSample, above: &str, storage: &str, own: &[&str; 2]) -> PlannedRow {
    let other = |name: &Option<String>, own: &str| name.clone().filter(|name| declared.directory && name != own);
    let bits = declared
        .mode
        .as_deref()
        .and_then(|mode| Mode::parse(mode).ok())
        .map(|mode| mode.change().of(0o777, Kind::Directory));
    (
        format!("{above}/{path}"),
        format!("{storage}{above}/{path}"),
        declared.directory,
        other(&declared.user, own[0]),
        other(&declared.group, own[1]),
        bits.filter(|bits| declared.directory && *bits != 0o755),
    )
}

fn rows(target: &TargetDraft) -> Vec<PlannedRow> {
    let text = |id: &Option<IdRef>| {
        id.as_ref().map(|id| match &id.value {
            IdValue::Name(name) => name.clone(),
            IdValue::Number(id) => id.to_string(),
        })
    };
    let path = |base: &RelPath, entry: &EntryDraft| {
        let path = String::from_utf8(entry.path.as_bytes().to_vec()).unwrap();
        let base = String::from_utf8(base.as_bytes().to_vec()).unwrap();
        let base = if base.is_empty() { base } else { format!("/{base}") };
        format!("{base}/{path}")
    };
    let row = |entry: &EntryDraft| {
        let (live, stored) = (path(&target.from, entry), path(&target.to, entry));
        let directory = entry.kind == EntryKind::Directory;
        let mode = entry.mode.as_ref().and_then(|mode| mode.change().absolute());
        (live, stored, directory, text(&entry.owner), text(&entry.group), mode)
    };
    target.entries.iter().map(row).collect()
}

proptest! {
    #[test]
    fn what_is_declared_comes_back_from_the_plan(system in paths(), home in paths()) {
        // The system's paths must not be in the home's place.
        let system: BTreeMap<_, _> = system.into_iter().filter(|(path, _)| !path.starts_with("home")).collect();
        let (directories, files) = lists(&system, "", None);
        let (own_directories, own_files) = lists(&home, "/home/sinh", Some("/home/sinh"));
        let value = json!({
            "persistcp": 1,
            "persistence": {"/persist": {"directories": directories, "files": files,
                "users": {"sinh": {"directories": own_directories, "files": own_files}}}},
            "users": {"sinh": {"group": "users", "uid": 1000, "home": "/home/sinh"}},
        });
        let file = JsonFile { shown: "x.json".into(), text: value.to_string().into_bytes() };
        let imported = match from_json(&[file], &Person::default(), &Heading::default()) {
            Ok(imported) => imported,
            Err(ImportError::Nothing(_)) => {
                prop_assert!(system.is_empty() && home.is_empty());
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let plan = Plan::parse(Path::new("plan.toml"), &imported.text).unwrap();
        let expected: BTreeSet<PlannedRow> = system
            .iter()
            .map(|(path, declared)| row(path, declared, "", "/persist", &["root", "root"]))
            .chain(home.iter().map(|(path, d)| row(path, d, "/home/sinh", "/persist", &["sinh", "users"])))
            .collect();
        let found: Vec<PlannedRow> = plan.targets.iter().flat_map(rows).collect();
        prop_assert_eq!(found.len(), expected.len(), "{}", imported.text);
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{}", imported.text);
        prop_assert!(imported.notes.is_empty(), "{:?}", imported.notes);
    }
}

/// Tokens of a module in any order.
fn babble() -> impl Strategy<Value = String> {
    let words = [
        "environment",
        "persistence",
        "home",
        "preservation.preserveAt",
        "services.openssh.hostKeys",
        "imports",
        "directories",
        "files",
        "users",
        "home-manager.users.",
        "config",
        "options",
        ".",
        ".\"/p\"",
        "\"/x\"",
        "\"${a}/s\"",
        "${b}",
        "''\n  /y''",
        "=",
        "=",
        ";",
        ";",
        "{",
        "}",
        "{",
        "}",
        "[",
        "]",
        "[",
        "]",
        "(",
        ")",
        ":",
        "inherit (c) files;",
        "lib.mkIf x",
        "mkMerge",
        "let a = 1; in",
        "with lib;",
        "if a then",
        "else",
        "//",
        "++",
        " ",
        " ",
        "\n",
        "rec",
        "é",
        "{ environment.persistence.\"/p\".directories = [ \"/a\" ",
        " ]; }",
        "directory = \"/b\"",
        "path = \"/k\"",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..30).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn a_module_of_any_text_gives_a_plan_or_an_error(text in prop_oneof![3 => babble(), 1 => any::<String>()]) {
        let file = NixFile { shown: "m.nix".into(), text, path: None };
        let person = Person { user: Some("sinh".into()), dir: None };
        let storage = RelPath::new(b"persist").unwrap();
        if let Ok(imported) = from_nix(&[file], Some(&storage), &person, &Heading::default()) {
            prop_assert!(Plan::parse(Path::new("p.toml"), &imported.text).is_ok());
        }
    }

    #[test]
    fn literal_paths_of_a_module_come_back(paths in prop::collection::btree_set("[a-c*?\\[\\]{} é.#-]{1,5}", 1..5)) {
        let paths: BTreeSet<String> = paths.into_iter().filter(|path| path != "." && path != "..").collect();
        prop_assume!(!paths.is_empty());
        // Nix needs none of these characters escaped.
        let list: String = paths.iter().map(|path| format!("  \"/{path}\" # \"\n")).collect();
        let text = format!("{{ environment.persistence.\"/persist\".directories = [\n{list}]; }}");
        let file = NixFile { shown: "m.nix".into(), text, path: None };
        let storage = RelPath::new(b"other").unwrap();
        let imported = from_nix(&[file], Some(&storage), &Person::default(), &Heading::default()).unwrap();
        let plan = Plan::parse(Path::new("plan.toml"), &imported.text).unwrap();
        let found: BTreeSet<String> = plan.targets.iter().flat_map(rows).map(|row| row.0[1..].to_string()).collect();
        prop_assert_eq!(found, paths);
    }
}
