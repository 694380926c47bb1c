//! The commands that rows print: what they do where a user has put a symlink since.

use super::scene::Scene;
use crate::kit::need_root;
use crate::kit::sh;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const HOME: &str = "persist/home/sinh";
const VICTIM: &str = "persist/victim";

/// A row, and what makes it fail.
type BrokenRow = (&'static str, fn(&Scene));

/// What is broken in the home.
const BROKEN: [BrokenRow; 12] = [
    ("home-parent", |s| s.own("persist/home/sinh/.local/share", 0, 0)),
    ("home-parent", |s| s.mode("persist/home/sinh/.config/sops", 0o777)),
    ("home-entry", |s| s.own("persist/home/sinh/Documents", 0, 0)),
    ("home-entry", |s| s.own("persist/home/sinh/.config/app.conf", 0, 0)),
    ("ssh-directory", |s| s.mode("persist/home/sinh/.ssh", 0o755)),
    ("ssh-key-mode", |s| s.mode("persist/home/sinh/.ssh/id_ed25519", 0o644)),
    ("ssh-key-mode", |s| s.own("persist/home/sinh/.ssh/id_ed25519", 0, 0)),
    ("ssh-key-pair", |s| {
        sh!(
            "cp",
            s.at("persist/system/etc/ssh/ssh_host_ed25519_key.pub"),
            s.at("persist/home/sinh/.ssh/id_ed25519.pub")
        );
    }),
    ("ssh-key", |s| drop(s.put("persist/home/sinh/.ssh/id_ed25519", "", 0o600))),
    ("age-key-mode", |s| s.mode("persist/home/sinh/.config/sops/age/keys.txt", 0o644)),
    ("age-key", |s| drop(s.put("persist/home/sinh/.config/sops/age/keys.txt", "", 0o600))),
    ("declared", |s| {
        s.gone("persist/home/sinh/Documents");
        s.put("persist/home/sinh/Documents", "file", 0o644);
    }),
];

/// The path and the remedy of the one row `id` that is not good.
fn broken(scene: &Scene, id: &str) -> (String, serde_json::Value) {
    let ran = scene.check(&[]).exits(1);
    let rows = ran.report["rows"].as_array().unwrap();
    let row =
        rows.iter().find(|row| row["id"] == id && row["status"] == "fail").unwrap_or_else(|| panic!("{id}\n{ran}"));
    (row["path"].as_str().unwrap().trim_start_matches('/').to_string(), row["mend"].clone())
}

fn run(command: &str) -> bool {
    // A persistcp that does nothing: what stands before it is what is asked about.
    let persistcp = "persistcp() { true; }; ";
    Command::new("bash").args(["-c", &format!("{persistcp}{command}")]).output().unwrap().status.success()
}

/// Everything below `dir` that a command could have changed.
fn state(dir: &Path) -> Vec<(PathBuf, [u32; 3], Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(path) = open.pop() {
        let stat = std::fs::symlink_metadata(&path).unwrap();
        if stat.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let content = if stat.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        found.push((path, [stat.uid(), stat.gid(), stat.mode()], content));
    }
    found.sort();
    found
}

#[test]
fn they_mend_what_is_in_a_home_and_nothing_that_a_symlink_leads_to() {
    need_root!();
    for (id, breaks) in BROKEN {
        let scene = Scene::good();
        breaks(&scene);
        let (path, mend) = broken(&scene, id);
        let command = mend["run"].as_str().unwrap_or_else(|| panic!("{id}: no command: {mend}")).to_string();
        sh!("cp", "-a", scene.at(HOME), scene.at(VICTIM));
        sh!("chown", "-hR", "0:0", scene.at(VICTIM));
        let before = state(&scene.at(VICTIM));
        let below = path.strip_prefix(&format!("{HOME}/")).unwrap();
        let names = below.matches('/').count() + 1;
        for depth in 1..=names {
            let part: Vec<&str> = below.split('/').take(depth).collect();
            let part = part.join("/");
            let (place, kept) = (scene.at(&format!("{HOME}/{part}")), scene.at("persist/kept"));
            std::fs::rename(&place, &kept).unwrap();
            symlink(scene.at(&format!("{VICTIM}/{part}")), &place).unwrap();
            let ran = run(&command);
            assert_eq!(state(&scene.at(VICTIM)), before, "{id}, {part}: {command}");
            // A link in the place of what is moved aside is moved itself.
            let is_moved = depth == names && command.contains("mv -T");
            assert_eq!(ran, is_moved, "{id}, {part}: {command}");
            sh!("rm", "-f", &place, place.with_file_name(format!("{}.aside", place.file_name().unwrap().display())));
            std::fs::rename(&kept, &place).unwrap();
            // A check that finds the link gives no command at all.
        }
        assert!(run(&command), "{id}: {command}");
        let ran = scene.check(&[]);
        let rows = ran.report["rows"].as_array().unwrap();
        let again = rows.iter().any(|row| {
            row["id"] == id
                && row["status"] == "fail"
                && row["why"].as_str().is_some_and(|why| !why.contains("not on the storage"))
        });
        assert!(!again, "{id}: {command}\n{ran}");
    }
}

#[test]
fn where_a_symlink_is_already_there_is_no_command() {
    need_root!();
    let scene = Scene::good();
    scene.own("persist/home/sinh/.local/share", 0, 0);
    std::fs::rename(scene.at("persist/home/sinh/.local"), scene.at("persist/home/sinh/elsewhere")).unwrap();
    symlink("elsewhere", scene.at("persist/home/sinh/.local")).unwrap();
    let (path, mend) = broken(&scene, "home-parent");
    assert_eq!(path, "persist/home/sinh/.local/share");
    assert!(
        mend["do"].as_str().is_some_and(|text| text.starts_with("/persist/home/sinh/.local is a symlink")),
        "{mend}"
    );
}

#[test]
fn what_was_moved_aside_before_stays() {
    need_root!();
    let scene = Scene::good();
    for key in ["persist/home/sinh/.ssh/id_ed25519", "persist/system/etc/ssh/ssh_host_ed25519_key"] {
        scene.put(&format!("{key}.aside"), "older", 0o600);
        scene.put(key, "", 0o600);
        let (path, mend) = broken(&scene, "ssh-key");
        assert_eq!(path, key);
        assert!(run(mend["run"].as_str().unwrap()), "{mend}");
        assert_eq!(std::fs::read(scene.at(&format!("{key}.aside.~1~"))).unwrap(), b"older");
        assert!(!scene.at(key).exists() && scene.at(&format!("{key}.aside")).exists());
    }
}
