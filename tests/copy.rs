//! `persistcp copy SRC… DST`.

use crate::kit::run::{Ran, command, plain, wait};
use crate::kit::{need_root, need_tools, snapshot};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory on the disk of the running system.
fn place() -> tempfile::TempDir {
    tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// `persistcp copy` in `dir` with what `line` says, and a JSON report.
fn copy_in(dir: &Path, line: &[&str]) -> Ran {
    let report = dir.with_extension("json");
    std::fs::remove_file(&report).ok();
    let mut args = vec![OsStr::new("copy"), OsStr::new("--report"), report.as_os_str()];
    args.extend(["--progress", "none"].iter().chain(line).map(OsStr::new));
    let mut command = command(&args);
    command.current_dir(dir);
    let mut ran = wait(command);
    if let Ok(text) = std::fs::read(&report) {
        ran.report = serde_json::from_slice(&text).expect("the report is JSON");
    }
    ran
}

/// What both copiers find: every type, hostile names, links within and across the sources.
fn sources(dir: &Path) {
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("a/f", "a's f");
    write("a/sub/deep/g", "a's g");
    write("a/.hidden", "h");
    write("a/new\nline", "n");
    write("b/only", "b's only");
    write("b/sub/h", "b's h");
    write("c/x/1", "c's x/1");
    write("file", "a file");
    write("other", "another file");
    std::fs::create_dir(dir.join("a/empty")).unwrap();
    symlink("sub", dir.join("a/lnk")).unwrap();
    symlink("a", dir.join("to-a")).unwrap();
    symlink("file", dir.join("to-file")).unwrap();
    symlink("nowhere", dir.join("dangling")).unwrap();
    std::fs::hard_link(dir.join("a/f"), dir.join("a/sub/f2")).unwrap();
    std::fs::hard_link(dir.join("a/f"), dir.join("b/f-too")).unwrap();
    std::fs::set_permissions(dir.join("a/sub"), PermissionsExt::from_mode(0o2750)).unwrap();
    std::fs::set_permissions(dir.join("file"), PermissionsExt::from_mode(0o640)).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, dir.join("a/fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    xattr::set(dir.join("a/f"), "user.note", b"v").unwrap();
    // Two such places may be made on both sides of a second.
    crate::kit::sh!("find", dir, "-exec", "touch", "-h", "-d", "@1600000000", "{}", "+");
    for path in ["a/f", "a/sub/deep/g", "a/sub/deep", "a/sub", "a", "b", "b/sub", "c", "file"] {
        filetime::set_file_mtime(dir.join(path), filetime::FileTime::from_unix_time(1_600_000_000, 5)).unwrap();
    }
    // What some destinations have already.
    std::fs::create_dir_all(dir.join("there/sub")).unwrap();
    std::fs::write(dir.join("there/mine"), "mine").unwrap();
    std::fs::write(dir.join("old-file"), "old").unwrap();
    for path in ["old-file", "there/mine"] {
        filetime::set_file_mtime(dir.join(path), filetime::FileTime::from_unix_time(1_500_000_000, 0)).unwrap();
    }
}

/// Takes away what only persistcp leaves.
fn without_state(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name() == Some(OsStr::new(".persistcp")) {
            std::fs::remove_dir_all(path).unwrap();
        } else if path.is_dir() && !path.is_symlink() {
            without_state(&path);
        }
    }
}

/// Directories that neither has a time to keep for: those that the destination's own names are in.
fn settle_times(dir: &Path, top: &[&str]) {
    for name in top {
        let path = dir.join(name);
        if path.is_dir() {
            filetime::set_file_mtime(path, filetime::FileTime::from_unix_time(1_700_000_000, 0)).unwrap();
        }
    }
}

/// Command lines that mean the same to both, each in a place of its own.
const LINES: &[&[&str]] = &[
    &["a/", "new"],
    &["a", "new"],
    &["a/.", "new"],
    &["./a/", "new"],
    &["a//", "new"],
    &["a", "new/"],
    &["a/", "new/"],
    &["a/", "there"],
    &["a", "there"],
    &["a", "there/"],
    &["a", "there/."],
    &["a/sub", "."],
    &["a/./sub", "there/../new"],
    &["a/sub/", "there/sub"],
    &["file", "new"],
    &["file", "new/"],
    &["file", "there"],
    &["file", "there/renamed"],
    &["file", "old-file"],
    &["to-a", "new/"],
    &["to-a/", "new"],
    &["to-a", "there"],
    &["to-file", "there"],
    &["dangling", "there"],
    &["file", "other", "new"],
    &["file", "a", "new"],
    &["a", "b", "new"],
    &["c", "b", "file", "there"],
    &["a", "a", "new"],
    &["../place/a", "new"],
];

#[test]
fn paths_mean_what_they_mean_to_rsync() {
    need_root!();
    need_tools!("rsync");
    for line in LINES {
        let place = place();
        let (ours, theirs) = (place.path().join("ours/place"), place.path().join("theirs/place"));
        for dir in [&ours, &theirs] {
            std::fs::create_dir_all(dir).unwrap();
            sources(dir);
        }
        copy_in(&ours, line).exits(0);
        let out = Command::new("rsync").arg("-aHAXS").args(*line).current_dir(&theirs).output().unwrap();
        assert!(out.status.success(), "{line:?}: {}", String::from_utf8_lossy(&out.stderr));
        let again = copy_in(&ours, line).exits(0).says("nothing to copy");
        assert_eq!(again.total("copied"), 0, "{line:?}");
        copy_in(&ours, &[line, &["--verify-only", "--against", "source"][..]].concat());
        without_state(&ours);
        for dir in [&ours, &theirs] {
            settle_times(dir, &["", "there", "there/sub", "new"]);
        }
        let out =
            Command::new("rsync").args(["-aHAXSnci", "--delete"]).arg(ours.join("")).arg(theirs.join("")).output();
        let out = out.unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        // The journal's directory may have moved the time of a destination that was there.
        assert!(out.status.success() && said.is_empty(), "{line:?}:\n{said}");
    }
}

/// Command lines that are refused with a status, and what they are told.
#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_written() {
    need_root!();
    let place = place();
    sources(place.path());
    let contents = || {
        let mut all = snapshot::take(place.path());
        all.remove(&b""[..]);
        all
    };
    let before = contents();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["absent", "new"], 3, "the source absent cannot be read: No such file or directory"),
        (&["absent/", "new"], 3, "cannot be read"),
        (&["file/", "new"], 2, "is no directory"),
        (&["a", "old-file"], 2, "is no directory; only one file"),
        (&["file", "other", "old-file"], 2, "is no directory; only one file"),
        (&["file", "old-file/"], 2, "is no directory"),
        (&["a", "no/such/parent"], 3, "only its last name is made"),
        (&["a", "/"], 2, "name a directory in it"),
        (&["a", "a/inside"], 3, "would be copied into itself"),
        (&["a/", "a/sub"], 3, "would be copied into itself"),
        (&["to-a/", "a/inside"], 3, "would be copied into itself"),
        (&["a/sub/", "a"], 3, "would write over its source"),
        (
            &["a/f", "c/x/../../a/sub/deep/../../f", "b/f-too", "b/only", "file", "a/f", "new", "--exclude", "[z-a]"],
            2,
            "--exclude",
        ),
        (&["a/", "file", "b/only", "c/", "new/x/y"], 3, "only its last name is made"),
        (&["a/", "b/", "new"], 2, "what is in a/ would be merged with b/ in "),
        (&["b", "a/", "there"], 2, "what is in a/ would be merged with b in "),
        // Nothing tells an empty directory from a disk that is not mounted.
        (&["a/empty/", "b", "there"], 2, "what is in a/empty/ would be merged with b"),
        (&["a/sub", "b/sub", "there"], 2, "/there/sub; copy one of them elsewhere"),
        (&["a", "a/sub", "there"], 2, "the source a/sub is inside the source a"),
        (&["a/sub/deep", "b", "to-a/", "there"], 2, "the source a/sub/deep is inside the source to-a/"),
        (&["a", "./a/", "there"], 2, "the source ./a/ is inside the source a"),
        (&["a/f", "a", "there"], 2, "the source a/f is inside the source a"),
        (&["a"], 2, ""),
    ];
    for (line, status, says) in cases {
        let ran = copy_in(place.path(), line).exits(*status).says(says);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains("plan") && !said.contains("backup") || says.is_empty(), "{ran}");
    }
    assert!(before == contents());
    // A tree onto itself is left as it is.
    copy_in(place.path(), &["a/sub", "a", "--state", "state"]).exits(0).says("in its place already");
    std::fs::remove_dir_all(place.path().join("state")).unwrap();
    assert!(before == contents());
}

fn write_at(path: &Path, text: &str, time: i64) {
    std::fs::write(path, text).unwrap();
    filetime::set_file_mtime(path, filetime::FileTime::from_unix_time(time, 0)).unwrap();
}

#[test]
fn what_is_newer_in_the_destination_stays_and_so_does_what_hides_behind_size_and_time() {
    need_root!();
    let place = place();
    let (src, dst) = (place.path().join("src"), place.path().join("dst"));
    for dir in [&src, &dst] {
        std::fs::create_dir(dir).unwrap();
    }
    write_at(&src.join("newer-there"), "source", 1_600_000_000);
    write_at(&dst.join("newer-there"), "target", 1_600_000_001);
    write_at(&src.join("older-there"), "source", 1_600_000_001);
    write_at(&dst.join("older-there"), "target", 1_600_000_000);
    write_at(&src.join("hidden"), "source", 1_600_000_000);
    write_at(&dst.join("hidden"), "target", 1_600_000_000);
    write_at(&src.join("same"), "source", 1_600_000_000);
    write_at(&dst.join("same"), "source", 1_600_000_000);
    write_at(&dst.join("mine"), "target", 1_600_000_000);
    let line = ["src/", "dst"];
    let foreseen = copy_in(place.path(), &[&line[..], &["--dry-run", "-v"]].concat()).exits(0);
    let kept = |ran: &Ran| ran.stdout.lines().filter(|line| line.starts_with("kept\t")).count();
    assert_eq!(kept(&foreseen), 2, "{foreseen}");
    for again in [false, true] {
        let ran = copy_in(place.path(), &line).exits(1);
        let mut problems = ran.problems();
        problems.sort();
        let changed = |name: &str| ("changed-target".to_string(), format!("/dst/{name}"));
        assert_eq!(problems, [changed("hidden"), changed("newer-there")], "again: {again}\n{ran}");
        let read = |name: &str| std::fs::read_to_string(dst.join(name)).unwrap();
        let all = ["newer-there", "older-there", "hidden", "same", "mine"].map(read);
        assert_eq!(all, ["target", "source", "target", "source", "target"]);
        assert!(!ran.stdout.contains("plan") && !ran.stdout.contains("backup"), "{ran}");
    }
    copy_in(place.path(), &[&line[..], &["--overwrite"]].concat()).exits(0);
    assert_eq!(std::fs::read_to_string(dst.join("hidden")).unwrap(), "source");
    assert_eq!(std::fs::read_to_string(dst.join("newer-there")).unwrap(), "source");
    copy_in(place.path(), &line).exits(0).says("nothing to copy");
}

#[test]
fn a_later_run_copies_what_changed_and_names_or_removes_what_is_gone() {
    need_root!();
    let place = place();
    sources(place.path());
    let line = ["a", "new"];
    copy_in(place.path(), &line).exits(0);
    std::fs::remove_file(place.path().join("a/sub/deep/g")).unwrap();
    std::fs::write(place.path().join("a/.hidden"), "changed").unwrap();
    let ran = copy_in(place.path(), &line).exits(1);
    assert_eq!(ran.problems(), [("stale".to_string(), "/new/a/sub/deep/g".to_string())], "{ran}");
    assert_eq!(std::fs::read(place.path().join("new/a/.hidden")).unwrap(), b"changed");
    copy_in(place.path(), &[&line[..], &["--delete"]].concat()).exits(0);
    snapshot::assert_same(&place.path().join("a"), &place.path().join("new/a"));
    copy_in(place.path(), &[&line[..], &["--verify-only"]].concat()).exits(0);
    // Damage that shows by nothing but the content is found and mended.
    let file = place.path().join("new/a/.hidden");
    let time = filetime::FileTime::from_last_modification_time(&file.metadata().unwrap());
    std::fs::write(&file, "CHANGED").unwrap();
    filetime::set_file_mtime(&file, time).unwrap();
    copy_in(place.path(), &[&line[..], &["--verify-only"]].concat()).exits(1);
    copy_in(place.path(), &[&line[..], &["--repair", "--overwrite"]].concat()).exits(0);
    snapshot::assert_same(&place.path().join("a"), &place.path().join("new/a"));
}

#[test]
fn the_copy_can_be_verified_without_its_source_and_goes_on_from_where_that_is_mounted_next() {
    need_root!();
    let place = place();
    sources(place.path());
    let line = ["a/", "new"];
    copy_in(place.path(), &line).exits(0);
    std::fs::rename(place.path().join("a"), place.path().join("elsewhere")).unwrap();
    copy_in(place.path(), &[&line[..], &["--verify-only"]].concat()).exits(0);
    copy_in(place.path(), &line).exits(3).says("the source a/ cannot be read");
    let ran = copy_in(place.path(), &["elsewhere/", "new"]).exits(0).says("nothing to copy");
    assert_eq!(ran.total("copied"), 0, "{ran}");
    // Another tree is no continuation: what the first one brought is not missed.
    let ran = copy_in(place.path(), &["b/", "new"]).exits(0);
    assert_eq!(ran.problems(), [], "{ran}");
    assert_eq!(std::fs::read(place.path().join("new/f")).unwrap(), b"a's f");
}

#[test]
fn a_killed_copy_is_resumed_by_the_same_command() {
    need_root!();
    let place = place();
    for i in 0..400 {
        let dir = place.path().join(format!("src/{}", i % 7));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(i.to_string()), vec![i as u8; 5000]).unwrap();
    }
    for call in ["create:40", "write:170", "chmod:120"] {
        let held = place.path().join("held");
        let args: Vec<_> = ["copy", "src", "dst", "--progress", "none"].map(OsStr::new).to_vec();
        let mut command = command(&args);
        command.current_dir(place.path()).env("PERSISTCP_FAULT", format!("{call}:hold={}", held.display()));
        let mut child = command.spawn().unwrap();
        while !held.exists() {
            assert!(child.try_wait().unwrap().is_none(), "{call}: it ended before that");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_file(&held).unwrap();
    }
    let ran = copy_in(place.path(), &["src", "dst"]).exits(0);
    assert_eq!(ran.problems(), [], "{ran}");
    snapshot::assert_same(&place.path().join("src"), &place.path().join("dst/src"));
    copy_in(place.path(), &["src", "dst", "--verify-only"]).exits(0);
}

#[test]
fn patterns_are_anchored_at_each_source() {
    need_root!();
    let place = place();
    sources(place.path());
    let exclude = ["--exclude", "/sub", "--exclude", "f"];
    for (line, gone, there) in
        [(["a/", "new1"], "new1/sub", "new1/empty"), (["a", "new2"], "new2/a/sub", "new2/a/empty")]
    {
        copy_in(place.path(), &[&line[..], &exclude].concat()).exits(0);
        assert!(!place.path().join(gone).exists() && place.path().join(there).exists(), "{line:?}");
    }
    let inode = |path: PathBuf| path.metadata().unwrap().ino();
    copy_in(place.path(), &["a", "b", "new4"]).exits(0);
    assert_eq!(inode(place.path().join("new4/a/f")), inode(place.path().join("new4/b/f-too")));
}

#[test]
fn on_a_disk_of_its_own_the_journal_is_at_its_top_and_goes_with_it() {
    need_root!();
    let world = crate::kit::disk::World::ext4(32);
    sources(&world.source);
    let (here, there) = (world.root.join("persist"), world.root.join("moved"));
    let target = here.join("kept/copies");
    std::fs::create_dir(here.join("kept")).unwrap();
    let run = |src: &Path, dst: &Path, args: &[&str]| {
        let mut all = vec![OsStr::new("copy"), src.as_os_str(), dst.as_os_str()];
        all.extend(["--progress", "none"].iter().chain(args).map(OsStr::new));
        plain(&all)
    };
    run(&world.source.join("a"), &target, &[]).exits(0);
    assert!(here.join(".persistcp").is_dir() && !target.join(".persistcp").exists());
    std::fs::create_dir(&there).unwrap();
    crate::kit::sh!("mount", "--move", here, there);
    let moved = there.join("kept/copies");
    let second = run(&world.source.join("a"), &moved, &[]);
    let verified = run(Path::new("/absent/a"), &moved, &["--verify-only"]);
    crate::kit::sh!("mount", "--move", there, here);
    second.exits(0).says("nothing to copy");
    // Nothing is known of a source that was never copied.
    verified.exits(3).says("there is no journal");
    let slash = OsStr::from_bytes(b"/");
    plain(&[OsStr::new("copy"), world.source.join("a").as_os_str(), slash]).exits(2);
}

#[test]
fn a_disk_that_is_the_destination_is_the_same_wherever_it_is_mounted() {
    need_root!();
    let world = crate::kit::disk::World::ext4(32);
    let (here, there) = (world.persist.clone(), world.root.join("moved"));
    std::fs::create_dir(&there).unwrap();
    let source = world.source.join("s");
    for name in ["removed", "gone", "restored", "as-it-was"] {
        world.file(&format!("s/{name}"), name);
    }
    let slash = source.join("");
    for (src, copy) in [(&source, "s/"), (&slash, "")] {
        for name in ["removed", "gone", "restored"] {
            world.file(&format!("s/{name}"), name);
        }
        let run = |dst: &Path| {
            let dst = dst.join("");
            let args = [src.as_os_str(), dst.as_os_str(), OsStr::new("--progress"), OsStr::new("none")];
            plain(&[&[OsStr::new("copy")], &args[..]].concat())
        };
        run(&here).exits(0);
        let at = |dir: &Path, name: &str| dir.join(copy).join(name);
        std::fs::remove_file(at(&here, "removed")).unwrap();
        write_at(&at(&here, "restored"), "an older state", 946_684_800);
        std::fs::remove_file(source.join("gone")).unwrap();
        crate::kit::sh!("mount", "--move", here, there);
        let ran = run(&there);
        let (restored, removed) = (std::fs::read(at(&there, "restored")), at(&there, "removed").exists());
        crate::kit::sh!("mount", "--move", there, here);
        assert!(restored.unwrap() == b"an older state" && !removed, "{ran}");
        if copy.is_empty() {
            // Its paths begin with the name of the mount point.
            ran.exits(3).says("from when it was named persist");
        } else {
            let gone = format!("\n  {}/s/gone: stale", there.canonicalize().unwrap().display());
            ran.exits(1).says(&gone).says("/s/restored: changed-target");
        }
        run(&here).exits(1).says("gone: stale");
    }
}

#[test]
fn a_source_that_was_a_target_is_copied_without_its_journal_and_other_state_is_not_passed_over() {
    need_root!();
    let place = place();
    sources(place.path());
    let at = |path: &str| place.path().join(path);
    copy_in(place.path(), &["b/", "disk"]).exits(0);
    for options in [&["--dry-run"][..], &[], &[], &["--verify-only"], &["--verify-only", "--against", "source"]] {
        let ran = copy_in(place.path(), &[&["disk/", "second"], options].concat()).exits(0);
        ran.says("/disk/.persistcp: the journal of a copy, no part of the tree, was left out");
    }
    // It is no part of either tree.
    let name = |path: &str| at(path).join(".persistcp");
    let verify = |one: &str, two: &str| {
        let slash = at(one).join("");
        plain(&[OsStr::new("verify"), slash.as_os_str(), at(two).as_os_str()])
    };
    settle_times(place.path(), &["disk", "second", "b"]);
    for (one, two) in [("b", "disk"), ("disk", "b"), ("disk", "second")] {
        verify(one, two).exits(0).says(".persistcp: the journal of a copy");
    }
    // Without a database it is anybody's.
    std::fs::create_dir(name("b")).unwrap();
    std::fs::write(name("b").join("x"), "x").unwrap();
    settle_times(place.path(), &["b"]);
    verify("b", "disk").exits(1).says("/.persistcp/x: missing");
    std::fs::remove_dir_all(name("disk")).unwrap();
    settle_times(place.path(), &["disk"]);
    verify("b", "disk").exits(1).says("/.persistcp: missing");
    verify("disk", "b").exits(1).says("/.persistcp: extra");
    std::fs::rename(name("b"), at("b/lost+found")).unwrap();
    settle_times(place.path(), &["b"]);
    verify("b", "disk").exits(1).says("/lost+found: missing");
    verify("disk", "b").exits(1).says("/lost+found: extra");
}

#[test]
fn what_mkfs_makes_is_passed_over_only_while_it_is_empty() {
    need_root!();
    let world = crate::kit::disk::World::ext4(32);
    world.file("f", "f");
    filetime::set_file_mtime(world.source.join("f"), filetime::FileTime::from_unix_time(1_600_000_000, 0)).unwrap();
    crate::kit::sh!("cp", "-p", world.source.join("f"), &world.persist);
    let lost = world.persist.join("lost+found");
    let both = || {
        let tops = [&world.source, &world.persist];
        for top in tops {
            filetime::set_file_mtime(top, filetime::FileTime::from_unix_time(1_700_000_000, 0)).unwrap();
        }
        let (one, two) = (tops[0].join(""), tops[1].join(""));
        [(&one, &two), (&two, &one)].map(|(a, b)| plain(&[OsStr::new("verify"), a.as_os_str(), b.as_os_str()]))
    };
    std::fs::set_permissions(&world.source, world.persist.metadata().unwrap().permissions()).unwrap();
    for ran in both() {
        ran.exits(0);
    }
    std::fs::write(lost.join("#12"), "saved").unwrap();
    let [there, back] = both();
    there.exits(1).says("/lost+found: extra");
    back.exits(1).says("/lost+found: missing");
    std::fs::remove_file(lost.join("#12")).unwrap();
    // Its copy is not missed.
    crate::kit::sh!("cp", "-a", &lost, &world.source);
    for ran in both() {
        ran.exits(0);
    }
    std::fs::remove_dir(world.source.join("lost+found")).unwrap();
    // A directory of that name elsewhere is like any other.
    std::fs::create_dir(world.source.join("lost+found")).unwrap();
    for ran in both() {
        ran.exits(1).says("/lost+found: mode");
    }
}

#[test]
fn advice_does_not_promise_what_no_run_does() {
    need_root!();
    let place = place();
    sources(place.path());
    let line = ["a", "new"];
    copy_in(place.path(), &line).exits(0);
    std::fs::remove_file(place.path().join("a/sub/deep/g")).unwrap();
    std::fs::write(place.path().join("new/a/sub/deep/g"), "changed on the target").unwrap();
    let ran = copy_in(place.path(), &line).exits(1).says("--delete removes it unless somebody has changed it");
    assert!(!ran.stdout.contains("mend the causes"), "{ran}");
    let root = place.path().canonicalize().unwrap();
    // Nobody has named the directory that a path could be below.
    ran.says(&format!("problems:\n  {}/new/a/sub/deep/g: stale", root.display()));
    let ran = copy_in(place.path(), &[&line[..], &["--verify-only", "--strict"]].concat()).exits(1);
    ran.says("--overwrite replaces it if the source has it still");
    copy_in(place.path(), &["a/fifo", "new/renamed"]).exits(1).says("only a directory or a regular file");
}
