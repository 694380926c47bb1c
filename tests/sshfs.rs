//! sshfs itself as a source. Its server is started without ssh, behind a pipe that delays each answer as another
//! machine would, and counts what it is asked.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::run;
use crate::kit::{need_root, need_tools, sh, snapshot};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Passes on both ways, late; writes how many requests of each type (draft-ietf-secsh-filexfer-02) there were.
const PIPE: &str = r#"#!/usr/bin/env python3
import collections, os, subprocess, sys, threading, time, queue
server = subprocess.Popen([os.environ['SFTP_SERVER']], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
counts = collections.Counter()
def exactly(f, n):
    data = f.read(n)
    if len(data) < n: raise EOFError
    return data
def answers():
    late = queue.Queue()
    def write():
        while True:
            when, data = late.get()
            time.sleep(max(0, when - time.monotonic()))
            if not data: os._exit(0)
            os.write(1, data)
    threading.Thread(target=write, daemon=True).start()
    while True:
        data = server.stdout.read1(1 << 16)
        late.put((time.monotonic() + 0.004, data))
        if not data: return
threading.Thread(target=answers, daemon=True).start()
try:
    while True:
        size = exactly(sys.stdin.buffer, 4)
        packet = exactly(sys.stdin.buffer, int.from_bytes(size, 'big'))
        counts[packet[0]] += 1
        server.stdin.write(size + packet); server.stdin.flush()
except (EOFError, BrokenPipeError):
    pass
with open(os.environ['COUNTS'], 'a') as out:
    out.write(''.join('%d %d\n' % pair for pair in counts.items()))
server.stdin.close()
"#;

/// A request to open a file.
const OPEN: u32 = 3;

fn server() -> Option<&'static str> {
    let places = ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server"];
    places.into_iter().find(|place| Path::new(place).exists())
}

/// A world whose source is shown by sshfs.
struct Remote {
    world: World,
    below: PathBuf,
}

impl Remote {
    fn new() -> Self {
        let mut world = World::ext4(200);
        for n in 0..FILES {
            let path = world.file(&format!("data/{}/{n}", n % 7), vec![b'x'; n * 11]);
            std::fs::set_permissions(&path, PermissionsExt::from_mode([0o600, 0o644, 0o755][n % 3])).unwrap();
            chown(&path, Some(u32::try_from(n % 2).unwrap() * 1000), Some(1000)).unwrap();
        }
        world.file("data/large", (0..70u32 << 18).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        world.file("data/new\nline", "x");
        symlink("large", world.data().join("link")).unwrap();
        // The protocol has whole seconds.
        sh!("find", world.source, "-exec", "touch", "-h", "-d", "@1600000000", "{}", "+");
        let pipe = world.path().join("pipe");
        std::fs::write(&pipe, PIPE).unwrap();
        std::fs::set_permissions(&pipe, PermissionsExt::from_mode(0o755)).unwrap();
        let shown = world.path().join("shown");
        std::fs::create_dir(&shown).unwrap();
        let below = std::mem::replace(&mut world.source, shown);
        Self { world, below }
    }

    fn mount(&self) -> Attached {
        let command = format!("ssh_command={}", self.world.path().join("pipe").display());
        let from = format!("nobody:{}", self.below.display());
        let status = std::process::Command::new("sshfs")
            .args(["-o", "ro", "-o", "no_readahead", "-o", &command, &from])
            .arg(&self.world.source)
            .env("SFTP_SERVER", server().unwrap())
            .env("COUNTS", self.counts())
            .status()
            .unwrap();
        assert!(status.success());
        Attached::held(&self.world.source)
    }

    fn counts(&self) -> PathBuf {
        self.world.path().join("counts")
    }
}

const FILES: usize = 150;

#[test]
fn a_tree_comes_whole_each_file_is_opened_once_and_a_killed_copy_goes_on() {
    need_root!();
    need_tools!("sshfs", "python3");
    if server().is_none() {
        return crate::kit::skip::skip("sftp-server");
    }
    let remote = Remote::new();
    let plan = remote.world.plan("");
    let mounted = remote.mount();
    Held::at("utimens:20", &plan, &["--threads", "4"]).kill();
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&remote.below.join("data"), &remote.world.target());
    run(&plan, &["--verify-only", "--against", "source"]).exits(0);
    mounted.unmount();
    let _again = remote.mount();
    let ran = run(&plan, &[]).exits(0).says("were read again, and are unchanged");
    assert_eq!(ran.total("copied"), 0, "{ran}");
}

#[test]
fn each_file_is_opened_once() {
    need_root!();
    need_tools!("sshfs", "python3");
    if server().is_none() {
        return crate::kit::skip::skip("sftp-server");
    }
    let remote = Remote::new();
    let mounted = remote.mount();
    run(&remote.world.plan(""), &[]).exits(0);
    mounted.unmount();
    // The pipe writes when it ends, which is after the mount did.
    let limit = Instant::now() + Duration::from_secs(60);
    let opened = loop {
        let text = std::fs::read_to_string(remote.counts()).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{OPEN} ")));
        match line {
            Some(count) => break count.parse::<usize>().unwrap(),
            None => assert!(Instant::now() < limit, "the pipe does not end"),
        }
    };
    assert!(opened <= FILES + 5, "{opened} requests to open {FILES} files");
}
