//! Without root and with `--no-owner`: owners are left, everything else holds,
//! and what only root can give is a problem each.

use crate::kit::disk::World;
use crate::kit::dress::{ACCESS, DEFAULT, acl, add_flags, capability, mode, node};
use crate::kit::nobody::{NOBODY, Nobody};
use crate::kit::run::Ran;
use crate::kit::{need_root, snapshot};
use filetime::FileTime;
use rustix::fs::{FileType, IFlags, makedev};
use std::os::unix::fs::{FileExt, lchown, symlink};
use std::path::{Path, PathBuf};

/// A disk that nobody may write to, and that holds the source as well: one of its
/// files is immutable, which nothing else could remove.
fn world() -> (World, Nobody, PathBuf) {
    let world = World::ext4(64);
    let nobody = Nobody::may_write(&world);
    let data = world.persist.join("from/data");
    std::fs::create_dir_all(&data).unwrap();
    (world, nobody, data)
}

fn source(data: &Path) -> String {
    data.parent().unwrap().to_str().unwrap().to_string()
}

fn give(path: &Path, bits: u32) {
    lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    mode(path, bits);
}

fn time(path: &Path, sec: i64, nsec: u32) {
    let time = FileTime::from_unix_time(sec, nsec);
    filetime::set_symlink_file_times(path, time, time).unwrap();
}

/// What anybody may make of files that they own.
fn everybodys(data: &Path) {
    let sub = data.join("sub");
    std::fs::create_dir_all(&sub).unwrap();
    for (name, bits) in [("file", 0o640), ("own-setuid", 0o6755), ("stuck", 0o1400)] {
        std::fs::write(sub.join(name), name.repeat(20_000)).unwrap();
        give(&sub.join(name), bits);
    }
    // Of another owner, but readable: only its owner cannot be kept.
    std::fs::write(data.join("roots"), "readable").unwrap();
    mode(&data.join("roots"), 0o644);
    let sparse = std::fs::File::create(data.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    sparse.write_all_at(b"middle", 500_000).unwrap();
    symlink("/nowhere", sub.join("link")).unwrap();
    node(&sub.join("fifo"), FileType::Fifo, 0);
    node(&sub.join("whiteout"), FileType::CharacterDevice, 0);
    give(&sub.join("fifo"), 0o600);
    give(&sub.join("whiteout"), 0o600);
    for name in ["file", "link", "fifo"] {
        std::fs::hard_link(sub.join(name), data.join(format!("{name}-linked"))).unwrap();
    }
    xattr::set(sub.join("file"), "user.large", &[7; 1500]).unwrap();
    xattr::set(sub.join("file"), ACCESS, &acl(6, &[(1234, 4)], 4, &[(5, 6)], 0)).unwrap();
    xattr::set(sub.join("stuck"), "user.on-a-read-only-file", b"").unwrap();
    add_flags(&sub.join("own-setuid"), IFlags::NODUMP | IFlags::NOATIME);
    for (name, bits) in [("sub", 0o2755), ("sticky", 0o1777), ("narrow", 0o500)] {
        let dir = data.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        give(&dir, bits);
        xattr::set(&dir, "user.d", b"d").unwrap();
        xattr::set(&dir, DEFAULT, &acl(7, &[(1234, 5)], 5, &[], 0)).unwrap();
    }
    std::fs::write(data.join("narrow/inside"), "x").unwrap();
    give(&data.join("narrow/inside"), 0o444);
    let times =
        [("sub/file", -5, 999_999_999), ("sub/link", 1, 2), ("sub/fifo", 3, 4), ("sub", 5, 6), ("narrow", -7, 8)];
    times.into_iter().for_each(|(name, sec, nsec)| time(&data.join(name), sec, nsec));
}

#[test]
fn everything_but_owners_holds() {
    need_root!();
    let (world, nobody, data) = world();
    everybodys(&data);
    let plan = world.plan("");
    nobody.run(&plan, &["--no-owner", "--source", &source(&data)]).exits(0);
    let mut expected = snapshot::take(&data);
    expected.values_mut().for_each(|node| node.owner = (NOBODY, NOBODY));
    let found = snapshot::take(&world.target());
    let mut differences = snapshot::diff(&expected, &found);
    differences.extend(snapshot::holes(&expected, &found));
    assert_eq!(differences, [""; 0]);
    let again = nobody.run(&plan, &["--no-owner", "--source", &source(&data)]).exits(0);
    assert_eq!((again.total("copied"), again.total("verified")), (0, 0), "{again}");
    nobody.run(&plan, &["--no-owner", "--verify-only", "--source", &source(&data)]).exits(0);
}

/// Path, kind and attribute of each problem.
fn problems(ran: &Ran) -> Vec<String> {
    let text = |problem: &serde_json::Value, key: &str| problem[key].as_str().unwrap_or("").to_string();
    let list = ran.report["problems"].as_array().unwrap();
    list.iter().map(|p| [text(p, "path"), text(p, "kind"), text(p, "attribute")].join(" ")).collect()
}

#[test]
fn what_only_root_can_give_is_a_problem_each() {
    need_root!();
    let (world, nobody, data) = world();
    for name in ["capable", "label", "foreign-setuid", "immutable", "secret", "trusted"] {
        std::fs::write(data.join(name), name).unwrap();
        give(&data.join(name), 0o644);
    }
    xattr::set(data.join("capable"), "security.capability", &capability(0x400, true)).unwrap();
    xattr::set(data.join("label"), "security.made-up", b"l").unwrap();
    xattr::set(data.join("trusted"), "trusted.t", b"t").unwrap();
    lchown(data.join("foreign-setuid"), Some(1000), Some(100)).unwrap();
    mode(&data.join("foreign-setuid"), 0o6755);
    lchown(data.join("secret"), Some(0), Some(0)).unwrap();
    mode(&data.join("secret"), 0o600);
    std::fs::create_dir(data.join("closed")).unwrap();
    mode(&data.join("closed"), 0o700);
    node(&data.join("null"), FileType::CharacterDevice, makedev(1, 3));
    node(&data.join("disk"), FileType::BlockDevice, makedev(7, 99));
    add_flags(&data.join("immutable"), IFlags::IMMUTABLE);
    let plan = world.plan("");
    let expected = [
        "/persist/data/capable xattr security.capability",
        "/persist/data/closed unreadable ",
        "/persist/data/disk io ",
        "/persist/data/foreign-setuid mode ",
        "/persist/data/immutable flags +i",
        "/persist/data/label xattr security.made-up",
        "/persist/data/null io ",
        "/persist/data/secret unreadable ",
    ];
    // A second run can repair none of it, and reports all of it.
    for _ in 0..2 {
        let ran = nobody.run(&plan, &["--no-owner", "--source", &source(&data)]).exits(1);
        let mut problems = problems(&ran);
        problems.sort();
        assert_eq!(problems, expected, "{ran}");
        assert_eq!(ran.report["problem_count"], expected.len());
        // Nobody but root even sees these, so the run says so once.
        ran.says("trusted.* attributes");
    }
    nobody.run(&plan, &["--no-owner", "--verify-only", "--source", &source(&data)]).exits(1).says("capable");
    let found = snapshot::take(&world.target());
    for name in ["capable", "label", "foreign-setuid", "immutable", "trusted"] {
        assert_eq!(std::fs::read(world.target().join(name)).unwrap(), name.as_bytes());
    }
    assert_eq!(found[b"/foreign-setuid".as_slice()].mode, 0o755);
    assert!(!found.contains_key(b"/null".as_slice()) && !found.contains_key(b"/secret".as_slice()));
}

#[test]
fn without_no_owner_it_is_refused() {
    need_root!();
    let (world, nobody, data) = world();
    std::fs::write(data.join("file"), "x").unwrap();
    let plan = world.plan("");
    nobody.run(&plan, &["--source", &source(&data)]).exits(3).says("run as root").says("--no-owner");
    assert!(!world.target().exists() && !world.persist.join(".persistcp").exists(), "nothing is written");
}
