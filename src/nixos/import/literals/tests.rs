use super::NixFile;
use crate::base::path::RelPath;
use crate::nixos::import::{Heading, ImportError, Imported, NoteWeight, Person, from_nix};

fn try_import(text: &str, storage: &str) -> Result<Imported, ImportError> {
    let file = NixFile { shown: "m.nix".into(), text: text.into(), path: None };
    let person = Person { user: Some("sinh".into()), dir: None };
    from_nix(&[file], Some(&RelPath::new(storage.as_bytes()).unwrap()), &person, &Heading::default())
}

fn import(text: &str) -> Imported {
    try_import(text, "/persist").unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The expressions that were not read.
fn unread(imported: &Imported) -> Vec<&str> {
    imported.notes.iter().filter(|n| n.weight == NoteWeight::NotInPlan).filter_map(|n| n.quoted.as_deref()).collect()
}

#[test]
fn every_nesting_leads_to_the_list() {
    for text in [
        "{ environment.persistence.\"/p\".directories = [ \"/x\" ]; }",
        "{ lib, ... }: { config = lib.mkIf a.b { environment = { persistence.\"/p\" = { directories = [ \"/x\" ]; }; }; }; }",
        "with lib; let a = 1; in { config = mkMerge [ { environment.persistence.\"/p\".directories = mkIf a [ \"/x\" ]; } ]; }",
        "{ environment.persistence = { ${\"/p\"} = lib.mkForce { directories = mkBefore ([ (\"/x\") ]); }; }; }",
        "{ imports = [ ({ ... }: { environment.persistence.\"/p\".directories = [ ''/x'' ]; })  inputs.b ]; }",
        "{ a = 1; } // { environment.persistence.\"/p\" = assert true; { directories = [ ] ++ [ { directory = \"/x\"; } ]; }; }",
        "{ environment.persistence.label = { persistentStoragePath = \"/p\"; directories = [ \"/x\" ]; }; }",
        "{ preservation.preserveAt.\"/p\".directories = [ \"/x\" ]; }",
    ] {
        let imported = import(text);
        assert!(imported.notes.iter().all(|note| note.weight == NoteWeight::Remark), "{text}: {:?}", imported.notes);
        assert!(
            imported.text.contains("to = \"/p\"") && imported.text.contains("  \"/x\","),
            "{text}\n{}",
            imported.text
        );
    }
}

#[test]
fn what_needs_an_evaluator_is_listed_with_its_place() {
    let text = "{ environment.persistence.\"/p\" = {\n directories = [\n \"/x\"\n \"/${a}\"\n (f 1)\n v\n { user = \"u\"; }\n ]\n \
                ++ lib.optionals b [\n \"/y\" ];\n files = map g [ \"/z\" ]; }; }";
    let imported = import(text);
    let expected = ["\"/${a}\"", "f 1", "v", "{ user = \"u\"; }", "map g [ \"/z\" ]"];
    assert_eq!(unread(&imported), expected);
    for line in
        ["m.nix:4: ", "m.nix:5: ", "# note: m.nix:9: taken as if `b` held", "needs an evaluator: `f 1`", "  \"/y\""]
    {
        assert!(imported.text.contains(line), "`{line}` is missing in\n{}", imported.text);
    }
}

#[test]
fn options_out_of_sight_are_listed_too() {
    let known = "environment.persistence.\"/p\".files = [ \"/f\" ];";
    for (text, quoted) in [
        (format!("{{ {known} environment.persistence.\"/q\" = f {{ files = [ \"/g\" ]; }}; }}"), "f { files"),
        (format!("{{ {known} config = if a then {{ environment.persistence.x = 1; }} else {{ }}; }}"), "if a then"),
        (format!("{{ {known} systems.x = {{ environment.persistence.y = 1; }}; }}"), "1"),
        (format!("{{ {known} home-manager.users = lib.genAttrs names f; }}"), "lib.genAttrs names f"),
        (format!("{{ {known} environment.persistence.\"/q\" = {{ inherit (c) files; }}; }}"), "c.files"),
        (format!("{{ {known} environment.persistence.\"/q\".${{k}} = [ ]; }}"), "[ ]"),
    ] {
        let imported = import(&text);
        assert!(matches!(unread(&imported)[..], [one] if one.starts_with(quoted)), "{text}: {:?}", imported.notes);
        assert!(imported.text.contains("\"/f\""));
    }
}

#[test]
fn a_computed_key_is_the_given_storage() {
    for (key, storage, to) in [
        ("${a.b}", "/persist", "/persist"),
        ("${a.b}/system", "/persist", "/persist/system"),
        ("${a.b}/system", "/persist/system", "/persist/system"),
        ("/x/${a.b}", "/persist", "/persist"),
        ("k\".persistentStoragePath = cfg.path; environment.persistence.\"k", "/persist", "/persist"),
    ] {
        let text = format!("{{ environment.persistence.\"{key}\".files = [ \"/f\" ]; }}");
        let plan = try_import(&text, storage).unwrap().text;
        assert!(plan.contains(&format!("to = \"{to}\"")), "{key} {storage}\n{plan}");
    }
}

#[test]
fn a_home_lies_at_the_end_of_its_storage() {
    for (key, storage) in [
        ("${a}/${config.home.username}", "/persist"),
        ("${a}/${config.home.username}", "/persist/home"),
        ("${a}/${config.home.username}", "/persist/home/sinh"),
        ("${a}/home/sinh", "/persist"),
        ("${a}", "/persist"),
        ("/persist${config.home.homeDirectory}", "/elsewhere"),
        ("/persist/home/sinh", "/elsewhere"),
        ("/persist", "/elsewhere"),
    ] {
        let text = format!("{{ home.persistence.\"{key}\".directories = [ \".ssh\" ]; }}");
        let plan = try_import(&text, storage).unwrap().text;
        assert!(plan.contains("to = \"/persist/home/sinh\""), "{key} {storage}\n{plan}");
        assert!(plan.contains("from = \"/home/sinh\"") && plan.contains("\".ssh\""), "{plan}");
    }
}

#[test]
fn the_first_versions_key_is_the_homes_own_place() {
    let text = "{ home.persistence.\"/persist/dotfiles\" = { removePrefixDirectory = true; files = [ \"screen/.screenrc\" ]; }; }";
    let plan = import(text).text;
    assert!(plan.contains("to = \"/persist/dotfiles/screen\"") && plan.contains("  \".screenrc\""), "{plan}");
    let plan =
        import("{ home.persistence.\"/p/${config.home.username}\" = { allowOther = false; files = [ \".a\" ]; }; }")
            .text;
    assert!(plan.contains("to = \"/p/sinh\""), "{plan}");
}

#[test]
fn a_users_home_is_what_the_module_says() {
    let text = |home: &str| {
        format!(
            "{{ environment.persistence.\"/p\" = {{ files = [ \"/f\" ]; users.u = {{ {home} files = [ \".a\" ]; }}; }}; }}"
        )
    };
    let said = import(&text("home = \"/data/u\";"));
    assert!(said.text.contains("from = \"/data/u\"") && said.text.contains("to = \"/p/data/u\""), "{}", said.text);
    assert!(!said.text.contains("is taken to be"));
    let assumed = import(&text(""));
    assert!(assumed.text.contains("# note: the home of u is taken to be /home/u"), "{}", assumed.text);
    let computed = import(&text("home = cfg.home;")).text;
    assert!(
        computed.contains(
            "# NOT IN THIS PLAN: m.nix:1: environment.persistence.\"/p\".users.u.files: its home is computed"
        )
    );
}

#[test]
fn attributes_are_kept_and_unknown_ones_said() {
    let imported = import(
        "{ environment.persistence.\"/p\".users.u.directories = [\n { directory = \".a\"; user = \"v\"; mode = \"0755\"; method = x; }\n \
         { directory = \".b\"; user = cfg.user; } ]; }",
    );
    assert!(imported.text.contains("{ path = \".a\", owner = \"v\", mode = \"0755\" }"), "{}", imported.text);
    assert!(imported.text.contains("  \".b\","), "{}", imported.text);
    assert_eq!(unread(&imported), ["cfg.user"]);
}

#[test]
fn host_keys_follow_the_storage_that_they_name() {
    let key = "services.openssh.hostKeys = [ { path = \"${p}/system/etc/ssh/k\"; type = \"rsa\"; } { path = f x; } ];";
    let text = format!("{{ environment.persistence.\"${{p}}/system\".files = [ \"/f\" ]; {key} }}");
    let imported = try_import(&text, "/persist/system").unwrap();
    assert!(
        imported.text.contains("\"/etc/ssh/k\"") && imported.text.contains("\"/etc/ssh/k.pub\""),
        "{}",
        imported.text
    );
    assert_eq!(unread(&imported), ["{ path = f x; }"]);
}

#[test]
fn a_file_that_is_not_nix_is_an_error() {
    let error = try_import("{ a = ", "/persist").unwrap_err().to_string();
    assert!(error.starts_with("m.nix: not Nix"), "{error}");
    let error = try_import("{\n a = 1;\n b c;\n}", "/persist").unwrap_err().to_string();
    assert!(error.starts_with("m.nix:3: not Nix"), "{error}");
}

#[test]
fn what_contains_itself_ends() {
    for text in [
        "let a = a; in { environment.persistence.\"/p\".directories = a; }",
        "let a = a ++ a; in { environment.persistence.\"/p\".directories = a; }",
        "let a = a // a; in { environment.persistence = a; }",
        "let a = { environment.x = a // a; }; in a",
        "let a = [ (mkIf c a) ]; b = mkIf c b; in { environment.persistence.\"/p\".directories = a ++ b ++ [ b ]; }",
        "let a = \"${a}/x\"; b = b + \"x\"; in { environment.persistence.${a}.directories = [ a b ]; }",
        "let a = a.b; c = mkIf c c; in { environment.persistence.\"/p\" = { enable = c; directories = a; }; }",
        "let x = x ++ x; in { imports = x; }",
        "let f = x: f x; m = mkMerge [ m m ]; in { imports = [ (f 1) ]; config = m; }",
        "let f = x: [ x ] ++ f x; in { environment.persistence.\"/p\".directories = map f (f 1); }",
    ] {
        if let Ok(imported) = try_import(text, "/persist") {
            assert!(
                imported.notes.iter().any(|note| note.weight == NoteWeight::NotInPlan),
                "{text}\n{}",
                imported.text
            );
        }
    }
}
