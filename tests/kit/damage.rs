//! Damage to a file's content as a dying disk does it: below the file system, so that
//! no time, size or inode number tells.

use super::disk::World;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

const BLOCK: u64 = 4096;

/// Flips a bit of the byte at `at` of the file `path` on the loop-mounted disk of `world`.
pub(crate) fn flip(world: &World, path: &Path, at: u64) {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    let out = Command::new("filefrag").args(["-v", "-b4096"]).arg(path).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    // "   0:        0..       0:      34304..     34304:      1: ..."
    let extents = text.lines().filter_map(|line| {
        let numbers: Vec<u64> =
            line.split([':', '.', ' ']).filter(|word| !word.is_empty()).map_while(|word| word.parse().ok()).collect();
        (numbers.len() >= 5).then(|| (numbers[1], numbers[2], numbers[3]))
    });
    let block = at / BLOCK;
    let place = extents
        .filter(|(first, last, _)| (*first..=*last).contains(&block))
        .map(|(first, _, physical)| (physical + block - first) * BLOCK + at % BLOCK)
        .next()
        .unwrap_or_else(|| panic!("byte {at} lies in no extent of {}:\n{text}", path.display()));
    let image = std::fs::OpenOptions::new().read(true).write(true).open(world.path().join("image")).unwrap();
    let mut byte = [0];
    image.read_exact_at(&mut byte, place).unwrap();
    image.write_all_at(&[byte[0] ^ 1], place).unwrap();
    image.sync_all().unwrap();
}
