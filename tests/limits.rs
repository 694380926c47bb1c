//! What the target or the process cannot hold: descriptors, names, sizes, links.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::mount::{Fs, Mounted};
use crate::kit::run::run;
use crate::kit::{need_root, sh, snapshot, system};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

#[test]
fn sixty_four_open_files_are_enough_for_a_deep_and_wide_tree() {
    need_root!();
    let world = World::ext4(128);
    let mut deep = String::from("data");
    for i in 0..60 {
        deep.push_str(&format!("/d{i}"));
        for side in 0..4 {
            world.file(&format!("{deep}/side{side}/f"), "beside");
        }
    }
    for i in 0..80 {
        for k in 0..15 {
            let file = world.file(&format!("data/wide{i}/a/b/c/{k}"), vec![k as u8; 100 * k]);
            let other = world.data().join(format!("d0/d1/d2/link-{i}-{k}"));
            if k % 3 == 0 {
                std::fs::hard_link(file, other).unwrap();
            }
        }
    }
    let plan = world.plan("");
    let few = |args: &str| {
        let mut shell = std::process::Command::new("sh");
        let line = format!("ulimit -n 64; exec \"$0\" --plan \"$1\" --progress none --threads 32 {args}");
        shell.arg("-c").arg(line).arg(env!("CARGO_BIN_EXE_persistcp")).arg(&plan);
        shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        crate::kit::run::wait(shell)
    };
    few("").exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    few("").exits(0).says("nothing to copy");
    for args in ["--verify-only", "--verify-only --against source", "--repair"] {
        few(args).exits(0);
    }
}

/// A target that takes names of 189 bytes: encfs.
#[test]
fn a_name_too_long_for_the_target_is_refused_with_its_path() {
    need_root!();
    let world = World::plain();
    let below = world.path().join("encrypted");
    std::fs::create_dir(&below).unwrap();
    let line = "echo secret | encfs --standard -S \"$0\" \"$1\"";
    system("sh", &["-c".as_ref(), line.as_ref(), below.as_os_str(), world.persist.as_os_str()]);
    let _target = Attached::held(&world.persist);
    let long = "n".repeat(200);
    let file = world.file(&format!("data/sub/{long}"), "x");
    world.file("data/short", "x");
    let plan = world.plan("");
    let ran = run(&plan, &[]).exits(3).says("a name has 200 bytes").says("at most 189").says("nothing was written");
    assert!(ran.stderr.contains(&format!("/data/sub/{long}")), "{ran}");
    std::fs::remove_file(file).unwrap();
    run(&plan, &[]);
    assert_eq!(std::fs::read(world.target().join("short")).unwrap(), b"x");
}

/// ntfs-3g stands for vfat and its like, where not every byte may be in a name.
#[test]
fn names_that_the_target_does_not_take_are_a_problem_each() {
    need_root!();
    let world = World::plain();
    let image = world.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    sh!("mkntfs", "-F", "-q", "-Q", image);
    sh!("ntfs-3g", "-o", "windows_names", image, world.persist);
    let _target = Attached::held(&world.persist);
    for path in ["good", "a:b", "dot.", "dir?/inside", "good dir/inside"] {
        world.file(&format!("data/{path}"), path);
    }
    let state = world.path().join("state");
    let args = ["--no-owner", "--state", state.to_str().unwrap()];
    let ran = run(&world.plan(""), &args).exits(1);
    let mut unsupported: Vec<_> = ran.problems().into_iter().filter(|(kind, _)| kind == "unsupported").collect();
    unsupported.sort();
    let names = ["a:b", "dir?", "dot."].map(|name| ("unsupported".to_string(), format!("/persist/data/{name}")));
    assert_eq!(unsupported, names, "{ran}");
    for path in ["good", "good dir/inside"] {
        assert_eq!(std::fs::read(world.target().join(path)).unwrap(), path.as_bytes());
    }
}

#[test]
fn a_file_too_large_for_the_target_is_refused_with_its_path() {
    need_root!();
    let world = World::ext4(64);
    let _source = Attached::fresh("xfs", 320, &world.path().join("source.img"), &world.data());
    world.file("data/f", "x");
    let large = world.file("data/images/disk.raw", "x");
    std::fs::File::options().write(true).open(large).unwrap().set_len(20 << 40).unwrap();
    run(&world.plan(""), &[])
        .exits(3)
        .says("a file has 20.0 TiB")
        .says("/data/images/disk.raw")
        .says("at most 16.0 TiB");
}

#[test]
fn an_attribute_too_large_for_the_target_is_a_problem_and_no_full_disk() {
    need_root!();
    let world = World::ext4(64);
    let _source = Attached::fresh("xfs", 320, &world.path().join("source.img"), &world.data());
    let file = world.file("data/f", "x");
    xattr::set(file, "user.large", &[7; 20_000]).unwrap();
    world.file("data/g", "x");
    let ran = run(&world.plan(""), &[]).exits(1);
    assert_eq!(ran.problems(), [("xattr".to_string(), "/persist/data/f".to_string())]);
    assert!(world.target().join("g").exists());
}

/// ext4 gives an inode 65 000 names.
const MOST: usize = 65_000;

#[test]
fn links_beyond_the_limit_go_to_a_further_inode_and_stay_there() {
    need_root!();
    let world = World::ext4(256);
    let _source = Attached::tmpfs("size=64M,nr_inodes=200k", &world.data());
    let first = world.file("data/0/first", "many names");
    for i in 1..MOST + 40 {
        let dir = world.data().join((i % 8).to_string());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::hard_link(&first, dir.join(i.to_string())).unwrap();
    }
    let plan = world.plan("");
    let ran = run(&plan, &[]).exits(0).says("go to a second copy");
    assert_eq!(ran.report["notes"].as_array().unwrap().len(), 1, "{ran}");
    assert_eq!(groups(&world), [40, MOST]);
    let again = run(&plan, &[]).exits(0).says("nothing to copy");
    assert_eq!(again.total("copied"), 0, "{again}");
    assert_eq!(groups(&world), [40, MOST]);
}

/// Sizes of the groups of names that share an inode, all with the content.
fn groups(world: &World) -> Vec<usize> {
    let mut inodes: BTreeMap<u64, usize> = BTreeMap::new();
    for dir in std::fs::read_dir(world.target()).unwrap() {
        for entry in std::fs::read_dir(dir.unwrap().path()).unwrap() {
            let entry = entry.unwrap();
            let names = inodes.entry(entry.metadata().unwrap().ino()).or_default();
            if *names == 0 {
                assert_eq!(std::fs::read(entry.path()).unwrap(), b"many names");
            }
            *names += 1;
        }
    }
    let mut sizes: Vec<usize> = inodes.into_values().collect();
    sizes.sort_unstable();
    sizes
}

/// ext4 knows `c`, xfs does not; both know `i`.
#[test]
fn a_flag_that_the_target_does_not_know_costs_no_other_and_is_said_every_time() {
    need_root!();
    let world = World::new("xfs", 320, &[]);
    let file = world.file("data/f", "x");
    sh!("chattr", "+c", file);
    sh!("chattr", "+i", file);
    let dir = world.data().join("dir");
    std::fs::create_dir(&dir).unwrap();
    sh!("chattr", "+d", dir);
    std::os::unix::fs::symlink("x", dir.join("link")).unwrap();
    let plan = world.plan("");
    for args in [&[][..], &[], &["--verify-only"]] {
        let ran = run(&plan, args).exits(1);
        let mut kinds: Vec<_> = ran.problems().into_iter().map(|(kind, _)| kind).collect();
        kinds.dedup();
        assert_eq!(kinds, ["flags"], "{ran}");
        let counts: u64 = ran.report["problems"].as_array().unwrap().iter().map(|p| p["count"].as_u64().unwrap()).sum();
        assert_eq!(counts, 2, "the lost c, and the symlink's d\n{ran}");
    }
    let out = std::process::Command::new("lsattr").arg(world.target().join("f")).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).split_whitespace().next().unwrap().contains('i'), "{out:?}");
    sh!("chattr", "-i", file);
}

#[test]
fn links_that_the_target_cannot_hold_are_told_by_every_run() {
    need_root!();
    let world = World::plain();
    let _exfat = Mounted::new(Fs::Exfat, &world.path().join("images"), &world.persist);
    let file = world.file("data/a", "x");
    std::fs::hard_link(&file, world.data().join("b")).unwrap();
    let plan = world.plan("");
    let links = |args: &[&str]| {
        let problems = run(&plan, args).exits(1).problems();
        problems.iter().filter(|(kind, _)| kind == "link").count()
    };
    assert_eq!([links(&[]), links(&[]), links(&["--verify-only"])], [1, 1, 1]);
    assert_eq!(std::fs::read(world.target().join("b")).unwrap(), b"x");
}
