//! What is written for the caller: text on a terminal, and files.

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::run::{plain, run};
use std::ffi::OsStr;
use std::os::unix::fs::{FileTypeExt, symlink};

/// Reordering, a line of its own, and an escape sequence.
const HOSTILE: &str = "a\u{202e}gpj\u{2028}b\u{200f}\u{1b}[2J";
const SHOWN: &str = "a\\u{202e}gpj\\u{2028}b\\u{200f}\\u{1b}[2J";

/// JSON too, which people look at.
#[test]
fn json_shows_what_it_holds() {
    let world = World::plain();
    world.file(&format!("data/{HOSTILE}"), "x");
    let plan = world.plan("[[target]]\nto = \"/t\"\nexclude = [\"a\u{202e}b\"]\nfiles = [\"/data/*\"]\n");
    let text = std::fs::read_to_string(&plan).unwrap();
    let (head, tail) = text.split_once("[[map]]").unwrap();
    assert!(tail.contains("/data"));
    std::fs::write(&plan, head).unwrap();
    let args = ["plan", "show", "--format", "json"].map(OsStr::new);
    let ran = plain(&[&args[..], &[plan.as_os_str()]].concat()).exits(0);
    assert!(is_safe(&ran.stdout), "{ran}");
    let seen: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(seen["targets"][0]["exclude"][0], "a\u{202e}b");
}

fn is_safe(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\n' || ('\u{2028}'..='\u{202e}').contains(&c) || c == '\u{200f}')
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    need_root!();
    let world = World::ext4(64);
    world.file(&format!("data/{HOSTILE}"), "x");
    std::os::unix::net::UnixListener::bind(world.data().join(format!("{HOSTILE}.s"))).unwrap();
    let plan = world.plan("");
    let ran = run(&plan, &["--verbose"]).exits(0).says(&format!("socket not copied: /persist/data/{SHOWN}.s"));
    assert!(is_safe(&ran.stdout) && is_safe(&ran.stderr), "{ran}");
    std::fs::remove_file(world.target().join(HOSTILE)).unwrap();
    let ran = run(&plan, &["--verify-only", "--strict"]).exits(1).says(&format!("/persist/data/{SHOWN}: missing"));
    assert!(is_safe(&ran.stdout) && is_safe(&ran.stderr), "{ran}");
    let problem = ran.report["problems"].as_array().unwrap().iter().find(|p| p["kind"] == "missing").unwrap();
    assert_eq!(problem["path"], format!("/persist/data/{SHOWN}"));
    let exact = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$1\" | base64 -d", "sh", problem["path_bytes"].as_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(exact.stdout, format!("/persist/data/{HOSTILE}").as_bytes());
}

#[test]
fn a_plan_cannot_steer_the_terminal() {
    let world = World::plain();
    world.file("data/f", "x");
    let name = "\\u202e\\u001b[2J";
    let text = format!(
        "version = 1\nsource = {:?}\nroot = {:?}\n[[map]]\nname = \"{name}\"\nfrom = \"/data\"\nto = \"/x/\u{202e}\u{2066}\"\nodd = \"\u{2028}\"\n",
        world.source, world.root
    );
    let plan = world.plan_text(&text);
    let ran = plain(&[OsStr::new("plan"), OsStr::new("check"), plan.as_os_str()]).exits(2).says("printable characters");
    assert!(is_safe(&ran.stderr), "{ran}");
}

#[test]
fn a_report_replaces_a_symlink_and_streams_into_a_fifo() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let plan = world.plan("");
    let (precious, report) = (world.path().join("shadow"), world.path().join("link.json"));
    std::fs::write(&precious, "secret").unwrap();
    symlink(&precious, &report).unwrap();
    run(&plan, &["--report", report.to_str().unwrap()]).exits(2);
    let args = |at: &str| ["--plan", plan.to_str().unwrap(), "--report", at, "-q"].map(String::from);
    let ask = |at: &str| plain(&args(at).iter().map(OsStr::new).collect::<Vec<_>>());
    ask(report.to_str().unwrap()).exits(0);
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "secret");
    assert!(std::fs::symlink_metadata(&report).unwrap().is_file());
    assert!(std::fs::read_to_string(&report).unwrap().contains("\"outcome\": \"ok\""));
    assert!(ask("/dev/stdout").exits(0).stdout.contains("\"outcome\": \"ok\""));
    let fifo = world.path().join("fifo");
    crate::kit::sh!("mkfifo", fifo);
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || std::fs::read_to_string(fifo).unwrap()
    });
    ask(fifo.to_str().unwrap()).exits(0);
    assert!(reader.join().unwrap().contains("\"outcome\": \"ok\""));
    assert!(std::fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    crate::kit::sh!("chown", "1000", fifo);
    ask(fifo.to_str().unwrap()).exits(1).says("cannot write the report: Operation not permitted");
    let left = std::fs::read_dir(world.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(!left.into_iter().any(|name| name.starts_with(".persistcp")), "a temporary file stays");
}
