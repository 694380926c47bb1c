//! Declared entries that are symlinks, or lie behind one.

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::run::{Ran, plain, run};
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// A plan for the home of `u`, with `more` in its target and after it.
fn plan(world: &World, more: &str) -> PathBuf {
    world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"home\"\nfrom = \"/home/u\"\n\
         to = \"/persist/u\"\n{more}\n",
        world.source, world.root
    ))
}

fn show(plan: &Path) -> Ran {
    plain(&[OsStr::new("plan"), OsStr::new("show"), plan.as_os_str()])
}

/// Every way to look at the result once more finds nothing.
fn holds(plan: &Path) {
    let again = run(plan, &[]).exits(0);
    assert_eq!(again.total("copied"), 0, "{again}");
    for args in [&["--verify-only"][..], &["--verify-only", "--against", "source"], &["--repair"], &["--dry-run"]] {
        run(plan, args).exits(0);
    }
}

fn link(world: &World, text: &str, at: &str) {
    let at = world.source.join(at);
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    symlink(text, at).unwrap();
}

/// A home with a directory, a file, and what a user would like to have from root.
fn home() -> World {
    let world = World::ext4(64);
    for file in ["home/u/data/docs/letter", "home/u/data/rc", "root/key", "etc/shadow"] {
        world.file(file, file);
    }
    std::fs::set_permissions(world.source.join("root"), PermissionsExt::from_mode(0o700)).unwrap();
    world
}

/// systemd's own link: a directory in its place keeps the service from starting.
#[test]
fn a_link_into_private_state_names_what_to_declare_instead() {
    need_root!();
    let world = World::ext4(16);
    world.file("var/lib/private/app/state", "x");
    symlink("private/app", world.source.join("var/lib/app")).unwrap();
    let plan = world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nto = \"/persist\"\ndirectories = [\"/var/lib/app\"]\n",
        world.source, world.root
    ));
    let say = "starts only if /var/lib/private/app is declared instead";
    show(&plan).exits(0).says(say);
    run(&plan, &[]).exits(0).says(say);
    plain(&["audit", "--plan", plan.to_str().unwrap(), "--format", "json"].map(OsStr::new)).says(say);
}

#[test]
fn a_directory_is_followed_and_a_file_copied_as_a_link_and_both_are_said() {
    need_root!();
    let world = home();
    link(&world, "second", "home/u/Documents");
    link(&world, "data/../data/docs", "home/u/second");
    link(&world, "/home/u/data/rc", "home/u/.bashrc");
    link(&world, "gone", "home/u/dangling");
    link(&world, "data", "home/u/dir");
    std::fs::hard_link(world.source.join("home/u/.bashrc"), world.source.join("home/u/.zshrc")).unwrap();
    let plan = plan(&world, "directories = [\"Documents\"]\nfiles = [\".*rc\", \"dangling\", \"dir\"]");
    let followed = "symlink that leads to /home/u/data/docs, and what is there is copied";
    show(&plan).exits(0).says(followed).says("leads nowhere, and is copied as a link");
    plain(&[OsStr::new("audit"), OsStr::new("--plan"), plan.as_os_str()]).says(followed);
    run(&plan, &[]).exits(0).says(followed).says("/persist/u/.bashrc: in the backup it is a symlink");
    let at = world.persist.join("u");
    assert!(std::fs::symlink_metadata(at.join("Documents")).unwrap().is_dir());
    assert!(at.join("Documents/letter").exists());
    for (name, text) in [(".bashrc", "/home/u/data/rc"), ("dangling", "gone"), ("dir", "data")] {
        assert_eq!(std::fs::read_link(at.join(name)).unwrap(), Path::new(text));
    }
    let inode = |name: &str| std::fs::symlink_metadata(at.join(name)).unwrap().ino();
    assert_eq!(inode(".bashrc"), inode(".zshrc"), "names of one symlink");
    holds(&plan);
}

#[test]
fn what_leads_out_of_from_waits_for_the_plans_word() {
    need_root!();
    let world = home();
    link(&world, "/root", "home/u/Documents");
    link(&world, "../../etc/shadow", "home/u/cfg");
    link(&world, "/etc/nothing", "home/u/dangling");
    link(&world, "/root", "home/u/way");
    for (entry, to) in [
        ("directories = [\"Documents\"]", "/root"),
        ("files = [\"cfg\"]", "/etc/shadow"),
        ("files = [\"c*g\"]", "/etc/shadow"),
        ("files = [\"dangling\"]", "/etc/nothing"),
        ("files = [\"way/key\"]", "/root/key"),
    ] {
        let ran = run(&plan(&world, entry), &[]).exits(2).says(&format!(" to {to}, which is not inside `from`"));
        ran.says("plan.toml:").says("follow = true");
    }
    let said = "directories = [{ path = \"Documents\", follow = true }]\n\
                files = [{ path = \"cfg\", follow = false }, { path = \"way/key\", follow = true }]";
    let plan = plan(&world, said);
    run(&plan, &[]).exits(0);
    let at = world.persist.join("u");
    assert_eq!(std::fs::read_to_string(at.join("Documents/key")).unwrap(), "root/key");
    assert_eq!(std::fs::read_link(at.join("cfg")).unwrap(), Path::new("../../etc/shadow"));
    assert_eq!(std::fs::read_to_string(at.join("way/key")).unwrap(), "root/key");
    holds(&plan);
}

#[test]
fn what_was_followed_gets_no_owner_unless_the_plan_says_that_it_is_followed() {
    need_root!();
    let world = home();
    link(&world, "data/docs", "home/u/Documents");
    let fixup = "[[fixup]]\npath = \"/persist/u\"\nowner = 1000\nrecursive = true";
    let below = "[[fixup]]\npath = \"/persist/u/Documents/letter\"\nmode = \"0644\"";
    for more in [
        format!("directories = [\"Documents\"]\n{fixup}"),
        format!("directories = [\"Documents\"]\n{below}"),
        "directories = [{ path = \"Documents\", owner = 1000 }]".to_string(),
    ] {
        run(&plan(&world, &more), &[]).exits(2).says("would get its owner or mode from the plan");
    }
    let fixup = fixup.replace("/persist/u", "/persist/u/Documents");
    let plan = plan(&world, &format!("directories = [{{ path = \"Documents\", follow = true }}]\n{fixup}"));
    run(&plan, &[]).exits(0);
    assert_eq!(std::fs::metadata(world.persist.join("u/Documents/letter")).unwrap().uid(), 1000);
    holds(&plan);
}

#[test]
fn the_state_of_a_dynamic_user_keeps_its_owner() {
    need_root!();
    let world = World::ext4(64);
    let real = world.file("var/lib/private/x/db", "x").parent().unwrap().to_path_buf();
    chown(&real, Some(61184), Some(61184)).unwrap();
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o750)).unwrap();
    link(&world, "private/x", "var/lib/x");
    let plan = world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/s\"\n\
         directories = [\"/var/lib/x\"]\n",
        world.source, world.root
    ));
    run(&plan, &[]).exits(0).says("it is a symlink that leads to /var/lib/private/x");
    let meta = std::fs::symlink_metadata(world.persist.join("s/var/lib/x")).unwrap();
    assert_eq!((meta.is_dir(), meta.uid(), meta.gid(), meta.mode() & 0o7777), (true, 61184, 61184, 0o750));
    holds(&plan);
}

#[test]
fn a_symlink_on_the_way_is_said_and_what_is_not_of_the_kind_is_refused() {
    need_root!();
    let world = home();
    link(&world, "data", "home/u/way");
    link(&world, "data/rc", "home/u/file");
    link(&world, "nothing", "home/u/nothing");
    let ways = plan(&world, "directories = [\"way/docs\"]");
    run(&ways, &[]).exits(0).says("it is reached through a symlink and is at /home/u/data/docs");
    assert!(world.persist.join("u/way/docs/letter").exists());
    holds(&ways);
    run(&plan(&world, "directories = [{ path = \"way/docs\", follow = false }]"), &[]).exits(2);
    run(&plan(&world, "directories = [\"file\"]"), &["--restart"]).exits(3).says("is a regular file in the backup");
    run(&plan(&world, "directories = [\"nothing\"]"), &["--restart"]).exits(3).says("required    /home/u/nothing");
    let file = "files = [{ path = \"nothing\", follow = true }]";
    run(&plan(&world, file), &["--restart"]).exits(3).says("required    /home/u/nothing");
}

#[test]
fn a_map_of_a_symlink_waits_for_the_plans_word() {
    need_root!();
    let world = home();
    link(&world, "home/u/data", "store");
    let map = |more: &str| {
        world.plan_text(&format!(
            "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[map]]\nname = \"m\"\nfrom = \"/store\"\nto = \"/persist/store\"\n{more}",
            world.source, world.root
        ))
    };
    run(&map(""), &[]).exits(2).says("follow = true");
    run(&map("follow = true\n"), &[]).exits(0);
    assert!(world.persist.join("store/docs/letter").exists());
    holds(&map("follow = true\n"));
}
