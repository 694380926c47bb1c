//! Where the data of two files lies, and how much of it there is.

use crate::sys::{Errno, file};
use rustix::fd::BorrowedFd;

/// Data that one file may have more of than the other: file systems allocate by blocks of their own size.
const SLACK: u64 = 64 << 10;

/// Parts of a file in which either side has data, and how many bytes of data each side has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DataParts {
    /// From and to, in order, not touching.
    pub(super) parts: Vec<(u64, u64)>,
    pub(super) bytes: [u64; 2],
}

impl DataParts {
    /// Asks both files of `size` bytes.
    pub(super) fn of(files: [BorrowedFd<'_>; 2], size: u64) -> Result<Self, Errno> {
        let mut found = Self::default();
        for (fd, bytes) in files.into_iter().zip(0..) {
            let (mut at, mut merged) = (0, std::mem::take(&mut found.parts));
            while let Some((from, to)) = file::next_data(fd, at)? {
                let (from, to) = (from.min(size), to.min(size));
                if from >= to {
                    break;
                }
                found.bytes[bytes] += to - from;
                merged.push((from, to));
                at = to;
            }
            merged.sort_unstable();
            found.parts = joined(merged);
        }
        Ok(found)
    }

    /// The files differ in how much of them are holes.
    pub(super) fn differ(&self) -> bool {
        let [one, two] = self.bytes;
        one.abs_diff(two) > SLACK + one.max(two) / 16
    }
}

fn joined(sorted: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut out: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
    for (from, to) in sorted {
        match out.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use std::os::unix::fs::FileExt;

    #[test]
    fn parts_of_both_sides_are_joined_and_counted() {
        assert_eq!(joined(vec![(0, 4), (2, 6), (6, 7), (9, 10)]), [(0, 7), (9, 10)]);
        let file = |at: &[u64]| {
            let file = tempfile::tempfile().expect("a file");
            file.set_len(4 << 20).expect("a size");
            at.iter().for_each(|at| file.write_all_at(&[1; 4096], *at).expect("data"));
            file
        };
        let (one, two) = (file(&[0]), file(&[1 << 20]));
        let found = DataParts::of([one.as_fd(), two.as_fd()], 4 << 20).expect("an answer");
        assert_eq!((found.parts.len(), found.differ()), (2, false), "{found:?}");
        two.write_all_at(&vec![0; 1 << 20], 2 << 20).expect("data");
        assert!(DataParts::of([one.as_fd(), two.as_fd()], 4 << 20).expect("an answer").differ());
    }
}
