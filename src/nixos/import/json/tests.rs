use super::JsonFile;
use crate::nixos::import::{Heading, ImportError, Imported, NoteWeight, Person, from_json};
use serde_json::{Value, json};

fn try_import(values: &[Value], person: &Person) -> Result<Imported, ImportError> {
    let file = |(n, value): (usize, &Value)| JsonFile { shown: format!("{n}.json"), text: value.to_string().into() };
    let files: Vec<JsonFile> = values.iter().enumerate().map(file).collect();
    from_json(&files, person, &Heading::default())
}

fn import(values: &[Value]) -> Imported {
    try_import(values, &Person::default()).unwrap()
}

#[track_caller]
fn has(imported: &Imported, parts: &[&str]) {
    for part in parts {
        assert!(imported.text.contains(part), "`{part}` is missing in\n{}", imported.text);
    }
}

fn lost(imported: &Imported) -> usize {
    imported.notes.iter().filter(|note| note.weight == NoteWeight::NotInPlan).count()
}

#[test]
fn a_storage_of_its_own_wins_over_the_areas() {
    let imported = import(&[json!({"label": {"persistentStoragePath": "/persist", "directories": [
        {"dirPath": "/var/log"}, {"dirPath": "/var/cache/x", "persistentStoragePath": "/cache"}]}})]);
    has(&imported, &["to = \"/persist\"", "to = \"/cache\"", "\"/var/cache/x\"", "name = \"system in /cache\""]);
    assert!(!imported.text.contains("\"/label"));
}

#[test]
fn a_module_from_before_paths_were_evaluated_is_told_to_be_too_old() {
    let written = |item: Value| json!({"persistcp": 1, "persistence": {"/persist": {"directories": [item]}}});
    for item in [json!("/var/log"), json!({"directory": "/var/log", "user": "root"})] {
        let error = try_import(&[written(item)], &Person::default()).unwrap_err().to_string();
        let told = "environment.persistence.\"/persist\".directories: this impermanence is older than 2022-11-13";
        assert!(error.contains(told) && error.contains("plan import --nix"), "{error}");
    }
    let files = json!({"/persist": {"files": ["/etc/machine-id"], "users": {"u": {"directories": [".ssh"]}}}});
    let error = try_import(&[json!({"persistcp": 1, "persistence": files})], &Person::default()).unwrap_err();
    assert!(error.to_string().contains("users.u.directories: this impermanence is older"), "{error}");
    let whole = json!({"/persist": {"directories": ["/var/log"], "files": [], "users": {}}});
    let error = try_import(&[whole], &Person { user: Some("u".into()), dir: None }).unwrap_err().to_string();
    assert!(error.contains("is older"), "{error}");
}

#[test]
fn a_symlink_of_preservation_gets_no_mode_at_boot() {
    let file = |how: &str, makes: bool| json!({"file": "/etc/ssh/ssh_host_rsa_key", "how": how, "createLinkTarget": makes, "mode": "0644"});
    for (how, makes, warned) in [("symlink", false, false), ("symlink", true, true), ("bindmount", false, true)] {
        let imported = import(&[json!({"/persist": {"commonMountOptions": [], "files": [file(how, makes)]}})]);
        assert_eq!(imported.text.contains("# WARNING"), warned, "{how} {makes}\n{}", imported.text);
    }
}

#[test]
fn the_host_names_the_plan_if_it_can() {
    let named = |host: Value| {
        let paths = json!({"/persist": {"directories": [{"dirPath": "/var/log"}]}});
        import(&[json!({"persistcp": 1, "host": host, "persistence": paths})]).text
    };
    assert!(named(json!("laptop")).contains("\nname = \"laptop\"\n"));
    assert!(!named(json!("")).contains("name = \"\"") && !named(Value::Null).contains("emberroot"));
}

#[test]
fn a_root_for_a_home_is_no_home() {
    let parent = json!({"dirPath": "/etc", "home": "/", "mode": "0700"});
    let imported = import(&[json!({"/persist": {"files": [
        {"filePath": "/etc/a", "home": null, "parentDirectory": parent}, {"filePath": "/b", "home": "/"}]}})]);
    has(&imported, &["from = \"/\"\nto = \"/persist\"", "\"/etc/a\"", "\"/b\"", "# WARNING", "the mode 0700"]);
    assert!(!imported.text.contains("[[fixup]]"));
}

#[test]
fn a_null_group_is_the_users_own() {
    let persistence = json!({"/persist": {"directories": [
        {"dirPath": "/home/sinh/.ssh", "home": "/home/sinh", "user": "sinh", "group": null, "mode": "0755"}]}});
    let users = json!({"sinh": {"uid": 1000, "group": "users", "home": "/home/sinh"}, "nobody": {"uid": 65534}});
    let known = import(&[persistence.clone(), users]);
    has(&known, &["parents = { owner = \"sinh\", group = \"users\"", "users = { sinh = 1000 }"]);
    assert!(!known.text.contains("65534"));
    let unknown = import(&[persistence]);
    has(&unknown, &["# WARNING: the group of the home /home/sinh is not known", "parents = { owner = \"sinh\", mode"]);
}

#[test]
fn the_first_home_manager_module_has_its_home_in_the_key() {
    let value = json!({"/persist/home/sinh": {"allowOther": true, "removePrefixDirectory": false,
        "directories": [{"directory": ".ssh", "method": "bindfs"}], "files": [".screenrc"]}});
    let imported = import(&[value]);
    let parts =
        ["from = \"/home/sinh\"", "to = \"/persist/home/sinh\"", "\".screenrc\"", "owner = \"sinh\"", "[[fixup]]"];
    has(&imported, &parts);
}

#[test]
fn a_removed_prefix_is_on_the_storage_only() {
    let value = json!({"/persist/dotfiles": {"removePrefixDirectory": true, "files": ["screen/.screenrc"]}});
    let person = Person { user: Some("sinh".into()), dir: None };
    let imported = try_import(std::slice::from_ref(&value), &person).unwrap();
    has(&imported, &["from = \"/home/sinh\"", "to = \"/persist/dotfiles/screen\"", "\".screenrc\""]);
    assert!(!imported.text.contains("[[fixup]]"));
    let error = try_import(&[value], &Person::default()).unwrap_err();
    assert!(error.to_string().contains("--user NAME"), "{error}");
}

#[test]
fn preservation_declares_files_with_owners_and_adds_parents() {
    let value = json!({"/persist": {"commonMountOptions": [], "files": [
        {"file": "/etc/key", "user": "app", "group": "root", "mode": "0600", "how": "symlink"},
        {"file": "/etc/machine-id", "user": "root", "group": "root", "mode": "0644", "how": "bindmount"}],
        "users": {"sinh": {"home": "/home/sinh", "homeGroup": "users", "homeMode": "0750", "directories": [
            {"directory": "/home/sinh/.local", "how": "_intermediate", "mode": "0755"},
            {"directory": "/home/sinh/.ssh", "how": "bindmount", "mode": "0755"}]}}}});
    let imported = import(&[value]);
    has(&imported, &["{ path = \"/etc/key\", owner = \"app\", mode = \"0600\" }", "mode = \"0750\"", "\".ssh\""]);
    has(&imported, &["# WARNING: preservation", "gives /home/sinh/.ssh the mode 0755 at every boot"]);
    assert!(!imported.text.contains("\".local\""));
}

#[test]
fn a_symbolic_mode_is_kept_and_one_that_is_none_is_said() {
    let value = json!({"/persist": {"directories": [
        {"dirPath": "/a", "mode": "u=rwx,g=rx,o="}, {"dirPath": "/b", "mode": "u=g"}, {"dirPath": "/c", "mode": "=rx"}]}});
    let imported = import(&[value]);
    has(&imported, &["mode = \"u=rwx,g=rx,o=\"", "mode = \"0555\"", "# NOT IN THIS PLAN", "\"u=g\""]);
    assert_eq!(lost(&imported), 1);
}

#[test]
fn a_whole_home_is_a_map() {
    let value = json!({"/persist": {"directories": [], "users": {"sinh": {"directories": [
        {"dirPath": "/home/sinh", "directory": "/", "home": "/home/sinh"}]}}}});
    has(&import(&[value]), &["[[map]]", "from = \"/home/sinh\"", "to = \"/persist/home/sinh\"", "[[fixup]]"]);
}

#[test]
fn a_storage_that_is_not_enabled_is_left_out_with_a_word() {
    let value = json!({"/off": {"enable": false, "directories": [{"dirPath": "/x"}]},
        "/on": {"enable": true, "directories": [{"dirPath": "/y"}]}});
    let imported = import(&[value]);
    has(&imported, &["# note: home.persistence.\"/off\" is left out", "\"/y\""]);
    assert!(!imported.text.contains("\"/x\""));
}

#[test]
fn what_cannot_be_a_path_is_lost_aloud() {
    let value = json!({"/persist": {"directories": [{"dirPath": "/a/../b"}, {"dirPath": "/c"}]}});
    let imported = import(&[value]);
    has(&imported, &["# NOT IN THIS PLAN: ", "/a/../b"]);
    assert_eq!(lost(&imported), 1);
}

#[test]
fn a_file_without_a_known_shape_is_named() {
    for (value, part) in [
        (json!({"a": 1}), "no shape"),
        (json!("text"), "no shape"),
        (json!({"/p": {"directories": [{"user": "x"}]}}), "has no `directory`"),
        (json!({"/p": {"directories": [{"dirPath": 7}]}}), "is not a string"),
        (json!({"persistcp": 2}), "another version"),
        (json!({"x": {"uid": -1, "home": "/x", "group": "x"}}), "is not an id"),
    ] {
        let person = Person { user: Some("u".into()), dir: None };
        let error = try_import(std::slice::from_ref(&value), &person).unwrap_err().to_string();
        assert!(error.starts_with("0.json: ") && error.contains(part), "{value}: {error}");
    }
    assert!(matches!(try_import(&[json!({})], &Person::default()), Err(ImportError::Nothing(_))));
}
