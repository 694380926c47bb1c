//! kill -9 at random instants, over and over: every resume goes on, ends well and
//! repeats no more than what was not durable yet.

use crate::kit::disk::World;
use crate::kit::random::{Random, from_env};
use crate::kit::run::{run, spawn};
use crate::kit::{journal, need_root, sh, snapshot};
use persistcp::base::path::RelPath;
use persistcp::engine::journal::Row;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// What an epoch holds at most before it is sealed: half of the bytes that may be
/// written and not durable yet. One is filled while another is sealed.
const EPOCH: u64 = 256 << 20;
const CHUNK: u64 = 16 << 20;
/// The journal's own writing, and blocks of directories and inodes.
const OTHER: u64 = 64 << 20;

/// Names and sizes in MiB of the files that are copied in chunks.
const LARGE: [(&str, u64); 3] = [("large-a", 330), ("large-b", 70), ("middle", 40)];

/// Small files, large ones, link groups across directories, and a deep directory.
fn tree(world: &World, random: &mut Random) -> u64 {
    for i in 0..3000 {
        let size = random.between(0, 30_000);
        world.file(&format!("data/small/{}/{i}", i % 41), random.bytes(size as usize));
    }
    for (name, mib) in LARGE {
        let file = std::fs::File::create(world.file(&format!("data/{name}"), "")).unwrap();
        let mut block = random.bytes(1 << 20);
        for at in 0..mib {
            block[..8].copy_from_slice(&random.next().to_le_bytes());
            file.write_all_at(&block, at << 20).unwrap();
        }
    }
    for group in 0..60 {
        let first = world.file(&format!("data/links/{}/{group}-0", group % 7), random.bytes(5000));
        for name in 1..5 {
            let other = world.data().join(format!("links/{}/{group}-{name}", (group + name) % 7));
            std::fs::create_dir_all(other.parent().unwrap()).unwrap();
            std::fs::hard_link(&first, other).unwrap();
        }
    }
    world.file(&format!("data/{}/bottom", ["deep"; 60].join("/")), "x");
    let out = std::process::Command::new("du").args(["-sB1"]).arg(world.data()).output().unwrap();
    String::from_utf8(out.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// Bytes that a process caused to be written (proc_pid_io(5)); a killed one still tells.
fn written(child: &Child) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    let line = io.lines().find(|line| line.starts_with("write_bytes")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Bytes that the journal calls durable: finished files and chunks of those that are not
/// finished, or not in their place.
fn recorded(world: &World) -> BTreeMap<RelPath, u64> {
    let Some(reader) = journal::reader(&world.persist.join(".persistcp")) else { return BTreeMap::new() };
    let done = journal::done(&reader).into_iter().filter(|(_, row)| journal::is_file(row) && !row.alias);
    let done = done.map(|(path, row)| (path, row.size));
    let resumable = LARGE.iter().filter_map(|(name, _)| {
        let path = RelPath::new(format!("persist/data/{name}").as_bytes()).unwrap();
        let row = reader.find_path(&path).unwrap().filter(Row::is_resumable)?;
        let chunks = reader.chunks(row.dir, &row.name).unwrap();
        Some((path, chunks.iter().map(|(index, _)| CHUNK.min(row.size - index * CHUNK)).sum()))
    });
    done.chain(resumable).collect()
}

/// Waits for the end of a run; its status, and what it had written.
fn end(mut child: Child) -> (Option<i32>, u64) {
    // Until it is waited for, its counts stay.
    while !std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap().contains(") Z ") {
        std::thread::sleep(Duration::from_millis(1));
    }
    let bytes = written(&child);
    (child.wait().unwrap().code(), bytes)
}

/// Kills a run after `millis`; `None` for its status unless it was over by then.
fn kill_after(plan: &Path, millis: u64) -> (Option<i32>, u64) {
    let mut child = spawn(plan, &[]);
    std::thread::sleep(Duration::from_millis(millis));
    child.kill().unwrap();
    end(child)
}

#[test]
fn kills_at_random_instants_cost_no_more_than_an_epoch_each() {
    need_root!();
    let kills = from_env("PERSISTCP_KILLS", 20);
    let mut random = Random::seeded();
    let world = World::ext4(1400);
    let size = tree(&world, &mut random);
    let expected = snapshot::take(&world.data());
    let plan = world.plan("");
    let (mut done, mut rounds) = (0, 0);
    while done < kills {
        let (mut here, mut total, mut before) = (0, 0, BTreeMap::new());
        while here < 8 && done < kills {
            let (status, bytes) =
                kill_after(&plan, random.pick(&[300, 300, 600, 1600]).to_owned() * random.below(100) / 100);
            let rows = recorded(&world);
            for (path, was) in &before {
                let now = rows.get(path).copied().unwrap_or(0);
                assert!(now >= *was, "{path}: what was durable is forgotten: {was} bytes, then {now}");
            }
            let new = rows.values().sum::<u64>() - before.values().sum::<u64>();
            assert!(bytes <= new * 11 / 10 + 2 * EPOCH + OTHER, "{bytes} written, {new} of them recorded");
            println!("kill: {} MiB written, {} recorded", bytes >> 20, new >> 20);
            (before, total) = (rows, total + bytes);
            if status.is_some() {
                break;
            }
            (here, done) = (here + 1, done + 1);
        }
        let (status, bytes) = end(spawn(&plan, &[]));
        assert_eq!(status, Some(0), "after {here} kills");
        total += bytes;
        assert!(
            total <= size * 11 / 10 + here * EPOCH + OTHER,
            "{total} bytes written for a tree of {size} and {here} kills"
        );
        let differences = snapshot::diff(&expected, &snapshot::take(&world.target()));
        assert!(differences.is_empty(), "after {here} kills:\n{}", differences.join("\n"));
        run(&plan, &["--verify-only"]).exits(0);
        sh!("rm", "-rf", world.target(), world.persist.join(".persistcp"));
        rounds += 1;
    }
    println!("{done} kills in {rounds} rounds over {size} bytes");
}
