use crate::nixos::import::{Heading, Imported, JsonFile, NoteWeight, Person, from_json};
use serde_json::{Value, json};

fn import(persistence: Value, host_keys: &[&str]) -> Imported {
    let keys: Vec<Value> = host_keys.iter().map(|path| json!({"path": path})).collect();
    let value = json!({"persistcp": 1, "persistence": persistence, "hostKeys": keys});
    let file = JsonFile { shown: "x.json".into(), text: value.to_string().into() };
    from_json(&[file], &Person::default(), &Heading::default()).unwrap()
}

fn notes(imported: &Imported) -> Vec<(NoteWeight, &str)> {
    imported.notes.iter().map(|note| (note.weight, note.text.as_str())).collect()
}

#[test]
fn doubles_are_one_and_unlike_doubles_are_said() {
    let list =
        |mode: &str| json!([{"dirPath": "/home/u/.x", "home": "/home/u", "user": "u", "group": "g", "mode": mode}]);
    let both = |a: &str, b: &str| {
        import(json!({"/p": {"directories": list(a), "users": {"u": {"directories": list(b)}}}}), &[])
    };
    let same = both("0700", "0700");
    assert_eq!((same.text.matches(".x\"").count(), same.notes.len()), (1, 0), "{}", same.text);
    let unlike = both("0750", "0700");
    assert!(
        matches!(notes(&unlike)[..], [(NoteWeight::NotInPlan, text)] if text.contains("mode 0700") && text.contains("mode 0750"))
    );
    assert!(unlike.text.contains("mode = \"0700\""));
}

#[test]
fn one_path_in_two_storages_is_a_conflict() {
    let imported =
        import(json!({"/a": {"directories": [{"dirPath": "/x"}]}, "/b": {"directories": [{"dirPath": "/x"}]}}), &[]);
    assert!(
        matches!(notes(&imported)[..], [(NoteWeight::NotInPlan, text)] if text.contains("/a/x") && text.contains("/b/x"))
    );
}

#[test]
fn a_storage_inside_another_ones_directory_is_a_conflict() {
    let value = json!({"/p": {"directories": [{"dirPath": "/sub"}]}, "/p/sub": {"directories": [{"dirPath": "/x"}]}});
    assert!(matches!(notes(&import(value, &[]))[..], [(NoteWeight::NotInPlan, text)] if text.contains("mixes with")));
}

#[test]
fn host_keys_belong_to_the_innermost_storage() {
    let value = json!({"/p": {"directories": [{"dirPath": "/a"}]}, "/p/system": {"directories": [{"dirPath": "/b"}]}});
    let imported = import(value, &["/p/system/etc/ssh/key"]);
    assert!(imported.notes.is_empty(), "{:?}", imported.notes);
    let (_, system) = imported.text.split_once("to = \"/p/system\"").unwrap();
    assert!(system.contains("\"/etc/ssh/key\"") && system.contains("\"/etc/ssh/key.pub\""), "{system}");
}

#[test]
fn host_keys_that_nothing_keeps_are_copied_with_a_warning() {
    let value = || json!({"/p": {"directories": [{"dirPath": "/a"}]}});
    let stray = import(value(), &["/etc/ssh/ssh_host_rsa_key"]);
    assert!(matches!(notes(&stray)[..], [(NoteWeight::Warning, text)] if text.contains("/p/etc/ssh/ssh_host_rsa_key")));
    assert!(stray.text.contains("{ path = \"/etc/ssh/ssh_host_rsa_key\", need = \"critical\" }"));
    let covered = import(json!({"/p": {"directories": [{"dirPath": "/etc/ssh"}]}}), &["/etc/ssh/k", "/p/etc/ssh/l"]);
    assert!(covered.notes.is_empty() && !covered.text.contains("hostKeys"), "{}", covered.text);
    let home = json!({"/p": {"directories": [{"dirPath": "/home/u/x", "home": "/home/u", "user": "u", "group": "g"}]}});
    let nowhere = import(home, &["/etc/ssh/k"]);
    assert!(
        notes(&nowhere).iter().any(|(weight, text)| *weight == NoteWeight::NotInPlan && text.contains("a new key"))
    );
}
