//! The comparator notices every kind of difference; else the other tests prove nothing.

use crate::kit::{need_root, sh, snapshot};
use filetime::FileTime;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn tree(dir: &Path) {
    std::fs::create_dir_all(dir.join("d")).unwrap();
    std::fs::write(dir.join("d/f"), "content").unwrap();
    std::fs::hard_link(dir.join("d/f"), dir.join("linked")).unwrap();
    std::os::unix::fs::symlink("text", dir.join("sym")).unwrap();
    xattr::set(dir.join("d/f"), "user.a", b"1").unwrap();
    let sparse = std::fs::File::create(dir.join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    for name in ["d/f", "sym", "sparse", "d", ""] {
        filetime::set_symlink_file_times(dir.join(name), FileTime::zero(), FileTime::from_unix_time(-5, 7)).unwrap();
    }
}

#[test]
fn every_single_difference_is_noticed() {
    need_root!();
    type Change = fn(&Path);
    let changes: &[(&str, Change)] = &[
        ("content", |d| {
            std::fs::write(d.join("d/f"), "Content").unwrap();
            filetime::set_file_mtime(d.join("d/f"), FileTime::from_unix_time(-5, 7)).unwrap();
        }),
        ("mode", |d| std::fs::set_permissions(d.join("d/f"), PermissionsExt::from_mode(0o600)).unwrap()),
        ("owner", |d| std::os::unix::fs::chown(d.join("d/f"), Some(7), None).unwrap()),
        ("mtime", |d| filetime::set_file_mtime(d.join("d"), FileTime::from_unix_time(-5, 8)).unwrap()),
        ("flags", |d| sh!("chattr", "+d", d.join("d/f"))),
        ("flags", |d| sh!("chattr", "+A", d.join("d"))),
        ("xattrs", |d| xattr::set(d.join("d/f"), "user.b", b"").unwrap()),
        ("links", |d| {
            std::fs::remove_file(d.join("linked")).unwrap();
            sh!("cp", "-a", d.join("d/f"), d.join("linked"));
        }),
        ("target", |d| {
            std::fs::remove_file(d.join("sym")).unwrap();
            std::os::unix::fs::symlink("other", d.join("sym")).unwrap();
        }),
        ("missing", |d| std::fs::remove_file(d.join("sym")).unwrap()),
        ("extra", |d| std::fs::write(d.join("new"), "").unwrap()),
        ("allocated", |d| std::fs::write(d.join("sparse"), vec![0; 8 << 20]).unwrap()),
    ];
    for (what, change) in changes {
        let dir = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        tree(&a);
        tree(&b);
        assert_eq!(snapshot::diff(&snapshot::take(&a), &snapshot::take(&b)), [""; 0]);
        change(&b);
        let found = snapshot::diff(&snapshot::take(&a), &snapshot::take(&b));
        assert!(found.iter().any(|line| line.contains(what)), "{what}: {found:?}");
    }
}
