//! `persistcp verify SRC DST`: two trees, and what differs.

use crate::kit::dress::{ACCESS, DEFAULT, acl, capability};
use crate::kit::random::Random;
use crate::kit::run::{Ran, plain};
use crate::kit::tree::Tree;
use crate::kit::{need_root, sh};
use filetime::{FileTime, set_symlink_file_times};
use rustix::fs::{CWD, FileType, mknodat};
use std::ffi::OsStr;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;

fn place() -> tempfile::TempDir {
    tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// `persistcp verify ONE/ TWO args`, with its JSON.
fn verify(one: &Path, two: &Path, args: &[&str]) -> Ran {
    let report = two.with_extension("json");
    std::fs::remove_file(&report).ok();
    let slash = one.join("");
    let mut all = vec![OsStr::new("verify"), slash.as_os_str(), two.as_os_str(), OsStr::new("--report")];
    all.push(report.as_os_str());
    all.extend(args.iter().map(OsStr::new));
    let mut ran = plain(&all);
    if let Ok(text) = std::fs::read(&report) {
        ran.report = serde_json::from_slice(&text).expect("the report is JSON");
    }
    ran
}

/// Without opening it: that would wait at a FIFO.
fn set_file_mtime(path: impl AsRef<Path>, time: FileTime) -> std::io::Result<()> {
    set_symlink_file_times(path, time, time)
}

/// A tree with one of everything, at `top`.
fn grow(top: &Path) {
    std::fs::create_dir_all(top.join("dir/below")).unwrap();
    std::fs::write(top.join("file"), "content").unwrap();
    std::fs::write(top.join("dir/below/deep"), vec![3; 200_000]).unwrap();
    std::fs::write(top.join("large"), vec![5; 9 << 20]).unwrap();
    std::fs::write(top.join("one"), "1").unwrap();
    std::fs::hard_link(top.join("one"), top.join("two")).unwrap();
    std::fs::write(top.join("alone"), "1").unwrap();
    symlink("file", top.join("link")).unwrap();
    mknodat(CWD, top.join("fifo"), FileType::Fifo, 0o600.into(), 0).unwrap();
    mknodat(CWD, top.join("device"), FileType::CharacterDevice, 0o600.into(), rustix::fs::makedev(1, 3)).unwrap();
    let sparse = std::fs::File::create(top.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    sparse.write_all_at(b"end", (1 << 20) - 3).unwrap();
    xattr::set(top.join("file"), "user.kept", b"v").unwrap();
    xattr::set(top.join("file"), "trusted.kept", b"v").unwrap();
    xattr::set(top.join("file"), ACCESS, &acl(6, &[(1234, 4)], 4, &[], 0)).unwrap();
    xattr::set(top.join("dir"), DEFAULT, &acl(7, &[(1234, 5)], 5, &[], 0)).unwrap();
    sh!("chattr", "+d", top.join("dir/below/deep"));
    let names = ["file", "dir/below/deep", "large", "one", "alone", "sparse", "dir/below", "dir", "fifo", "device"];
    for name in names {
        set_file_mtime(top.join(name), FileTime::from_unix_time(1_600_000_000, 7)).unwrap();
    }
    let time = FileTime::from_unix_time(1_600_000_000, 7);
    set_symlink_file_times(top.join("link"), time, time).unwrap();
    set_file_mtime(top, time).unwrap();
}

/// Does something with a file and gives all directories their times back.
fn with_times(top: &Path, change: impl FnOnce(&Path)) {
    let dirs = ["dir/below", "dir", ""];
    let times = dirs.map(|dir| FileTime::from_last_modification_time(&top.join(dir).symlink_metadata().unwrap()));
    change(top);
    for (dir, time) in dirs.iter().zip(times) {
        if top.join(dir).is_dir() {
            set_file_mtime(top.join(dir), time).unwrap();
        }
    }
}

fn rewrite(path: &Path, content: &[u8]) {
    let time = FileTime::from_last_modification_time(&path.metadata().unwrap());
    std::fs::write(path, content).unwrap();
    set_file_mtime(path, time).unwrap();
}

type Change = fn(&Path);

/// Kinds with paths.
type Told = &'static [(&'static str, &'static str)];

/// A change of the second tree, and what is said of it.
const CHANGES: &[(&str, Change, Told)] = &[
    ("nothing", |_| {}, &[]),
    ("content", |t| rewrite(&t.join("file"), b"CONTENT"), &[("content", "/file")]),
    (
        "a byte deep in a directory",
        |t| {
            let file = std::fs::OpenOptions::new().write(true).open(t.join("dir/below/deep")).unwrap();
            let time = FileTime::from_last_modification_time(&file.metadata().unwrap());
            file.write_all_at(&[4], 199_999).unwrap();
            set_file_mtime(t.join("dir/below/deep"), time).unwrap();
        },
        &[("content", "/dir/below/deep")],
    ),
    (
        "the last byte of a large file",
        |t| {
            let file = std::fs::OpenOptions::new().write(true).open(t.join("large")).unwrap();
            file.write_all_at(&[4], (9 << 20) - 1).unwrap();
            set_file_mtime(t.join("large"), FileTime::from_unix_time(1_600_000_000, 7)).unwrap();
        },
        &[("content", "/large")],
    ),
    ("size", |t| rewrite(&t.join("file"), b"content and more"), &[("size", "/file")]),
    (
        "mtime",
        |t| set_file_mtime(t.join("file"), FileTime::from_unix_time(1_600_000_000, 8)).unwrap(),
        &[("mtime", "/file")],
    ),
    ("mtime of a directory", |t| set_file_mtime(t.join("dir/below"), FileTime::from_unix_time(1, 0)).unwrap(), &[]),
    (
        "mtime of a symlink",
        |t| {
            let time = FileTime::from_unix_time(1, 0);
            set_symlink_file_times(t.join("link"), time, time).unwrap();
        },
        &[("mtime", "/link")],
    ),
    (
        "mode",
        |t| std::fs::set_permissions(t.join("large"), PermissionsExt::from_mode(0o4644)).unwrap(),
        &[("mode", "/large")],
    ),
    (
        "mode of a directory",
        |t| std::fs::set_permissions(t.join("dir/below"), PermissionsExt::from_mode(0o1755)).unwrap(),
        &[("mode", "/dir/below")],
    ),
    ("mode of the top", |t| std::fs::set_permissions(t, PermissionsExt::from_mode(0o711)).unwrap(), &[("mode", "/")]),
    ("owner", |t| chown(t.join("alone"), Some(7), None).unwrap(), &[("owner", "/alone")]),
    ("group of a symlink", |t| lchown(t.join("link"), None, Some(7)).unwrap(), &[("group", "/link")]),
    ("another attribute", |t| xattr::set(t.join("large"), "user.more", b"x").unwrap(), &[("xattr", "/large")]),
    ("another value", |t| xattr::set(t.join("file"), "user.kept", b"w").unwrap(), &[("xattr", "/file")]),
    ("one attribute less", |t| xattr::remove(t.join("file"), "trusted.kept").unwrap(), &[("xattr", "/file")]),
    (
        "a capability",
        |t| xattr::set(t.join("large"), "security.capability", &capability(1, true)).unwrap(),
        &[("xattr", "/large")],
    ),
    (
        "an access ACL",
        |t| xattr::set(t.join("file"), ACCESS, &acl(6, &[(1235, 4)], 4, &[], 0)).unwrap(),
        &[("acl", "/file")],
    ),
    ("a default ACL", |t| xattr::remove(t.join("dir"), DEFAULT).unwrap(), &[("acl", "/dir")]),
    ("one flag less", |t| sh!("chattr", "-d", t.join("dir/below/deep")), &[("flags", "/dir/below/deep")]),
    ("one flag more", |t| sh!("chattr", "+A", t.join("large")), &[("flags", "/large")]),
    (
        "a symlink's text",
        |t| {
            std::fs::remove_file(t.join("link")).unwrap();
            symlink("fil", t.join("link")).unwrap();
            let time = FileTime::from_unix_time(1_600_000_000, 7);
            set_symlink_file_times(t.join("link"), time, time).unwrap();
        },
        &[("target", "/link")],
    ),
    (
        "a device's number",
        |t| {
            std::fs::remove_file(t.join("device")).unwrap();
            mknodat(CWD, t.join("device"), FileType::CharacterDevice, 0o600.into(), rustix::fs::makedev(1, 5)).unwrap();
            set_file_mtime(t.join("device"), FileTime::from_unix_time(1_600_000_000, 7)).unwrap();
        },
        &[("type", "/device")],
    ),
    (
        "a file for a FIFO",
        |t| {
            std::fs::remove_file(t.join("fifo")).unwrap();
            std::fs::write(t.join("fifo"), "").unwrap();
        },
        &[("type", "/fifo")],
    ),
    (
        "a file for a directory",
        |t| {
            std::fs::remove_dir_all(t.join("dir")).unwrap();
            std::fs::write(t.join("dir"), "").unwrap();
        },
        &[("type", "/dir")],
    ),
    (
        "a directory for a symlink",
        |t| {
            std::fs::remove_file(t.join("link")).unwrap();
            std::fs::create_dir(t.join("link")).unwrap();
        },
        &[("type", "/link")],
    ),
    ("a name less", |t| std::fs::remove_file(t.join("alone")).unwrap(), &[("missing", "/alone")]),
    ("a directory less", |t| std::fs::remove_dir_all(t.join("dir/below")).unwrap(), &[("missing", "/dir/below")]),
    ("a name more", |t| std::fs::write(t.join("dir/more"), "").unwrap(), &[("extra", "/dir/more")]),
    ("a directory more", |t| std::fs::create_dir_all(t.join("dir/more/deeper")).unwrap(), &[("extra", "/dir/more")]),
    ("a socket more", |t| drop(std::os::unix::net::UnixListener::bind(t.join("s")).unwrap()), &[("extra", "/s")]),
    (
        "a link that is none",
        |t| {
            std::fs::remove_file(t.join("two")).unwrap();
            sh!("cp", "-p", t.join("one"), t.join("two"));
        },
        &[("link", "/two")],
    ),
    (
        "a link that was none",
        |t| {
            std::fs::remove_file(t.join("alone")).unwrap();
            std::fs::hard_link(t.join("one"), t.join("alone")).unwrap();
        },
        &[("link", "/one")],
    ),
    (
        "denser",
        |t| {
            let time = FileTime::from_last_modification_time(&t.join("sparse").metadata().unwrap());
            let content = std::fs::read(t.join("sparse")).unwrap();
            std::fs::write(t.join("sparse"), content).unwrap();
            set_file_mtime(t.join("sparse"), time).unwrap();
        },
        &[("holes", "/sparse")],
    ),
    (
        "sparser",
        |t| {
            let path = t.join("zeros");
            std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
            set_file_mtime(&path, FileTime::from_unix_time(1_600_000_000, 7)).unwrap();
        },
        &[("holes", "/zeros")],
    ),
];

#[test]
fn each_single_change_is_named_and_nothing_else() {
    need_root!();
    assert!(CHANGES.len() > 30);
    for (what, change, expected) in CHANGES {
        let place = place();
        let (one, two) = (place.path().join("one"), place.path().join("two"));
        for top in [&one, &two] {
            grow(top);
        }
        if *what == "sparser" {
            let path = one.join("zeros");
            with_times(&one, |_| {
                std::fs::write(&path, vec![0; 1 << 20]).unwrap();
                set_file_mtime(&path, FileTime::from_unix_time(1_600_000_000, 7)).unwrap();
            });
        }
        with_times(&two, change);
        let is_content = matches!(expected, [("content", _)]);
        if *what == "mtime of a directory" {
            set_file_mtime(two.join("dir/below"), FileTime::from_unix_time(1, 0)).unwrap();
            let ran = verify(&one, &two, &[]).exits(1);
            assert_eq!(ran.problems(), [("mtime".to_string(), "/dir/below".to_string())], "{ran}");
            continue;
        }
        let status = i32::from(!expected.is_empty());
        for args in [&[][..], &["--metadata-only"], &["--threads", "1"]] {
            let metadata_only = args == ["--metadata-only"];
            let status = if metadata_only && is_content { 0 } else { status };
            let ran = verify(&one, &two, args).exits(status);
            let mut found = ran.problems();
            found.sort();
            let mut expected: Vec<_> =
                expected.iter().map(|(kind, path)| ((*kind).to_string(), (*path).to_string())).collect();
            if status == 0 {
                expected.clear();
            }
            expected.sort();
            assert_eq!(found, expected, "{what} {args:?}\n{ran}");
        }
        if is_content {
            verify(&one, &two, &[]).says("the content differs, first in the byte at offset");
        }
    }
}

#[test]
fn copies_of_random_trees_are_the_same_whoever_made_them() {
    need_root!();
    for seed in 0..20 {
        let place = place();
        let (one, two, three) = (place.path().join("one"), place.path().join("two"), place.path().join("three"));
        Tree::grow(&one, &mut Random::new(seed));
        sh!("cp", "-a", &one, &two);
        // cp keeps no flags; what it makes of holes is its own.
        let ran = verify(&one, &two, &[]);
        let others: Vec<_> =
            ran.problems().into_iter().filter(|(kind, _)| kind != "flags" && kind != "holes").collect();
        assert_eq!(others, [], "seed {seed}\n{ran}");
        let args = ["copy", one.join("").to_str().unwrap(), three.to_str().unwrap(), "-q", "--progress", "none"]
            .map(String::from);
        plain(&args.iter().map(OsStr::new).collect::<Vec<_>>());
        let ran = verify(&one, &three, &[]).exits(0);
        assert!(ran.total("entries") > 5 && ran.report["medium"] == "direct", "{ran}");
        // It fails at what has no flags.
        std::process::Command::new("chattr").args(["-R", "-f", "-ia"]).arg(place.path()).status().unwrap();
    }
}

#[test]
fn paths_mean_what_they_mean_to_copy_and_what_cannot_be_compared_is_refused() {
    need_root!();
    let place = place();
    let (src, dst) = (place.path().join("src"), place.path().join("dst"));
    std::fs::create_dir_all(src.join("sub")).unwrap();
    std::fs::write(src.join("sub/file"), "x").unwrap();
    sh!("cp", "-a", src.join("."), &dst);
    let at = |line: [&Path; 2], args: &[&str]| {
        let mut all = vec![OsStr::new("verify"), line[0].as_os_str(), line[1].as_os_str()];
        all.extend(args.iter().map(OsStr::new));
        plain(&all)
    };
    at([&src.join(""), &dst], &[]).exits(0).says("the same as");
    at([&src.join("sub"), &dst], &[]).exits(0);
    at([&src.join("sub/file"), &dst.join("sub/file")], &[]).exits(0).says("1 entry, 1 file");
    at([&src.join("sub/file"), &dst.join("sub")], &[]).exits(0);
    at([&src, &dst], &[]).exits(1).says("the source has it, the target has not");
    at([&src.join("sub/absent"), &dst], &[]).exits(3).says("cannot be read");
    at([&src.join("sub/file/"), &dst], &[]).exits(2).says("is no directory");
    at([&src.join(""), &dst.join("no/such")], &[]).exits(3);
    std::fs::write(dst.join("sub/more\u{1b}"), "").unwrap();
    at([&src.join(""), &dst], &["--exclude", "more*", "--exclude", "/sub"]).exits(0);
    let ran = at([&src.join(""), &dst], &["--format", "json"]).exits(1);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let problems = report["problems"].as_array().unwrap();
    assert!(problems.iter().any(|p| p["kind"] == "extra" && p["path"] == "/sub/more\\u{1b}"), "{ran}");
    let before = (dst.join("sub").metadata().unwrap().ctime(), dst.join("sub/file").metadata().unwrap().atime());
    at([&src.join(""), &dst], &["-q"]).exits(1);
    assert_eq!(before, (dst.join("sub").metadata().unwrap().ctime(), dst.join("sub/file").metadata().unwrap().atime()));
}

#[test]
fn without_owners_only_what_depends_on_them_is_passed_over() {
    need_root!();
    let dir = place();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let file = |top: &Path, name: &str, (uid, gid, mode): (u32, u32, u32)| {
        let path = top.join(name);
        std::fs::create_dir_all(top).unwrap();
        std::fs::write(&path, name).unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        set_file_mtime(&path, FileTime::from_unix_time(1_600_000_000, 7)).unwrap();
    };
    for (name, here, there) in [
        ("owned", (7, 8, 0o644), (0, 0, 0o644)),
        ("lends", (7, 8, 0o6755), (0, 0, 0o755)),
        ("lost", (0, 0, 0o4755), (0, 0, 0o755)),
        ("wider", (7, 8, 0o640), (0, 0, 0o644)),
    ] {
        file(&one, name, here);
        file(&two, name, there);
    }
    for top in [&one, &two] {
        set_file_mtime(top, FileTime::from_unix_time(1_600_000_000, 7)).unwrap();
    }
    let ran = verify(&one, &two, &["--no-owner"]).exits(1).says("owners and groups were not compared");
    let mut problems = ran.problems();
    problems.sort();
    assert_eq!(problems, ["/lost", "/wider"].map(|path| ("mode".to_string(), path.to_string())), "{ran}");
    // What `copy --no-owner` makes is the same by this.
    let copied = dir.path().join("copied");
    let slash = one.join("");
    let args = [OsStr::new("copy"), slash.as_os_str(), copied.as_os_str(), OsStr::new("--no-owner")];
    plain(&args);
    let ran = verify(&one, &copied, &["--no-owner"]).exits(0);
    assert!(ran.report["notes"].to_string().contains("--no-owner"), "{ran}");
    verify(&one, &copied, &[]).exits(1);
}
