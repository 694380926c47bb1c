//! Names with one number in the backup and another on the target.

use crate::kit::disk::World;
use crate::kit::run::{plain, run};
use crate::kit::{need_root, sh};
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A backup in which `colord` is 997 and `swap` 994, and a target where they have changed
/// places; `geoclue` is 990 in the backup and unknown on the target, where `newcomer` has it.
fn machines() -> (World, PathBuf) {
    let world = World::ext4(64);
    for (map, backup, target) in [
        ("uid-map", r#"{"colord":997,"swap":994,"geoclue":990}"#, r#"{"colord":994,"swap":997,"newcomer":990}"#),
        ("gid-map", r#"{"colord":995}"#, r#"{"colord":985}"#),
    ] {
        world.file(&format!("var/lib/nixos/{map}"), backup);
        let storage = world.persist.join("system/var/lib/nixos");
        std::fs::create_dir_all(&storage).unwrap();
        std::fs::write(storage.join(map), target).unwrap();
    }
    let plan = world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"system\"\nto = \"/persist/system\"\n\
         directories = [\"/d\"]\n",
        world.source, world.root
    ));
    (world, plan)
}

fn owned(world: &World, path: &str, uid: u32, gid: u32) -> PathBuf {
    let path = world.file(path, format!("of {uid}"));
    chown(&path, Some(uid), Some(gid)).unwrap();
    path
}

fn owner(path: &Path) -> (u32, u32) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    (meta.uid(), meta.gid())
}

fn acl(path: &Path) -> String {
    let out = Command::new("getfacl").args(["-n", "-c", "-E", "-p"]).arg(path).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

const REMAP: &[&str] = &["--allow-nonempty", "--remap-ids"];

#[test]
fn owners_and_acl_entries_get_the_numbers_of_the_target() {
    need_root!();
    let (world, plan) = machines();
    owned(&world, "d/colord", 997, 995);
    let swap = owned(&world, "d/swap", 994, 100);
    std::os::unix::fs::symlink("nowhere", world.source.join("d/link")).unwrap();
    std::os::unix::fs::lchown(world.source.join("d/link"), Some(997), Some(995)).unwrap();
    sh!("setfacl", "-m", "u:997:rw,u:994:r,u:1234:r,g:995:rx", swap);
    sh!("setfacl", "-d", "-m", "u:997:rwx", world.source.join("d"));
    sh!("chmod", "u+s", swap);
    let ran = run(&plan, REMAP).exits(0).says("files got the number of the target");
    assert_eq!(ran.report["ids"][0]["remapped"], true, "{ran}");
    let target = world.persist.join("system/d");
    assert_eq!(owner(&target.join("colord")), (994, 985));
    assert_eq!(owner(&target.join("link")), (994, 985));
    assert_eq!(owner(&target.join("swap")), (997, 100));
    assert_eq!(std::fs::metadata(target.join("swap")).unwrap().mode() & 0o7000, 0o4000);
    let access = acl(&target.join("swap"));
    for entry in ["user:994:rw-", "user:997:r--", "user:1234:r--", "group:985:r-x"] {
        assert!(access.lines().any(|line| line == entry), "{entry} is missing in\n{access}");
    }
    assert!(acl(&target).contains("default:user:994:rwx"), "{}", acl(&target));
    let again = run(&plan, REMAP).exits(0);
    assert_eq!(again.total("copied"), 0, "{again}");
    run(&plan, &["--verify-only"]).exits(0);
    run(&plan, &["--verify-only", "--against", "source"]).exits(0);
}

#[test]
fn a_comparison_with_the_source_asks_for_the_numbers_that_were_wished_for() {
    need_root!();
    let (world, plan) = machines();
    owned(&world, "d/colord", 997, 995);
    let named = owned(&world, "d/named", 1000, 100);
    sh!("setfacl", "-m", "u:997:rw", named);
    run(&plan, &REMAP[..1]).exits(0);
    run(&plan, &["--verify-only", "--against", "source"]).exits(0);
    let kept = run(&plan, &["--verify-only", "--against", "source", "--remap-ids"]).exits(1);
    for (kind, path) in [("owner", "/persist/system/d/colord"), ("acl", "/persist/system/d/named")] {
        assert!(kept.problems().contains(&(kind.into(), path.into())), "{kept}");
    }
}

#[test]
fn without_remap_ids_numbers_stay_and_the_table_is_shown() {
    need_root!();
    let (world, plan) = machines();
    owned(&world, "d/colord", 997, 995);
    let ran = run(&plan, &["--allow-nonempty"]).exits(0).says("files keep the number of the backup");
    assert!(ran.stdout.contains("user   colord                  997     994"), "{ran}");
    assert!(ran.stdout.contains("`geoclue` in the backup and `newcomer` on the target"), "{ran}");
    assert_eq!(owner(&world.persist.join("system/d/colord")), (997, 995));
}

#[test]
fn a_later_run_goes_on_as_the_last_one_until_restart() {
    need_root!();
    let (world, plan) = machines();
    owned(&world, "d/colord", 997, 995);
    owned(&world, "d/plain", 1000, 100);
    let linked = owned(&world, "d/linked", 994, 100);
    std::fs::hard_link(&linked, world.source.join("d/linked too")).unwrap();
    let named = owned(&world, "d/named", 1000, 100);
    sh!("setfacl", "-m", "u:997:rw", named);
    let target = world.persist.join("system/d");
    let keep = &REMAP[..1];
    let (kept, remapped) = ((997, 994, "997"), (994, 997, "994"));
    for (args, (colord, linked, entry)) in [
        (keep, kept),
        (REMAP, remapped),
        (keep, remapped),
        (&["--repair"], remapped),
        (&["--allow-nonempty", "--restart"], kept),
        (REMAP, remapped),
    ] {
        let ran = run(&plan, args).exits(0);
        let goes_on = ran.report["notes"].to_string().contains("as an earlier run with --remap-ids began");
        assert_eq!(goes_on, (colord, args.contains(&"--remap-ids")) == (994, false), "{ran}");
        assert_eq!(owner(&target.join("colord")).0, colord);
        assert_eq!(owner(&target.join("linked")).0, linked);
        assert_eq!(owner(&target.join("linked too")).0, linked);
        assert!(acl(&target.join("named")).contains(&format!("user:{entry}:rw-")), "{}", acl(&target.join("named")));
        let ino = |name: &str| std::fs::metadata(target.join(name)).unwrap().ino();
        assert_eq!(ino("linked"), ino("linked too"));
        let again = run(&plan, keep).exits(0);
        assert_eq!(again.total("copied"), 0, "{again}");
    }
}

#[test]
fn a_number_that_another_name_has_on_the_target_is_a_problem_until_ids_settles_it() {
    need_root!();
    let (world, plan) = machines();
    owned(&world, "d/geoclue", 990, 100);
    let ran = run(&plan, REMAP).exits(1).says("give the name of the backup a number in the plan's [ids]");
    assert_eq!(ran.problems(), [("owner".to_string(), "/persist/system/d/geoclue".to_string())], "{ran}");
    run(&plan, REMAP).exits(1);
    let text = std::fs::read_to_string(&plan).unwrap();
    let plan = world.plan_text(&text.replace("[[target]]", "[ids]\nusers = { geoclue = 991 }\n[[target]]"));
    run(&plan, REMAP).exits(0);
    assert_eq!(owner(&world.persist.join("system/d/geoclue")).0, 991);
}

#[test]
fn a_plan_that_would_replace_the_targets_maps_is_refused() {
    need_root!();
    let (world, plan) = machines();
    owned(&world, "d/colord", 997, 995);
    let text = std::fs::read_to_string(&plan).unwrap();
    let with_maps = text.replace("[\"/d\"]", "[\"/d\", \"/var/lib/nixos\"]");
    let plan = world.plan_text(&with_maps);
    run(&plan, REMAP).exits(3).says("would replace /persist/system/var/lib/nixos/uid-map").says("exclude = [");
    let kept = "exclude = [\"/var/lib/nixos/uid-map\", \"/var/lib/nixos/gid-map\"]\n";
    let plan = world.plan_text(&format!("{with_maps}{kept}"));
    run(&plan, REMAP).exits(0);
    assert_eq!(owner(&world.persist.join("system/d/colord")), (994, 985));
    let map = std::fs::read_to_string(world.persist.join("system/var/lib/nixos/uid-map")).unwrap();
    assert!(map.contains("newcomer"), "{map}");
}

#[test]
fn remap_ids_does_nothing_for_the_manifest_and_says_so() {
    let args = ["--plan", "none.toml", "--verify-only", "--remap-ids"].map(OsStr::new);
    plain(&args).exits(2).says("--against source");
}

#[test]
fn a_map_that_a_crash_filled_with_zeros_is_brought_again() {
    need_root!();
    let (world, _) = machines();
    let plan = world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"system\"\nto = \"/persist/system\"\n\
         directories = [{{ path = \"/var/lib/nixos\", owner = \"colord\" }}]\n",
        world.source, world.root
    ));
    run(&plan, &["--allow-nonempty"]).exits(0);
    let map = world.persist.join("system/var/lib/nixos/uid-map");
    let good = std::fs::read(&map).unwrap();
    for args in [&["--repair", "--overwrite"][..], &["--overwrite"]] {
        std::fs::write(&map, vec![0; good.len()]).unwrap();
        run(&plan, args).exits(0).says("the plan brings the backup's");
        assert_eq!(std::fs::read(&map).unwrap(), good);
        assert_eq!(owner(map.parent().unwrap()).0, 997);
    }
    // A map that is bad on both sides is nobody's authority.
    world.file("var/lib/nixos/uid-map", [0; 40]);
    std::fs::write(&map, [0; 40]).unwrap();
    run(&plan, &[]).exits(2).says("mnt/persist/system/var/lib/nixos/uid-map").says("backup/var/lib/nixos/uid-map");
}
