use super::*;
use crate::engine::mapping::mode::Mode;
use std::path::Path;

fn errors(text: &str) -> String {
    Plan::parse(Path::new("plan.toml"), text).expect_err("the plan is wrong").render(false)
}

const GOOD: &str = r#"
version = 1
source = "/mnt/backup"
root = "/mnt"
[[target]]
name = "system"
to = "/persist/system"
directories = ["/var/log", { path = "/var/lib/colord", owner = "colord", mode = "u=rwx,g=rx,o=rx", need = "optional" }]
files = ["/etc/machine-id", "/etc/ssh/ssh_host_*"]
[[fixup]]
path = "/persist/system"
mode = "0755"
"#;

#[test]
fn a_good_plan_parses() {
    let plan = Plan::parse(Path::new("dir/good.toml"), GOOD).expect("good");
    assert_eq!(plan.name, "good");
    assert_eq!(plan.targets[0].entries.len(), 4);
    let mode = plan.targets[0].entries[1].mode.as_ref().map(Mode::change);
    assert_eq!(mode.and_then(crate::engine::mapping::mode::Change::absolute), Some(0o755));
}

#[test]
fn all_errors_are_shown_at_once_with_their_lines() {
    let shown = errors(
        "version = 2\nroott = \"/\"\n[[target]]\nto = \"persist\"\ndirectories = [\"../x\", 7]\n[[fixup]]\npath = \"/p\"\nmode = 755\n",
    );
    for part in [
        "newer persistcp",
        "plan.toml:1:11",
        "unknown key `roott`",
        "did you mean `root`",
        "absolute path",
        "must be in quotes",
        "mode = 755",
        "plan.toml:8:8",
    ] {
        assert!(shown.contains(part), "`{part}` is missing in:\n{shown}");
    }
}

#[test]
fn syntax_errors_have_places() {
    let shown = errors("version = 1\n[[target]]\nto = \"/x\n");
    assert!(shown.contains("plan.toml:3:"), "{shown}");
}

#[test]
fn typos_name_the_nearest_key() {
    let shown = errors("version = 1\n[[target]]\nto = \"/x\"\ndirectorys = [\"a\"]\nfiles = [\"b\"]\n");
    assert!(shown.contains("did you mean `directories`?"), "{shown}");
}

#[test]
fn conflicts_are_errors() {
    let twice = errors("version = 1\n[[target]]\nto = \"/x\"\nfiles = [\"a\", \"/a\"]\n");
    assert!(twice.contains("destination /x/a is given twice"), "{twice}");
    let inside = errors(
        "version = 1\n[[target]]\nto = \"/x\"\ndirectories = [\"a\"]\n[[map]]\nfrom = \"/other\"\nto = \"/x/a/b\"\n",
    );
    assert!(inside.contains("/x/a/b is inside /x/a"), "{inside}");
}

#[test]
fn an_entry_below_another_is_legal() {
    let text =
        "version = 1\n[[target]]\nto = \"/x\"\ndirectories = [\"a\", \"a/b\", { path = \"a/b/c\", mode = \"0700\" }]\n";
    Plan::parse(Path::new("p.toml"), text).expect("nested entries are legal");
}

#[test]
fn the_example_is_the_whole_inventory() {
    let text = include_str!("../../examples/emberroot/mapping.toml");
    let plan = Plan::parse(Path::new("mapping.toml"), text).expect("the shipped plan is good");
    let count = |name: &str| plan.targets.iter().find(|t| t.name == name).map_or(0, |t| t.entries.len());
    assert_eq!((count("system"), count("home"), count("nix")), (13, 51, 1));
}
