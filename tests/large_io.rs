//! The ways in which large files can be copied: each gives the same copy, and the report says which it was.

use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::run;
use crate::kit::{journal, need_root, snapshot};
use persistcp::base::path::RelPath;
use std::os::unix::fs::FileExt;
use std::path::Path;

const CHUNK: u64 = 16 << 20;
const WAYS: [&str; 4] = ["auto", "direct", "buffered", "burst"];

/// Bytes that differ from block to block, and an end that is no whole one.
fn dense(path: &Path, chunks: u64) -> u64 {
    let file = std::fs::File::create(path).unwrap();
    let mut block = vec![0; 1 << 20];
    for at in 0..chunks * 16 {
        block.iter_mut().zip(0_u64..).for_each(|(b, i)| *b = (i.wrapping_mul(29) ^ at) as u8);
        file.write_all_at(&block, at << 20).unwrap();
    }
    file.write_all_at(b"the end", chunks * CHUNK).unwrap();
    chunks * CHUNK + 7
}

#[test]
fn every_way_gives_the_same_copy_and_is_named_in_the_report() {
    need_root!();
    let world = World::ext4(500);
    let bytes = dense(&world.file("data/dense", ""), 6) + dense(&world.file("data/another", ""), 4);
    let sparse = std::fs::File::create(world.data().join("sparse")).unwrap();
    sparse.set_len(5 * CHUNK).unwrap();
    sparse.write_all_at(&[7; 100_000], 3 * CHUNK - 50_000).unwrap();
    let plan = world.plan("");
    for way in WAYS {
        let ran = run(&plan, &["--large-io", way]).exits(0).says("large files (").says("no problems");
        snapshot::assert_same(&world.data(), &world.target());
        let told = &ran.report["large_files"][0];
        let kind = told["way"]["kind"].as_str().unwrap();
        assert!(way == "auto" || kind == way, "{way}: {told}");
        assert!(told["bytes"].as_u64().unwrap() >= bytes, "{told}");
        assert!(ran.stdout.contains(&format!("were copied {kind}, ")), "{ran}");
        run(&plan, &["--verify-only"]).exits(0);
        std::fs::remove_dir_all(world.target()).unwrap();
        std::fs::remove_dir_all(world.persist.join(".persistcp")).unwrap();
    }
}

#[test]
fn a_killed_copy_goes_on_in_any_way() {
    need_root!();
    let world = World::ext4(1100);
    let size = dense(&world.file("data/large", ""), 24);
    let plan = world.plan("");
    let recorded = || {
        let reader = journal::reader(&world.persist.join(".persistcp"))?;
        let row = reader.find_path(&RelPath::new(b"persist/data/large").unwrap()).unwrap()?;
        Some(reader.chunks(row.dir, &row.name).unwrap().len() as u64)
    };
    for (first, second) in WAYS.iter().zip(WAYS.iter().cycle().skip(1)) {
        let mut held = Held::at("write:16", &plan, &["--threads", "2", "--large-io", first]);
        held.wait_for("chunks are recorded", |_| recorded().is_some_and(|chunks| chunks > 0));
        held.kill();
        let rows = recorded().unwrap();
        let ran = run(&plan, &["--large-io", second]).exits(0).says("resumed after");
        assert_eq!(ran.total("reused_bytes"), rows * CHUNK, "{first}, {second}: {ran}");
        assert_eq!(ran.total("copied_bytes"), size - rows * CHUNK, "{first}, {second}: {ran}");
        snapshot::assert_same(&world.data(), &world.target());
        run(&plan, &["--verify-only"]).exits(0);
        std::fs::remove_dir_all(world.target()).unwrap();
        std::fs::remove_dir_all(world.persist.join(".persistcp")).unwrap();
    }
}

#[test]
fn what_was_measured_is_in_the_report_and_shown_with_v() {
    need_root!();
    let world = World::ext4(1000);
    let size = dense(&world.file("data/large", ""), 44);
    let plan = world.plan("");
    let ran = run(&plan, &["-v", "--verify", "none"]).exits(0).says(" MiB/s, the first");
    let told = &ran.report["large_files"][0];
    assert_eq!(told["bytes"].as_u64(), Some(size), "{told}");
    let first = &told["decisions"][0];
    assert_eq!((first["verdict"].as_str(), first["kind"].as_str()), (Some("first"), Some("direct")), "{told}");
    assert!(first["bytes_per_second"].as_f64().unwrap() > 0.0, "{told}");
    // Nothing was copied, so there is nothing to tell.
    let again = run(&plan, &["-v", "--verify", "none"]).exits(0);
    assert_eq!(again.report["large_files"].as_array().map(Vec::len), Some(0), "{again}");
    assert!(!again.stdout.contains("large files"), "{again}");
}

#[test]
fn a_target_without_o_direct_is_written_through_the_cache() {
    need_root!();
    let world = World::ext4(300);
    dense(&world.file("data/large", ""), 5);
    let memory = crate::kit::attach::Attached::tmpfs("size=200M", &world.persist);
    let ran = run(&world.plan(""), &["--allow-volatile", "--large-io", "direct"]).exits(0);
    let direct = rustix::fs::statx(
        rustix::fs::CWD,
        world.target().join("large"),
        rustix::fs::AtFlags::empty(),
        rustix::fs::StatxFlags::DIOALIGN,
    );
    let takes = direct.unwrap().stx_dio_offset_align > 0;
    let kind = ran.report["large_files"][0]["way"]["kind"].as_str().unwrap().to_string();
    assert_eq!(kind, if takes { "direct" } else { "buffered" }, "{ran}");
    snapshot::assert_same(&world.data(), &world.target());
    drop(memory);
}

#[test]
fn a_way_that_is_none_is_refused() {
    let args = ["--plan", "none.toml", "--large-io=mmap"].map(std::ffi::OsStr::new);
    crate::kit::run::plain(&args).exits(2).says("possible values: auto, direct, buffered, burst");
}
