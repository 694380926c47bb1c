//! What something should be, and what it is.

use crate::base::clock::Moment;
use crate::base::human;
use crate::engine::events::value::{Appearance, PropertyValue};
use crate::sys::errno_words;
use crate::sys::stat::Kind;

/// As the report and the journal have it, and the sentence of a difference.
pub(in crate::cli) fn words(value: &PropertyValue) -> String {
    match value {
        PropertyValue::Plain(text) => text.clone(),
        PropertyValue::None => "none".into(),
        PropertyValue::Kind(kind) => kind.words().into(),
        PropertyValue::NoDirectory => "no directory".into(),
        PropertyValue::Inode(appearance) => inode(*appearance),
        PropertyValue::InodeNumber(ino) => format!("inode {ino}"),
        PropertyValue::InodeOf(path) => format!("the inode of {path}"),
        PropertyValue::OwnInode => "an inode of its own".into(),
        PropertyValue::Allocated(bytes) => format!("{bytes} bytes on the medium"),
        PropertyValue::Device(number) => format!("device {number}"),
        PropertyValue::NotThere => "not there".into(),
        PropertyValue::Unread(errno) => errno_words(*errno),
        PropertyValue::OwnerAndMode(uid, gid, mode) => format!("{uid}:{gid} {mode:04o}"),
        PropertyValue::Attribute(len, digest) => format!("{len} bytes, BLAKE3 {digest}"),
    }
}

/// Type, length and age of an inode.
pub(super) fn inode(Appearance { kind, size, mtime }: Appearance) -> String {
    let mut words = kind.words().to_string();
    if kind == Kind::File {
        words.push_str(&format!(" of {} byte{}", human::count(size), if size == 1 { "" } else { "s" }));
    }
    if let Some(mtime) = mtime {
        words.push_str(&format!(", modified {}", Moment::from_unix(mtime.sec).rfc3339()));
    }
    words
}
