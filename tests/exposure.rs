//! No file and no directory is, at any instant, open to anybody to whom it is
//! not open at its end: watched by pollers, and looked at after every kill.
//! `calls.rs` shows the same call by call.

use crate::kit::disk::World;
use crate::kit::random::Random;
use crate::kit::rights::State;
use crate::kit::run::{finish, run, wait, wrapped};
use crate::kit::secrets::{FILES, FIXUPS, bare, plant};
use crate::kit::{need_root, sh, snapshot};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Dir, Mode, OFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Every state in which each path was seen.
#[derive(Default)]
struct Seen(BTreeMap<Vec<u8>, BTreeSet<State>>);

impl Seen {
    /// Looks once at everything below `root`; what vanishes meanwhile is let go.
    fn look(&mut self, root: &Path) {
        if let Ok(fd) = rustix::fs::openat(CWD, root, OFlags::PATH, Mode::empty()) {
            self.visit(&fd, Vec::new());
        }
    }

    fn visit(&mut self, fd: &OwnedFd, path: Vec<u8>) {
        let Some(state) = State::of(fd) else { return };
        let directory = state.directory;
        self.0.entry(path.clone()).or_default().insert(state);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let Ok(open) = rustix::fs::openat(fd, c".", flags, Mode::empty()) else { return };
        for entry in Dir::read_from(&open).into_iter().flatten().flatten().filter(|_| directory) {
            let name = entry.file_name().to_bytes();
            if [b".".as_slice(), b"..", b"lost+found"].contains(&name) {
                continue;
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            if let Ok(child) = rustix::fs::openat(fd, entry.file_name(), flags, Mode::empty()) {
                self.visit(&child, [&path, name].join(&b'/'));
            }
        }
    }

    /// Everything that was ever wider than at its end, which `root` shows. Says
    /// too how many states were seen that were not the end.
    fn assert_never_wider(&self, root: &Path) -> usize {
        let mut end = Self::default();
        end.look(root);
        let temporary: BTreeMap<Vec<u8>, &State> =
            end.0.iter().map(|(path, states)| (temporary_of(path), states.first().unwrap())).collect();
        let (mut wider, mut passing) = (Vec::new(), 0);
        for (path, states) in &self.0 {
            let shown = path.escape_ascii();
            let last = end.0.get(path).map(|s| s.first().unwrap()).or(temporary.get(path).copied());
            for state in states {
                if path.starts_with(b"/.persistcp") {
                    let most = if state.directory { 0o700 } else { 0o600 };
                    if state.mode & !most != 0 || state.uid != 0 {
                        wider.push(format!("{shown}: the journal: {state:?}"));
                    }
                } else if let Some(last) = last {
                    passing += usize::from(state != last);
                    wider.extend(state.wider_than(last).map(|what| format!("{shown}: {what}")));
                } else {
                    wider.push(format!("{shown}: not there at the end: {state:?}"));
                }
            }
        }
        assert!(wider.is_empty(), "{}", wider.join("\n"));
        passing
    }
}

/// The name under which a replacement of `path` waits.
fn temporary_of(path: &[u8]) -> Vec<u8> {
    let at = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
    let hash = blake3::hash(&path[at..]).to_hex();
    [&path[..at], format!(".persistcp-{}.tmp", &hash[..16]).as_bytes()].concat()
}

/// Looks at `root` from two threads, as often as they can, while `work` runs.
fn watched<T>(root: &Path, work: impl FnOnce() -> T) -> (T, Seen) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let poll = || {
            let mut seen = Seen::default();
            while !over.load(Ordering::Relaxed) {
                seen.look(root);
            }
            seen
        };
        let pollers = [scope.spawn(poll), scope.spawn(poll)];
        let result = work();
        over.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for poller in pollers {
            for (path, states) in poller.join().unwrap().0 {
                all.0.entry(path).or_default().extend(states);
            }
        }
        (result, all)
    })
}

#[test]
fn nothing_is_ever_wider_than_at_its_end() {
    need_root!();
    let world = World::ext4(128);
    plant(&world, 40);
    let plan = world.plan(FIXUPS);
    let (ran, seen) = watched(&world.persist, || wait(wrapped(&bare(), &plan, &["--threads", "4"])));
    ran.exits(0);
    let passing = seen.assert_never_wider(&world.persist);
    assert!(passing > 20, "the pollers must have seen inodes on their way, not {passing}");
}

#[test]
fn a_permissive_default_acl_on_the_target_opens_nothing() {
    need_root!();
    let world = World::ext4(128);
    sh!("setfacl", "-d", "-m", "u:1234:rwx,g:100:rwx,g::rwx,o::rwx", world.persist);
    plant(&world, 30);
    // Also for directories that the backup does not have.
    let text = format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[map]]\nfrom = \"/data\"\nto = \"/persist/made/here/data\"\n",
        world.source, world.root
    );
    let plan = world.plan_text(&text);
    let (ran, seen) = watched(&world.persist, || wait(wrapped(&bare(), &plan, &[])));
    ran.exits(0);
    seen.assert_never_wider(&world.persist);
    snapshot::assert_same(&world.data(), &world.persist.join("made/here/data"));
    let made = State::of(std::fs::File::open(world.persist.join("made")).unwrap()).unwrap();
    assert_eq!((made.mode, made.acl), (0o755, Vec::new()), "what has to be made inherits nothing");
}

#[test]
fn a_replacement_is_as_closed_as_what_it_replaces() {
    need_root!();
    let world = World::ext4(128);
    plant(&world, 20);
    let plan = world.plan("");
    wait(wrapped(&bare(), &plan, &[])).exits(0);
    // The content changes, and two directories are closed: nothing may wait for the end of the run.
    for copy in 0..20 {
        let dir = world.data().join(copy.to_string());
        for (path, ..) in FILES {
            world.file(&format!("data/{copy}/{path}"), path.repeat(21));
        }
        for closed in ["acl", "bin"] {
            std::fs::set_permissions(dir.join(closed), PermissionsExt::from_mode(0o700)).unwrap();
        }
        // Writing has dropped the set-user-ID bits of the source.
        for (path, _, _, mode, acl) in FILES.iter().filter(|f| f.4.is_empty()) {
            assert!(acl.is_empty());
            std::fs::set_permissions(dir.join(path), PermissionsExt::from_mode(*mode)).unwrap();
        }
    }
    let (ran, seen) = watched(&world.persist, || wait(wrapped(&bare(), &plan, &[])));
    ran.exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    // The directories that were closed had their old mode until the run came to them.
    let seen =
        Seen(seen.0.into_iter().filter(|(path, _)| !path.ends_with(b"/acl") && !path.ends_with(b"/bin")).collect());
    seen.assert_never_wider(&world.persist);
}

#[test]
fn a_kill_at_any_instant_leaves_nothing_wider() {
    need_root!();
    let mut random = Random::seeded();
    let world = World::ext4(128);
    plant(&world, 60);
    let plan = world.plan("");
    let mut seen = Seen::default();
    for _ in 0..10 {
        let mut child = wrapped(&bare(), &plan, &["--threads", "2"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(random.below(400)));
        child.kill().ok();
        finish(child, "a killed run".into());
        seen.look(&world.persist);
    }
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    seen.assert_never_wider(&world.persist);
}

#[test]
fn a_mode_is_narrowed_where_its_acl_cannot_be_kept() {
    need_root!();
    let world = World::new("btrfs", 160, &[]);
    sh!("mount", "-o", "remount,noacl", world.persist);
    // By its ACL the group has nothing; the mode alone would show the mask in the group's place.
    let file = world.file("data/secret", "x");
    sh!("setfacl", "-m", "u:1234:rw,g::-,o::-", file);
    // The others may read, one of them must not.
    let file = world.file("data/not-for-1234", "x");
    sh!("setfacl", "-m", "u:1234:-,g::r,o::r", file);
    let plan = world.plan("");
    let ran = run(&plan, &[]).exits(1).says("without its ACL");
    assert!(ran.problems().iter().any(|(kind, _)| kind == "acl"), "{ran}");
    let mode = |name: &str| world.target().join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("secret"), mode("not-for-1234")), (0o600, 0o600));
    let again = run(&plan, &[]).exits(1);
    assert_eq!(again.total("copied"), 0, "a loss that is known is not copied again\n{again}");
}

#[test]
fn a_journal_directory_of_another_user_is_refused() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    std::fs::create_dir(world.persist.join(".persistcp")).unwrap();
    std::os::unix::fs::chown(world.persist.join(".persistcp"), Some(1000), None).unwrap();
    run(&world.plan(""), &[]).exits(3).says("another user");
    let elsewhere = world.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::remove_dir_all(world.persist.join(".persistcp")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, world.persist.join(".persistcp")).unwrap();
    run(&world.plan(""), &[]).exits(3);
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
}
