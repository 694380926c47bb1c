//! Every system call of a run, played again: what each inode shows after each
//! call is never more than at its end, and nothing is reached by a path.

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::rights::{State, mode_of_acl, parse_acl};
use crate::kit::run::{wait, wrapped};
use crate::kit::secrets::{FILES, FIXUPS, bare, plant};
use crate::kit::strace::{self, Call};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn every_call_keeps_what_it_makes_closed() {
    need_root!();
    let world = World::ext4(128);
    plant(&world, 2);
    let plan = world.plan(FIXUPS);
    let traced = |run: &str| {
        let log = world.path().join(run);
        let wrapper = [bare(), strace::watching(&log)].concat();
        wait(wrapped(&wrapper, &plan, &["--threads", "2"])).exits(0);
        strace::read(&log)
    };
    let (first, mut replay) = (traced("first"), Replay::new(&world));
    first.iter().for_each(|thread| replay.thread(thread));
    assert!(replay.born > 30, "the log is not what it seems: {} births", replay.born);
    replay.assert_never_wider();
    // Once more with every file replaced: births under temporary names.
    for (path, ..) in FILES {
        world.file(&format!("data/1/{path}"), path.repeat(22));
    }
    let mut replay = Replay::new(&world);
    traced("second").iter().for_each(|thread| replay.thread(thread));
    assert!(replay.born >= FILES.len());
    replay.assert_never_wider();
}

/// Plays the calls on the target again and keeps the state of every inode.
struct Replay {
    root: Vec<u8>,
    seen: BTreeMap<Vec<u8>, Vec<State>>,
    /// Directories that were root's and 0700 at some time, and those in which something was made.
    closed: BTreeSet<Vec<u8>>,
    filled: BTreeSet<Vec<u8>>,
    born: usize,
    faults: Vec<String>,
}

/// How far the dressing of one inode is; it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Owner,
    Attributes,
    Times,
    Acl,
    Mode,
}

impl Replay {
    fn new(world: &World) -> Self {
        let root = world.persist.to_str().unwrap().as_bytes().to_vec();
        Self {
            root,
            seen: BTreeMap::new(),
            closed: BTreeSet::new(),
            filled: BTreeSet::new(),
            born: 0,
            faults: Vec::new(),
        }
    }

    /// True for what belongs to the copy: below the target, and not the journal.
    fn is_target(&self, path: &[u8]) -> bool {
        let below = path.strip_prefix(self.root.as_slice());
        below.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(b"/.persistcp/") && rest != b"/.persistcp")
    }

    fn thread(&mut self, calls: &[Call]) {
        let mut handles: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut dressing: Option<(Vec<u8>, Step)> = None;
        for call in calls {
            self.open(call, &mut handles);
            self.birth(call);
            // What a call works on: a descriptor, a handle through procfs, or a path, which is a fault.
            let path = match call.name.as_str() {
                "fchmod" | "fchown" | "fsetxattr" | "fremovexattr" => call.path(0),
                "chmod" | "setxattr" | "removexattr" | "lsetxattr" | "lremovexattr" | "chown" | "lchown" => {
                    let name = call.bytes(0);
                    handles.get(&name).cloned().unwrap_or(name)
                }
                "fchmodat" if call.arg(0).starts_with("AT_FDCWD") => {
                    let name = call.bytes(1);
                    handles.get(&name).cloned().unwrap_or(name)
                }
                "fchownat" | "utimensat" if ["\"\"", "NULL"].contains(&call.arg(1)) => call.path(0),
                "fchmodat" | "fchmodat2" | "fchownat" | "utimensat" => call.joined(0),
                _ => continue,
            };
            // The mark of an unfinished copy comes before everything and goes after it.
            let mark = call.name.contains("xattr") && call.bytes(1) == b"trusted.persistcp";
            if !self.is_target(&path) || mark {
                continue;
            }
            self.by_descriptor(call);
            let step = self.apply(call, &path);
            match &mut dressing {
                Some((same, last)) if *same == path && *last != Step::Mode => {
                    if step < *last {
                        self.faults.push(format!("{}: {step:?} after {last:?}: {call:?}", path.escape_ascii()));
                    }
                    *last = step;
                }
                _ => dressing = Some((path, step)),
            }
        }
    }

    /// Nothing on the target is opened through a symlink; what is made is new and 0600.
    fn open(&mut self, call: &Call, handles: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        if !["openat", "open", "creat", "openat2"].contains(&call.name.as_str()) {
            return;
        }
        let (number, path) = call.opened();
        handles.insert(format!("/proc/self/fd/{number}").into_bytes(), path.clone());
        if !self.is_target(&path) || call.bytes(1) == b"." {
            return;
        }
        let flags: Vec<&str> = call.arg(2).split('|').collect();
        let made = flags.contains(&"O_CREAT");
        let mut sound = call.name == "openat" && flags.contains(&"O_NOFOLLOW") && !call.bytes(1).contains(&b'/');
        sound &= !made || flags.contains(&"O_EXCL") && call.arg(3) == "0600";
        if !sound {
            self.faults.push(format!("opened or made unsafely: {}: {call:?}", path.escape_ascii()));
        }
        if made {
            self.be_born(&path, 0o600, false);
        }
    }

    fn birth(&mut self, call: &Call) {
        let (path, mode) = match call.name.as_str() {
            "mkdirat" => (call.joined(0), 0o700),
            "mknodat" => (call.joined(0), 0o600),
            "mkdir" | "mknod" | "symlink" | "link" | "rename" => {
                if self.is_target(&call.bytes(0)) || self.is_target(&call.bytes(1)) {
                    self.faults.push(format!("a path, not a descriptor and a name: {call:?}"));
                }
                return;
            }
            _ => return,
        };
        if !self.is_target(&path) {
            return;
        }
        let asked = call.arg(2).trim_start_matches(|c: char| !c.is_ascii_digit());
        if u32::from_str_radix(asked, 8) != Ok(mode) {
            self.faults.push(format!("born with {asked}: {call:?}"));
        }
        self.be_born(&path, mode, call.name == "mkdirat");
    }

    fn be_born(&mut self, path: &[u8], mode: u32, directory: bool) {
        self.born += 1;
        self.filled.insert(path[..path.iter().rposition(|b| *b == b'/').unwrap_or(0)].to_vec());
        if directory {
            self.closed.insert(path.to_vec());
        }
        self.seen.insert(path.to_vec(), vec![State { directory, mode, uid: 0, gid: 0, acl: Vec::new() }]);
    }

    /// Metadata goes through a descriptor: a name could mean another inode by then.
    fn by_descriptor(&mut self, call: &Call) {
        let named = match call.name.as_str() {
            "chmod" | "setxattr" | "removexattr" => !call.bytes(0).starts_with(b"/proc/self/fd/"),
            "fchmodat" => !call.bytes(1).starts_with(b"/proc/self/fd/"),
            "fchownat" | "utimensat" => !["\"\"", "NULL"].contains(&call.arg(1)),
            "fchmod" | "fchown" | "fsetxattr" | "fremovexattr" => false,
            _ => true,
        };
        if named {
            self.faults.push(format!("by name: {call:?}"));
        }
    }

    /// The state that the call leaves, for an inode whose birth was seen.
    fn apply(&mut self, call: &Call, path: &[u8]) -> Step {
        let now = self.seen.get(path).and_then(|states| states.last());
        let mut next = now.cloned();
        let mut change = |how: &dyn Fn(&mut State)| next.iter_mut().for_each(how);
        let number = |n: usize| call.arg(n).parse().unwrap_or(0);
        let step = match call.name.as_str() {
            "fchown" | "fchownat" => {
                let at = if call.name == "fchown" { 1 } else { 2 };
                change(&|s| (s.uid, s.gid) = (number(at), number(at + 1)));
                Step::Owner
            }
            "fsetxattr" | "setxattr" if call.bytes(1) == b"system.posix_acl_access" => {
                let value = call.bytes(2);
                change(&|s| {
                    s.mode = s.mode & 0o7000 | mode_of_acl(&value);
                    s.acl = parse_acl(&value);
                });
                Step::Acl
            }
            "utimensat" => Step::Times,
            "chmod" | "fchmod" | "fchmodat" => {
                let at = if call.name == "fchmodat" { 2 } else { 1 };
                change(&|s| s.mode = call.mode(at));
                if call.mode(at) == 0o700 {
                    self.closed.insert(path.to_vec());
                }
                Step::Mode
            }
            _ => Step::Attributes,
        };
        if let Some(next) = next {
            self.seen.entry(path.to_vec()).or_default().push(next);
        }
        step
    }

    #[track_caller]
    fn assert_never_wider(mut self) {
        for (path, states) in &self.seen {
            let end = states.last().unwrap();
            let wider = states.iter().filter_map(|state| state.wider_than(end));
            self.faults.extend(wider.map(|what| format!("{}: {what}", path.escape_ascii())));
        }
        // The mount point itself is nobody's entry: it stays as it is.
        let open = self.filled.difference(&self.closed).filter(|dir| **dir != self.root);
        self.faults.extend(open.map(|dir| format!("{}: filled, and never closed before", dir.escape_ascii())));
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
    }
}
