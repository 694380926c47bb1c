//! `--suggest`: what it prints, pasted back, is enough.

use super::{audit, emberroot, place, plan};
use crate::kit::disk::World;
use crate::kit::dress::mode;
use std::path::Path;

/// Puts the entries for the plan where their comments say, as a person would.
fn paste(plan: &Path, suggestion: &str) {
    let mut text = std::fs::read_to_string(plan).unwrap();
    let mut at = None;
    for line in suggestion.lines() {
        if let Some((name, key)) = line.strip_prefix("# target ").and_then(|rest| rest.split_once(": add to ")) {
            let target = text.find(&format!("name = \"{name}\"")).unwrap();
            let list = format!("{key} = [");
            at = Some(target + text[target..].find(&list).unwrap() + list.len());
        } else if let Some(at) = at.filter(|_| line.starts_with("  { path")) {
            text.insert_str(at, &format!("\n{line}\n"));
        } else {
            at = None;
        }
    }
    std::fs::write(plan, text).unwrap();
}

#[test]
fn pasted_into_the_shipped_plan_the_next_audit_is_silent() {
    let world = World::plain();
    let plan = emberroot(&world);
    let mut args = place(&world).to_vec();
    args.push("--suggest");
    let ran = audit(&plan, &args).exits(1);
    paste(&plan, &ran.stdout);
    // NixOS writes it first at each boot: no entry could keep it.
    assert!(ran.stdout.contains("# By hand:\n#   /etc/shadow: set users.users.NAME.hashedPasswordFile"), "{ran}");
    std::fs::remove_file(world.source.join("etc/shadow")).unwrap();
    audit(&plan, &args).exits(0).says("nothing to add");
    audit(&plan, &place(&world)).exits(0).says("nothing that looks like state would be lost");
}

#[test]
fn hostile_names_make_the_round_trip() {
    let world = World::plain();
    let plan = plan(&world, "");
    for path in
        ["home/u/a*b/f", "home/u/.q\"uote/f", "home/u/ba\\ck/f", "var/lib/[x]{y}/f", "var/lib/${z}/f", "srv/ü ü"]
    {
        world.file(path, "x");
    }
    let ran = audit(&plan, &["--suggest"]).exits(1);
    paste(&plan, &ran.stdout);
    audit(&plan, &["--suggest"]).exits(0).says("nothing to add");
}

#[test]
fn nix_gets_mode_and_owner_where_they_are_not_the_usual() {
    let world = World::plain();
    let plan = plan(&world, "");
    world.file("var/lib/iwd/net.psk", "x");
    mode(&world.source.join("var/lib/iwd"), 0o700);
    world.file("home/u/.ssh/id", "x");
    mode(&world.source.join("home/u/.ssh"), 0o700);
    audit(&plan, &["--suggest"])
        .exits(1)
        .says("environment.persistence.\"/persist/system\" = {")
        .says("directory = \"/var/lib/iwd\";")
        .says("environment.persistence.\"/persist\" = {\n  users.\"u\" = {")
        .says("{ directory = \".ssh\"; mode = \"0700\"; }");
}
