//! `persistcp audit`: what would be lost.

mod places;
mod rules;
mod suggest;

use crate::kit::disk::World;
use crate::kit::run::{Ran, plain};
use crate::kit::sh;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A plan that declares /var/log, /etc/machine-id and ~/Documents of the user u.
pub(super) fn plan(world: &World, more: &str) -> PathBuf {
    for (path, content) in [("var/log/a", "x"), ("etc/machine-id", "x"), ("home/u/Documents/a", "x")] {
        world.file(path, content);
    }
    world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n\
         [[target]]\nname = \"system\"\nto = \"/persist/system\"\ndirectories = [\"/var/log\"]\nfiles = [\"/etc/machine-id\"]\n{more}\n\
         [[target]]\nname = \"home\"\nfrom = \"/home/u\"\nto = \"/persist/home/u\"\ndirectories = [\"Documents\"]\nfiles = []\n",
        world.source, world.root
    ))
}

pub(super) fn audit(plan: &Path, args: &[&str]) -> Ran {
    let mut all = vec![OsStr::new("audit"), OsStr::new("--plan"), plan.as_os_str()];
    all.extend(args.iter().map(OsStr::new));
    plain(&all)
}

pub(super) fn json(plan: &Path) -> Value {
    let ran = audit(plan, &["--format", "json"]);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"))
}

/// Severity and path of each finding, in the report's order.
pub(super) fn findings(audit: &Value) -> Vec<String> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_string();
    let list = audit["findings"].as_array().unwrap();
    list.iter().map(|f| format!("{} {}", text(f, "severity"), text(f, "path"))).collect()
}

/// How many things were left out for a reason.
pub(super) fn left_out(audit: &Value, reason: &str) -> u64 {
    let list = audit["left_out"].as_array().unwrap();
    list.iter().find(|left| left["reason"] == reason).map_or(0, |left| left["things"].as_u64().unwrap())
}

/// The demo's backup with what its plan forgets, and the shipped plan.
fn emberroot(world: &World) -> PathBuf {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    sh!(home.join("scripts/make-demo-tree").to_str().unwrap(), world.source);
    // Sizes that come in the same order on every file system.
    for (path, size) in [
        ("etc/NetworkManager/system-connections/home.nmconnection", 300_000),
        ("home/sinh/.local/share/keyrings/login.keyring", 200_000),
        ("etc/shadow", 100),
        ("home/sinh/.var/app/org.example/data/state", 100),
    ] {
        let file = world.file(path, vec![b'x'; size]);
        filetime::set_file_mtime(file, filetime::FileTime::from_unix_time(1_750_000_000, 0)).unwrap();
    }
    // As the machine's design had it.
    let shipped = std::fs::read_to_string(home.join("examples/emberroot/mapping.toml")).unwrap();
    let forgotten = ["system-connections\"", ".local/share/keyrings\"", ".var/app\""];
    let (lost, kept): (Vec<_>, Vec<_>) = shipped.lines().partition(|line| forgotten.iter().any(|f| line.contains(f)));
    assert_eq!(lost.len(), forgotten.len());
    let plan = world.path().join("mapping.toml");
    std::fs::write(&plan, kept.join("\n")).unwrap();
    plan
}

fn place(world: &World) -> [&str; 4] {
    ["--source", world.source.to_str().unwrap(), "--root", world.root.to_str().unwrap()]
}

/// Sizes are the file system's; everything else is the report's.
fn without_sizes(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut out: Vec<&str> = Vec::new();
        for word in line.split(' ') {
            let unit = ["B", "KiB", "MiB", "GiB"].contains(&word.trim_end_matches([',', ')', ';']));
            match out.last() {
                Some(last) if unit && last.trim_start_matches('(').parse::<f64>().is_ok() => {
                    *out.last_mut().unwrap() = "SIZE";
                }
                _ => out.push(word),
            }
        }
        out.retain(|word| !word.is_empty());
        words.push(out.join(" "));
    }
    words.join("\n")
}

#[test]
fn the_emberroot_plan_forgets_exactly_four_things() {
    let world = World::plain();
    let plan = emberroot(&world);
    let ran = audit(&plan, &place(&world)).exits(1);
    let expected = include_str!("emberroot.txt").replace("SOURCE", world.source.to_str().unwrap());
    let expected = expected.replace("ROOT", world.root.to_str().unwrap());
    assert_eq!(without_sizes(&ran.stdout), expected.trim_end(), "{ran}");
}

#[test]
fn all_names_what_is_left_out_and_the_size_of_each_directory() {
    let world = World::plain();
    let plan = emberroot(&world);
    let mut args = place(&world).to_vec();
    args.push("--all");
    let ran = audit(&plan, &args).exits(1);
    ran.says("/var/lib/docker/overlay2/app/merged").says("  /home/sinh/git-repos").says("  /var/lib/libvirt");
}

#[test]
fn a_plan_that_declares_everything_exits_with_0() {
    let world = World::plain();
    let plan = plan(&world, "");
    audit(&plan, &[])
        .exits(0)
        .says("nothing that looks like state would be lost")
        .says("every declared entry is there");
}

#[test]
fn what_is_of_no_weight_is_listed_and_exits_with_0() {
    let world = World::plain();
    let plan = plan(&world, "");
    world.file("home/u/.python_history", "x");
    audit(&plan, &[]).exits(0).says("history of Python").says("1 low");
}

#[test]
fn declared_and_absent_exits_with_1_by_its_need() {
    let world = World::plain();
    let optional = plan(&world, "exclude = []");
    let text = std::fs::read_to_string(&optional).unwrap();
    let with = |entry: &str| {
        world
            .plan_text(&text.replace("directories = [\"/var/log\"]", &format!("directories = [\"/var/log\", {entry}]")))
    };
    audit(&with("{ path = \"/var/lib/x\", need = \"optional\" }"), &[]).exits(0).says("optional     /var/lib/x");
    audit(&with("{ path = \"/var/lib/x\", need = \"required\" }"), &[]).exits(1).says("1 declared entry is not");
    world.file("var/lib/x", "a file");
    audit(&with("{ path = \"/var/lib/x\", need = \"optional\" }"), &[]).exits(1).says("it is a regular file");
}

#[test]
fn usage_and_refusals_as_everywhere() {
    let world = World::plain();
    audit(&world.plan_text("version = 1\nbogus = 1\n"), &[]).exits(2);
    let plan = plan(&world, "");
    audit(&plan, &["--suggest", "--format", "json"]).exits(2);
    audit(&plan, &["--source", "/does/not/exist"]).exits(3).says("cannot be opened");
}
