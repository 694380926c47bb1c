//! What real programs do to a symlink in the place of their file: `check` advises by it.

use crate::kit::need_tools;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Lets `program` rewrite a file behind a symlink; true if the link is still one and the content arrived.
fn keeps_link(before: &str, program: impl FnOnce(&Path) -> Command) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (kept, link) = (dir.path().join("kept"), dir.path().join("link"));
    std::fs::write(&kept, before).unwrap();
    // Absolute, as impermanence makes it: readline takes a relative one from its working directory.
    symlink(&kept, &link).unwrap();
    let out = program(&link).env("HOME", dir.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let changed = std::fs::read_to_string(&kept).unwrap() != before;
    let is_link = std::fs::symlink_metadata(&link).unwrap().is_symlink();
    assert!(changed || !is_link, "nothing was written");
    is_link && changed
}

fn command(program: &str, args: &[&str], link: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(args).arg(link);
    command
}

#[test]
fn bash_writes_its_history_through_a_symlink() {
    need_tools!("bash");
    let script = "HISTFILE=$1; set -o history; history -s told; history -w";
    assert!(keeps_link("old\n", |link| command("bash", &["--norc", "-c", script, "bash"], link)));
}

#[test]
fn git_writes_its_settings_through_a_symlink() {
    need_tools!("git");
    assert!(keeps_link("", |link| {
        let mut git = Command::new("git");
        git.args(["config", "--file"]).arg(link).args(["user.name", "sinh"]);
        git
    }));
}

#[test]
fn python_writes_its_history_through_a_symlink() {
    need_tools!("python3");
    let script = "import readline, sys; readline.add_history('told'); readline.write_history_file(sys.argv[1])";
    assert!(keeps_link("old\n", |link| command("python3", &["-c", script], link)));
}

#[test]
fn fish_writes_its_variables_through_a_symlink() {
    need_tools!("fish");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(".config/fish");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(dir.path().join("kept"), "# VERSION: 3.0\n").unwrap();
    symlink(dir.path().join("kept"), folder.join("fish_variables")).unwrap();
    let out = Command::new("fish").args(["-c", "set -U told yes"]).env("HOME", dir.path()).output().unwrap();
    assert!(out.status.success());
    assert!(std::fs::symlink_metadata(folder.join("fish_variables")).unwrap().is_symlink());
    assert!(std::fs::read_to_string(dir.path().join("kept")).unwrap().contains("told"));
}

#[test]
fn zsh_replaces_a_symlink() {
    need_tools!("zsh");
    // Only an interactive shell has a history.
    let script = "HISTFILE=$1 HISTSIZE=9 SAVEHIST=9; print -s told; fc -W";
    assert!(!keeps_link("old\n", |link| command("zsh", &["-f", "-i", "-c", script, "zsh"], link)));
}

#[test]
fn ssh_keygen_replaces_a_symlink() {
    need_tools!("ssh-keygen");
    let key = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let known = format!("old.example ssh-ed25519 {key}\nnew.example ssh-ed25519 {key}\n");
    assert!(!keeps_link(&known, |link| command("ssh-keygen", &["-R", "old.example", "-f"], link)));
}
