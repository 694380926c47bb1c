//! `plan import` and `plan nix-expr`: from Nix to a plan.

use crate::kit::disk::World;
use crate::kit::need_tools;
use crate::kit::run::{Ran, plain};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nix").join(name)
}

fn import(args: &[&str]) -> Ran {
    let all: Vec<&OsStr> = ["plan", "import"].iter().chain(args).map(OsStr::new).collect();
    plain(&all)
}

fn json_file(world: &World, value: &Value) -> String {
    let path = world.path().join("nix.json");
    std::fs::write(&path, value.to_string()).unwrap();
    path.to_str().unwrap().to_string()
}

/// The plan without its first line, which names the files.
fn body(ran: &Ran) -> String {
    ran.stdout.split_once('\n').unwrap().1.to_string()
}

fn checks(world: &World, text: &str) {
    let plan = world.plan_text(text);
    plain(&[OsStr::new("plan"), OsStr::new("check"), plan.as_os_str()]).exits(0);
}

#[test]
fn both_versions_of_impermanence_give_the_same_plan() {
    let old = import(&["--nix-json", fixture("impermanence-v1.json").to_str().unwrap()]).exits(0);
    let new = import(&["--nix-json", fixture("impermanence-v2-projected.json").to_str().unwrap()]).exits(0);
    assert_eq!(body(&old), body(&new));
    assert_eq!(old.stdout.matches("\".ssh\"").count(), 1, "{old}");
    let text = new
        .says("{ path = \".local/share/nvim\", mode = \"0700\" }")
        .says("# environment.persistence.\"/persist\".users.sinh.files");
    checks(&World::plain(), &text.stdout);
}

#[test]
fn both_modules_of_emberroot_are_read_whole() {
    let world = World::plain();
    let (nixos, home) = (fixture("emberroot-nixos.nix"), fixture("emberroot-home.nix"));
    let args = ["--nix", nixos.to_str().unwrap(), home.to_str().unwrap(), "--storage", "/persist", "--user", "sinh"];
    let ran = import(&args).exits(0).says("to = \"/persist/system\"").says("to = \"/persist/home/sinh\"");
    checks(&world, &ran.stdout);
    let plan: toml::Table = ran.stdout.parse().unwrap();
    let count = |target: usize, key: &str| plan["target"][target][key].as_array().unwrap().len();
    // 2 files, and 2 keys with their public halves; every string of the home's list.
    assert_eq!((count(0, "directories"), count(0, "files")), (9, 6), "{ran}");
    let text = std::fs::read_to_string(&home).unwrap();
    let listed = text.lines().filter(|line| line.trim_start().starts_with('"')).count();
    assert_eq!(count(1, "directories") + count(1, "files"), listed, "{ran}");
    assert_eq!((count(1, "directories"), count(1, "files")), (47, 1), "{ran}");
}

#[test]
fn what_a_module_does_not_spell_out_is_listed_and_exits_1() {
    let world = World::plain();
    let module = world.path().join("m.nix");
    std::fs::write(&module, "{ environment.persistence.\"/p\".directories = [\n \"/a\"\n x\n ]\n ++ f [ \"/b\" ]; }")
        .unwrap();
    let ran = import(&["--nix", module.to_str().unwrap(), "--storage", "/p"]).exits(1);
    for place in ["m.nix:3: ", "m.nix:5: "] {
        assert!(ran.stdout.contains(place) && ran.stderr.contains(place), "{place}\n{ran}");
    }
    let ran = ran.says("needs an evaluator: `f [ \"/b\" ]`").says("\"/a\"");
    checks(&world, &ran.stdout);
}

#[test]
fn literal_names_find_their_files_and_no_others() {
    let world = World::plain();
    let names =
        ["a*b", "[x]", "{a,b}", "q?", "tail\\", "line\nbreak*", "q\"uote'", "]}", ".hid*den", "back\\slash", "#{"];
    for name in names {
        world.file(&format!("state/{name}/f"), name);
    }
    for decoy in ["aXb", "x", "a", "qu", "tail", ".hidXden"] {
        world.file(&format!("state/{decoy}/f"), "decoy");
    }
    let directories: Vec<Value> = names.iter().map(|name| json!({"dirPath": format!("/state/{name}")})).collect();
    let file = json_file(&world, &json!({"/persist": {"directories": directories, "files": []}}));
    let places = ["--source", world.source.to_str().unwrap(), "--root", world.root.to_str().unwrap()];
    let ran = import(&["--nix-json", &file, places[0], places[1], places[2], places[3]]).exits(0);
    let plan = world.plan_text(&ran.stdout);
    let shown = plain(&["plan", "show", plan.to_str().unwrap(), "--format", "json"].map(OsStr::new)).exits(0);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let entries = shown["targets"][0]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), names.len(), "{shown:#}");
    assert!(entries.iter().all(|entry| entry["presence"] == "present"), "{shown:#}");
}

#[test]
fn a_plan_file_of_any_name_takes_literal_names_there_and_back() {
    let world = World::plain();
    let (module, plan) = (world.path().join("m.nix"), world.path().join("x+y.toml"));
    let names = ["/state/a[b]*c", "/state/x{y,z}", "/srv/[x]", "/etc/q[?"];
    let list = names.map(|name| format!("\"{name}\""));
    let text = format!("{{ environment.persistence.\"/p\".directories = [ {} ]; }}", list.join(" "));
    std::fs::write(&module, text).unwrap();
    import(&["--nix", module.to_str().unwrap(), "--storage", "/p", "--output", plan.to_str().unwrap()]).exits(0);
    let args = ["plan", "export", plan.to_str().unwrap(), "--format", "json"].map(OsStr::new);
    let exported = plain(&args);
    let exported: Value = serde_json::from_str(&exported.stdout).unwrap();
    assert_eq!(exported["plan"], "x-y");
    let entries = exported["areas"][0]["entries"].as_array().unwrap();
    assert_eq!(entries.iter().map(|entry| entry["live"].as_str().unwrap()).collect::<Vec<_>>(), names);
}

#[test]
fn an_absolute_path_in_a_home_is_where_the_module_puts_it_and_is_warned_of() {
    let world = World::plain();
    let literal = world.path().join("m.nix");
    let text = r#"{ environment.persistence."/persist".users.ann.directories = [ "/home/ann/x" ]; }"#;
    std::fs::write(&literal, text).unwrap();
    let entry = json!({"dirPath": "/home/ann/home/ann/x", "directory": "/home/ann/x", "home": "/home/ann"});
    let evaluated = json_file(&world, &json!({"/persist": {"users": {"ann": {"directories": [entry]}}}}));
    for args in [["--nix", literal.to_str().unwrap()], ["--nix-json", &evaluated]] {
        let ran = import(&args).exits(0).says("which has the home twice; declare \"x\" to keep /home/ann/x");
        assert!(ran.stdout.contains("  \"home/ann/x\",\n"), "{ran}");
    }
}

#[test]
fn ten_thousand_entries_are_a_moments_work() {
    let world = World::plain();
    let entry = |n: usize| json!({"dirPath": format!("/srv/{}/{n}", n % 100), "user": "root", "group": "root"});
    let all: Vec<Value> = (0..10_000).map(entry).collect();
    let file = json_file(&world, &json!({"/persist": {"directories": all, "users": {}}}));
    let begun = std::time::Instant::now();
    let ran = import(&["--nix-json", &file]).exits(0);
    let took = begun.elapsed();
    assert_eq!(ran.stdout.matches("  \"/srv/").count(), 10_000);
    // Quadratic work took a quarter of a minute.
    assert!(took.as_secs() < 5, "{took:?}");
}

#[test]
fn an_output_that_exists_is_left_alone() {
    let world = World::plain();
    let (file, output) = (fixture("impermanence-v1.json"), world.path().join("made.toml"));
    let args = ["--nix-json", file.to_str().unwrap(), "--name", "t", "--output", output.to_str().unwrap()];
    import(&args).exits(0);
    plain(&[OsStr::new("plan"), OsStr::new("check"), output.as_os_str()]).exits(0);
    std::fs::write(&output, "mine").unwrap();
    import(&args).exits(3).says("left alone");
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "mine");
}

#[test]
fn wrong_files_and_wrong_names_exit_2() {
    let world = World::plain();
    let file = json_file(&world, &json!({"what": 1}));
    import(&["--nix-json", &file]).exits(2).says("nix.json: ").says("known are");
    std::fs::write(&file, "{").unwrap();
    import(&["--nix-json", &file]).exits(2).says("not JSON");
    import(&["--nix-json", "/nowhere.json"]).exits(2).says("/nowhere.json");
    import(&["--nix", &file]).exits(2).says("not Nix");
    let good = fixture("impermanence-v1.json");
    import(&["--nix-json", good.to_str().unwrap(), "--name", "a/b"]).exits(2).says("cannot name the state");
    import(&["--nix", fixture("emberroot-home.nix").to_str().unwrap(), "--storage", "/p"]).exits(1).says("--user NAME");
    std::fs::write(&file, "{}").unwrap();
    import(&["--nix-json", &file]).exits(1).says("nothing that a plan could copy");
}

#[test]
fn a_dash_is_stdin() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_persistcp"));
    command.args(["plan", "import", "--nix-json", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let text = std::fs::read(fixture("impermanence-v1.json")).unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    assert!(String::from_utf8_lossy(&out.stdout).starts_with("# Made by `persistcp plan import` from stdin."));
}

/// A configuration whose unneeded attributes throw, and what its plan must have.
const MOCKS: [(&str, &[&str]); 3] = [
    ("mock-v2", &["\".gnupg\"", "\".ssh\"", "\"/etc/ssh/ssh_host_ed25519_key.pub\"", "users = { sinh = 1000 }"]),
    ("mock-v1", &["\".ssh\"", "to = \"/persist/dotfiles/screen\"", "\".config/git\"", "to = \"/older/home/sinh\""]),
    ("mock-preservation", &["\"/etc/machine-id\"", "\".local/share/keyrings\"", "mode = \"0750\""]),
];

#[test]
fn a_projected_configuration_becomes_a_plan() {
    let world = World::plain();
    for (mock, parts) in MOCKS {
        let file = fixture(&format!("{mock}.json"));
        let ran = import(&["--nix-json", file.to_str().unwrap()]).exits(0);
        let ran = parts.iter().fold(ran, |ran, part| ran.says(part));
        checks(&world, &ran.stdout);
    }
}

#[test]
fn an_evaluator_makes_that_projection() {
    need_tools!("nix-instantiate");
    let world = World::plain();
    let expression = plain(&["plan", "nix-expr"].map(OsStr::new)).exits(0).stdout;
    for (mock, _) in MOCKS {
        let whole = format!("({expression}) (import {})", fixture(&format!("{mock}.nix")).display());
        let mut command = Command::new("nix-instantiate");
        command.args(["--eval", "--strict", "--json", "-E", &whole]).env("NIX_REMOTE", "dummy://");
        let out = command.env("HOME", world.path()).output().unwrap();
        assert!(out.status.success(), "{mock}: {}", String::from_utf8_lossy(&out.stderr));
        let made: Value = serde_json::from_slice(&out.stdout).unwrap();
        let recorded = std::fs::read(fixture(&format!("{mock}.json"))).unwrap();
        assert_eq!(made, serde_json::from_slice::<Value>(&recorded).unwrap(), "{mock}");
    }
}

#[test]
fn the_expression_comes_with_its_commands() {
    let expr = |args: &[&str]| plain(&["plan", "nix-expr"].iter().chain(args).map(OsStr::new).collect::<Vec<_>>());
    let ran = expr(&["--for", ".#Emberroot"]).exits(0);
    let command = "nix eval --json '.#nixosConfigurations.Emberroot.config' --apply \"$(persistcp plan nix-expr)\" > ./Emberroot.json";
    assert!(ran.stdout.starts_with(&format!("#   {command}\n")), "{ran}");
    let commands = expr(&["--commands", "--for", ".#Emberroot", "--user", "sinh"]).exits(0);
    assert!(commands.stdout.starts_with(command) && commands.stdout.lines().count() == 3, "{commands}");
    expr(&["--for", ".#a\nb"]).exits(2);
}
