//! What the plan itself says of owners and modes holds in every kind of run.

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::run::{faulty, plain, run};
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

const AGAINST: &[&str] = &["--verify-only", "--against", "source"];

/// The first run, a second one that finds nothing to do, verification in all ways, a repair
/// that finds nothing, and a new beginning.
pub(crate) fn holds_in_every_run(plan: &Path) {
    run(plan, &[]).exits(0);
    let again = run(plan, &[]).exits(0);
    assert_eq!(again.total("copied"), 0, "{again}");
    run(plan, &["--verify-only"]).exits(0);
    run(plan, AGAINST).exits(0);
    let repaired = run(plan, &["--repair"]).exits(0);
    assert_eq!(repaired.total("copied"), 0, "{repaired}");
    run(plan, &["--verify-only"]).exits(0);
    run(plan, &["--restart", "--allow-nonempty"]).exits(0);
    run(plan, &["--verify-only"]).exits(0);
}

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn owner(path: impl AsRef<Path>) -> (u32, u32) {
    let stat = std::fs::symlink_metadata(path).unwrap();
    (stat.uid(), stat.gid())
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// A plan with one target from the source to /persist/s.
fn plan(world: &World, text: &str) -> std::path::PathBuf {
    world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/s\"\n{text}",
        world.source, world.root
    ))
}

#[test]
fn a_symbolic_mode_changes_what_the_inode_has() {
    need_root!();
    let world = World::ext4(64);
    for (path, bits) in [("home/u", 0o700), ("home/u/bin", 0o2775), ("home/u/run", 0o764), ("home/u/note", 0o666)] {
        if path.ends_with(['u', 'n']) && path != "home/u/run" {
            std::fs::create_dir_all(world.source.join(path)).unwrap();
        } else {
            world.file(path, "x");
        }
        set_mode(world.source.join(path), bits);
    }
    let text = "directories = [{ path = \"home/u\", mode = \"g+rx\" }]\n[[fixup]]\npath = \"/persist/s/home/u\"\nmode = \"go-w\"\n\
                recursive = true\ndir-mode = \"go-w\"\nfile-mode = \"go=rX,u-x\"\n";
    let plan = plan(&world, text);
    holds_in_every_run(&plan);
    let modes = ["", "bin", "run", "note"].map(|path| mode(world.persist.join("s/home/u").join(path)));
    assert_eq!(modes, [0o750, 0o2755, 0o655, 0o644]);
    plain(&["plan", "show", plan.to_str().unwrap()].map(OsStr::new)).exits(0).says("g+rx").says("go-w");
}

#[test]
fn a_symbolic_mode_without_an_inode_is_refused_where_it_stands() {
    let world = World::plain();
    let plan = plan(&world, "parents = { mode = \"go-w\" }\ndirectories = [\"a\"]\n");
    let check = |plan: &Path| plain(&[OsStr::new("plan"), OsStr::new("check"), plan.as_os_str()]);
    check(&plan).exits(2).says("plan.toml:8:20").says("nothing to be relative to");
}

#[test]
fn an_export_says_which_bits_it_cannot_know() {
    let world = World::plain();
    world.file("a/f", "x");
    set_mode(world.source.join("a"), 0o775);
    let plan = plan(&world, "directories = [{ path = \"a\", mode = \"go-w\" }]\n");
    let export = |form: &str, more: &[&str]| {
        plain(
            &[&["plan", "export", plan.to_str().unwrap(), "--format", form], more]
                .concat()
                .iter()
                .map(OsStr::new)
                .collect::<Vec<_>>(),
        )
    };
    export("tmpfiles", &[]).exits(0).says("d /persist/s/a 0755");
    export("rsync", &[]).exits(0).says("chmod go-w");
    export("json", &[]).exits(0).says("\"mode\": \"go-w\"");
    std::fs::rename(&world.source, world.path().join("away")).unwrap();
    export("tmpfiles", &[]).exits(1).says("the backup is not at hand (--source)");
}

#[test]
fn a_recursive_fixup_above_the_entries_is_put_on_while_copying() {
    need_root!();
    let world = World::ext4(64);
    for path in ["home/u/docs/a", "home/u/docs/deep/b", "home/u/.config/c"] {
        chown(world.file(path, path), Some(1), Some(2)).unwrap();
    }
    symlink("a", world.source.join("home/u/docs/link")).unwrap();
    set_mode(world.source.join("home/u/docs/a"), 0o666);
    let text = "directories = [\"home/u/docs\"]\nfiles = [\"home/u/.config/c\"]\n\
                [[fixup]]\npath = \"/persist/s/home\"\nowner = 7\ngroup = 8\nrecursive = true\nfile-mode = \"0600\"\n\
                [[fixup]]\npath = \"/persist/s/home/u/docs/deep\"\nmode = \"0711\"\n";
    let plan = plan(&world, text);
    let first = run(&plan, &[]).exits(0);
    assert_eq!(first.report["fixups"][0]["changed"], 0, "all of it was done by the copy\n{first}");
    holds_in_every_run(&plan);
    let home = world.persist.join("s/home");
    for path in ["", "u", "u/docs", "u/docs/a", "u/docs/link", "u/docs/deep/b", "u/.config", "u/.config/c"] {
        assert_eq!(owner(home.join(path)), (7, 8), "{path}");
    }
    assert_eq!((mode(home.join("u/docs/a")), mode(home.join("u/docs/deep"))), (0o600, 0o711));
}

#[test]
fn fixups_that_overlap_do_not_undo_each_other() {
    need_root!();
    let world = World::ext4(64);
    world.file("home/u/.ssh/id", "x");
    let text = "directories = [\"home/u\"]\n\
                [[fixup]]\npath = \"/persist/s/home/u\"\nrecursive = true\nfile-mode = \"0644\"\ndir-mode = \"0755\"\n\
                [[fixup]]\npath = \"/persist/s/home/u/.ssh\"\nmode = \"0700\"\nrecursive = true\nfile-mode = \"0600\"\n";
    let plan = plan(&world, text);
    holds_in_every_run(&plan);
    let ran = run(&plan, &[]).exits(0);
    assert_eq!(
        (&ran.report["fixups"][0]["changed"], &ran.report["fixups"][1]["changed"]),
        (&0.into(), &0.into()),
        "{ran}"
    );
    assert_eq!(mode(world.persist.join("s/home/u/.ssh/id")), 0o600);
}

#[test]
fn an_entry_that_is_a_link_or_a_fifo_gets_its_own_owner_too() {
    need_root!();
    let world = World::ext4(64);
    world.file("a/f", "x");
    rustix::fs::mknodat(rustix::fs::CWD, world.source.join("a/fifo"), rustix::fs::FileType::Fifo, 0o644.into(), 0)
        .unwrap();
    symlink("nowhere", world.source.join("a/link")).unwrap();
    let text = "files = [{ path = \"a/fifo\", owner = 5, mode = \"0600\" }, { path = \"a/link\", owner = 6 }]\n";
    holds_in_every_run(&plan(&world, text));
    let at = |name: &str| world.persist.join("s/a").join(name);
    assert_eq!((owner(at("fifo")).0, mode(at("fifo")), owner(at("link")).0), (5, 0o600, 6));
}

#[test]
fn a_name_that_looks_like_a_pattern_is_copied() {
    need_root!();
    let world = World::ext4(64);
    for path in ["srv/*/a", "srv/web/b", "srv/[x]/c", "opt/{y}/d"] {
        world.file(path, path);
    }
    let plan =
        plan(&world, "directories = [\"srv/*\", \"srv/[*]\", 'opt/\\{y\\}', { path = \"srv/[[]x]\", owner = 5 }]\n");
    holds_in_every_run(&plan);
    for path in ["srv/*/a", "srv/web/b", "srv/[x]/c", "opt/{y}/d"] {
        assert!(world.persist.join("s").join(path).exists(), "{path}");
    }
    assert_eq!(owner(world.persist.join("s/srv/[x]")).0, 5);
}

/// Two names of one inode in two entries, and another two in one.
fn linked(world: &World) {
    for (one, two) in [("home/u/a/one", "srv/b/two"), ("home/u/c/one", "home/u/c/two")] {
        let one = world.file(one, one);
        set_mode(&one, 0o644);
        std::fs::create_dir_all(world.source.join(two).parent().unwrap()).unwrap();
        std::fs::hard_link(one, world.source.join(two)).unwrap();
    }
    std::fs::hard_link(world.file("srv/b/free", "x"), world.source.join("home/u/free")).unwrap();
}

#[test]
fn what_a_fixup_says_of_one_name_holds_for_the_inode() {
    need_root!();
    let world = World::ext4(64);
    linked(&world);
    let text = "directories = [\"home/u\", \"srv\"]\n[[fixup]]\npath = \"/persist/s/home/u/a\"\nowner = 7\nrecursive = true\nfile-mode = \"0600\"\n\
                [[fixup]]\npath = \"/persist/s/home/u/c/two\"\nowner = 8\n";
    let plan = plan(&world, text);
    holds_in_every_run(&plan);
    let at = |name: &str| world.persist.join("s").join(name);
    for (one, two) in [("home/u/a/one", "srv/b/two"), ("home/u/c/one", "home/u/c/two"), ("srv/b/free", "home/u/free")] {
        let ino = |name| std::fs::metadata(at(name)).unwrap().ino();
        assert_eq!(ino(one), ino(two), "{one}");
    }
    assert_eq!((owner(at("srv/b/two")).0, mode(at("srv/b/two")), owner(at("home/u/c/one")).0), (7, 0o600, 8));
}

#[test]
fn what_an_entry_says_of_one_name_holds_for_the_inode_and_the_link_stays() {
    need_root!();
    let world = World::ext4(64);
    linked(&world);
    let text = "directories = [\"srv\"]\nfiles = [{ path = \"home/u/a/one\", owner = 7, mode = \"go-r\" }, \"home/u/c/one\",\n\
                { path = \"home/u/c/two\", owner = 9 }, \"home/u/free\"]\n";
    let plan = plan(&world, text);
    holds_in_every_run(&plan);
    let at = |name: &str| world.persist.join("s").join(name);
    assert_eq!((owner(at("srv/b/two")).0, mode(at("srv/b/two")), owner(at("home/u/c/one")).0), (7, 0o600, 9));
    assert_eq!(std::fs::metadata(at("srv/b/two")).unwrap().nlink(), 2);
    // Another word later is a later word for all names.
    let text = std::fs::read_to_string(&plan).unwrap().replace("owner = 7", "owner = 5");
    std::fs::write(&plan, text).unwrap();
    holds_in_every_run(&plan);
    assert_eq!((owner(at("srv/b/two")).0, std::fs::metadata(at("srv/b/two")).unwrap().nlink()), (5, 2));
}

#[test]
fn two_words_for_one_inode_are_refused() {
    need_root!();
    let world = World::ext4(64);
    linked(&world);
    let text = "directories = [\"srv\"]\nfiles = [{ path = \"home/u/a/one\", owner = 7 }]\n\
                [[fixup]]\npath = \"/persist/s/srv\"\nowner = 8\nrecursive = true\n";
    run(&plan(&world, text), &[]).exits(3).says("hard links").says("owner").says("7").says("8");
    assert!(!world.persist.join("s").exists());
}

#[test]
fn what_the_plan_says_of_a_name_that_could_not_be_looked_at_is_never_left_out_in_silence() {
    need_root!();
    let world = World::ext4(64);
    linked(&world);
    let text = "directories = [\"srv\"]\nfiles = [{ path = \"home/u/a/one\", owner = 7 }]\n\
                [[fixup]]\npath = \"/persist/s/srv\"\nowner = 8\nrecursive = true\n";
    let plan = plan(&world, text);
    let mut unseen = 0;
    // The two words are refused, unless the fault keeps one of them from being heard.
    for call in ["stat", "open", "getdents"] {
        for n in 1.. {
            let ran = faulty(&plan, &[], &format!("{call}:{n}:EIO"));
            assert!(matches!(ran.status, Some(1 | 3)), "{call} {n}: {ran}");
            if !ran.stderr.contains("fault injected") {
                break;
            }
            unseen += u32::from(ran.status == Some(1));
            for old in ["s", ".persistcp"] {
                std::fs::remove_dir_all(world.persist.join(old)).ok();
            }
        }
    }
    assert!(unseen > 1, "no fault met the look at the links");
}

#[test]
fn a_linked_file_is_never_wider_than_another_name_says() {
    need_root!();
    let world = World::ext4(64);
    linked(&world);
    let text = "directories = [\"srv\", \"home/u\"]\n[[fixup]]\npath = \"/persist/s/srv/b/two\"\nmode = \"0600\"\n";
    let ran = run(&plan(&world, text), &["--threads", "1"]).exits(0);
    assert_eq!(ran.report["fixups"][0]["changed"], 0, "the copy has put it on\n{ran}");
    assert_eq!(mode(world.persist.join("s/home/u/a/one")), 0o600);
}
