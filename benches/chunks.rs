//! Hashing a large file by chunks that merge, against BLAKE3 from start to end,
//! which is what `b3sum --num-threads 1` does.

use crate::kit::noise;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use persistcp::engine::content::digest::{CHUNK, ChunkHasher, ChunkValue, ContentSink, Digest, chunks_of, merge};

const SIZE: usize = 64 << 20;
/// What a thread of the copier reads at once.
const BUFFER: usize = 1 << 20;

fn chunk(data: &[u8], index: u64) -> ChunkValue {
    let mut hasher = ChunkHasher::new(index);
    data.chunks(BUFFER).for_each(|part| hasher.update(part));
    hasher.finish()
}

fn merged(data: &[u8], threads: usize) -> Option<Digest> {
    let parts: Vec<_> = (0..).zip(data.chunks(usize::try_from(CHUNK).expect("small"))).collect();
    let mut values = vec![[0; 32]; parts.len()];
    let share = parts.len().div_ceil(threads);
    std::thread::scope(|scope| {
        for (parts, values) in parts.chunks(share).zip(values.chunks_mut(share)) {
            scope.spawn(move || {
                parts.iter().zip(values).for_each(|((index, data), value)| *value = chunk(data, *index))
            });
        }
    });
    merge(&values, data.len() as u64)
}

fn whole(data: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    data.chunks(BUFFER).for_each(|part| {
        hasher.update(part);
    });
    hasher.finalize()
}

#[divan::bench(sample_count = 50, sample_size = 1)]
fn b3sum(bencher: Bencher<'_, '_>) {
    let data = noise(SIZE);
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| whole(black_box(&data)));
}

/// By the number of threads; the copier uses at most four for one file.
#[divan::bench(args = [1, 2, 4], sample_count = 50, sample_size = 1)]
fn hash_and_merge(bencher: Bencher<'_, '_>, threads: usize) {
    let data = noise(SIZE);
    assert_eq!(merged(&data, threads).map(|digest| digest.bytes), Some(*whole(&data).as_bytes()));
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| merged(black_box(&data), threads));
}

/// The values of a tebibyte.
#[divan::bench(sample_count = 50)]
fn merge_alone(bencher: Bencher<'_, '_>) {
    const TEBIBYTE: u64 = 1 << 40;
    let values: Vec<ChunkValue> =
        (0..chunks_of(TEBIBYTE)).map(|index| *blake3::hash(&index.to_le_bytes()).as_bytes()).collect();
    bencher
        .counter(ItemsCount::new(values.len()))
        .bench_local(|| merge(black_box(&values), TEBIBYTE).expect("as many values as chunks"));
}
