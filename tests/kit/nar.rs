//! Nix archives (NAR), as `nix-store --verify --check-contents` hashes them: type, executable
//! bit, content, names and symlinks of a tree, and nothing else (E. Dolstra's thesis, figure 5.2).

use sha2::{Digest, Sha256};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The SHA-256 of the archive, in hex, and its length.
pub(crate) fn hash(path: &Path) -> (String, u64) {
    let mut archive = Vec::new();
    text(&mut archive, b"nix-archive-1");
    node(&mut archive, path);
    let digest = Sha256::digest(&archive);
    (digest.iter().map(|byte| format!("{byte:02x}")).collect(), archive.len() as u64)
}

/// Length, bytes, zeros up to eight.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(8), 0);
}

fn node(out: &mut Vec<u8>, path: &Path) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    text(out, b"(");
    text(out, b"type");
    if meta.is_symlink() {
        text(out, b"symlink");
        text(out, b"target");
        text(out, std::fs::read_link(path).unwrap().as_os_str().as_bytes());
    } else if meta.is_dir() {
        text(out, b"directory");
        let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            for word in [&b"entry"[..], b"(", b"name", name.as_bytes(), b"node"] {
                text(out, word);
            }
            node(out, &path.join(&name));
            text(out, b")");
        }
    } else {
        text(out, b"regular");
        if meta.permissions().mode() & 0o100 != 0 {
            text(out, b"executable");
            text(out, b"");
        }
        text(out, b"contents");
        text(out, &std::fs::read(path).unwrap());
    }
    text(out, b")");
}

/// What `nix-hash --type sha256` of Nix 2.8 says of such a tree.
#[test]
fn the_archive_is_nixs() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("t");
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::write(tree.join("bin/tool"), "hello\n").unwrap();
    std::fs::set_permissions(tree.join("bin/tool"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(tree.join("empty"), "").unwrap();
    std::os::unix::fs::symlink("bin/tool", tree.join("link")).unwrap();
    assert_eq!(hash(&tree).0, "5ba5463a79004c904144bacafee64cb9df56fedbfa050e356ed5629629fe70ef");
}
