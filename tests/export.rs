//! `plan export`, and the Nix files of the worked example that it makes.

use crate::kit::disk::World;
use crate::kit::run::{Ran, plain};
use crate::kit::{have_tools, need_root, need_tools, sh, snapshot};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/emberroot")
}

fn export(plan: &Path, format: &str, more: &[&str]) -> Ran {
    let mut args = vec![OsStr::new("plan"), OsStr::new("export"), plan.as_os_str(), OsStr::new("--format")];
    args.push(OsStr::new(format));
    args.extend(more.iter().map(OsStr::new));
    plain(&args)
}

/// A plan over the world's backup.
fn plan(world: &World, targets: &str) -> PathBuf {
    world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n{targets}",
        world.source, world.root
    ))
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn nix_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { nix_files(&path) } else { vec![path] });
    files.filter(|path| path.extension() == Some(OsStr::new("nix"))).collect()
}

#[track_caller]
fn parses(text: &str) {
    assert_eq!(rnix::Root::parse(text).errors(), [], "{text}");
}

#[test]
fn the_lists_of_the_worked_example_are_those_of_its_plan() {
    let world = World::plain();
    let text = std::fs::read_to_string(example().join("mapping.toml")).unwrap();
    let plan = world.plan_text(&text.replace("/mnt/backup", "not-mounted"));
    let made = export(&plan, "nix", &[]).exits(0).says("cannot be opened").says("overlay2/*/merged").stdout;
    let file = example().join("nix/persist.nix");
    if std::env::var_os("PERSISTCP_BLESS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let shipped = std::fs::read_to_string(&file).unwrap();
    assert!(shipped == made, "{} is out of date: run the test with PERSISTCP_BLESS=1", file.display());
}

#[test]
fn every_nix_file_of_the_worked_example_parses() {
    let files = nix_files(&example().join("nix"));
    assert_eq!(files.len(), 6, "{files:?}");
    for file in &files {
        parses(&std::fs::read_to_string(file).unwrap());
    }
    if have_tools(&["nix-instantiate"]) {
        for file in &files {
            sh!("nix-instantiate", "--parse", file);
        }
    }
}

#[test]
fn a_home_goes_to_the_storage_and_keeps_its_private_modes() {
    let world = World::plain();
    world.file("home/s/.ssh/id", "x");
    world.file("home/s/docs/a", "x");
    mode(&world.source.join("home/s/.ssh"), 0o700);
    let plan =
        plan(&world, "[[target]]\nfrom = \"/home/s\"\nto = \"/persist/home/s\"\ndirectories = [\".ssh\", \"docs\"]\n");
    let ran = export(&plan, "nix", &[]).exits(0);
    let ran = ran.says("environment.persistence.\"/persist\" = {").says("users.s = {");
    let ran = ran.says("{ directory = \".ssh\"; mode = \"0700\"; }").says("        \"docs\"\n");
    assert!(!ran.stdout.contains("persist/home"), "{ran}");
    parses(&ran.stdout);
}

#[test]
fn a_whole_home_is_a_private_directory_of_its_user() {
    let world = World::plain();
    let plan = plan(&world, "[[target]]\nfrom = \"/home\"\nto = \"/persist/home\"\ndirectories = [\"s\"]\n");
    std::fs::remove_dir(&world.source).unwrap();
    export(&plan, "nix", &[]).exits(0).says("{ directory = \"/home/s\"; user = \"s\"; mode = \"0700\"; }");
}

#[test]
fn what_the_plan_opens_is_told() {
    let world = World::plain();
    mode(world.file("etc/keys/k", "x").parent().unwrap(), 0o700);
    let entry = "{ path = \"/etc/keys\", mode = \"0750\", owner = 5 }";
    let plan = plan(&world, &format!("[[target]]\nto = \"/persist\"\ndirectories = [{entry}]\n"));
    let ran = export(&plan, "nix", &[]).exits(0).says("the plan opens /etc/keys from 0700 to 0750");
    ran.says("{ directory = \"/etc/keys\"; user = \"5\"; mode = \"0750\"; }");
}

#[test]
fn a_home_that_is_not_in_home_is_the_users_without_a_backup_too() {
    let world = World::plain();
    let plan = plan(
        &world,
        "[[target]]\nfrom = \"/data/ann\"\nto = \"/persist/data/ann\"\nparents = { owner = \"ann\", group = \"users\" }\n\
         directories = [\".ssh\"]\n",
    );
    std::fs::remove_dir(&world.source).unwrap();
    for format in ["nix", "preservation"] {
        let ran = export(&plan, format, &[]).exits(0).says("users.ann = {");
        let ran = ran.says("{ directory = \".ssh\"; mode = \"0700\"; }");
        parses(&ran.stdout);
    }
}

#[test]
fn what_is_private_in_a_home_elsewhere_is_made_private() {
    let world = World::plain();
    let plan = plan(
        &world,
        "[[target]]\nfrom = \"/data/ann\"\nto = \"/persist/data/ann\"\nparents = { owner = \"ann\", group = \"users\" }\n\
         directories = [\".ssh\", \"Docs\"]\n[[target]]\nname = \"whole\"\nto = \"/persist\"\ndirectories = [\"/data/joe\"]\n\
         [[target]]\nname = \"joe\"\nfrom = \"/data/joe\"\nto = \"/persist/data/joe\"\n\
         parents = { owner = \"joe\", group = \"users\" }\nfiles = [\".a\"]\n",
    );
    std::fs::remove_dir(&world.source).unwrap();
    let ran = export(&plan, "tmpfiles", &[]).exits(0);
    for line in ["data/ann :0700 :ann :users", "data/ann/.ssh :0700 :ann :users", "data/ann/Docs :0755 :ann :users"] {
        assert!(ran.stdout.contains(&format!("d /persist/{line} -\n")), "{line}: {ran}");
    }
    let ran = export(&plan, "preservation", &[]).exits(0);
    ran.says("{ directory = \"/data/joe\"; user = \"joe\"; mode = \"0700\"; }");
}

#[test]
fn account_files_are_told_and_not_listed() {
    let world = World::plain();
    for name in ["shadow", "passwd", "machine-id"] {
        world.file(&format!("etc/{name}"), "x");
    }
    let plan = plan(
        &world,
        "[[target]]\nto = \"/persist\"\nfiles = [\"/etc/shadow\", \"/etc/passwd\", \"/etc/machine-id\"]\n",
    );
    for format in ["nix", "preservation"] {
        let ran = export(&plan, format, &[]).exits(1).says("not in the output: /etc/shadow").says("hashedPasswordFile");
        assert!(ran.stdout.contains("\"/etc/machine-id\"") && !ran.stdout.contains("  \"/etc/shadow\""), "{ran}");
        parses(&ran.stdout);
    }
    export(&plan, "rsync", &[]).exits(0).says("etc/shadow");
}

#[test]
fn a_target_that_is_not_a_storage_plus_its_source_cannot_be_expressed() {
    let world = World::plain();
    world.file("var/log/a", "x");
    let plan = plan(&world, "[[target]]\nfrom = \"/var\"\nto = \"/persist/state\"\ndirectories = [\"log\"]\n");
    for format in ["nix", "preservation"] {
        let ran = export(&plan, format, &[]).exits(1).says("not in the output").says("# Not said here:");
        parses(&ran.stdout);
    }
    export(&plan, "tmpfiles", &[]).exits(0).says("d /persist/state/log ");
}

#[test]
fn host_keys_are_named_where_they_are_stored() {
    let world = World::plain();
    for name in ["ed25519_key", "ed25519_key.pub", "odd"] {
        world.file(&format!("etc/ssh/ssh_host_{name}"), "x");
    }
    let plan = plan(&world, "[[target]]\nto = \"/persist/system\"\nfiles = [\"/etc/ssh/ssh_host_*\"]\n");
    let ran = export(&plan, "nix", &[]).exits(0).says("services.openssh.hostKeys = [");
    let ran = ran.says("{ path = \"/persist/system/etc/ssh/ssh_host_ed25519_key\"; type = \"ed25519\"; }");
    let ran = ran.says("      \"/etc/ssh/ssh_host_odd\"\n");
    assert!(!ran.stdout.contains("key.pub"), "{ran}");
}

#[test]
fn a_glob_that_only_the_backup_can_expand_is_told_when_it_is_not_there() {
    let world = World::plain();
    let plan = plan(&world, "[[target]]\nto = \"/persist/system\"\nfiles = [\"/etc/x*\"]\n");
    std::fs::remove_dir(&world.source).unwrap();
    export(&plan, "nix", &[]).exits(1).says("/etc/x*, which only the backup can expand");
    export(&plan, "json", &[]).exits(0).says("\"glob\": \"/etc/x*\"");
    export(&plan, "rsync", &[]).exits(0).says("add required 'etc/x'*");
    export(&plan, "nix", &["--source", "/does/not/exist"]).exits(3).says("refused: the source /does/not/exist");
}

#[test]
fn preservation_gets_every_owner_and_mode_of_the_backup() {
    need_root!();
    let world = World::plain();
    world.file("etc/passwd", "root:x:0:0::/:\ncolord:x:997:995::/:\n");
    world.file("etc/group", "root:x:0:\ncolord:x:995:\n");
    mode(&world.file("etc/secret", "x"), 0o600);
    mode(&world.file("etc/machine-id", "x"), 0o444);
    world.file("var/lib/colord/db", "x");
    sh!("chown", "997:995", world.source.join("var/lib/colord"));
    let entries = "directories = [\"/var/lib/colord\"]\nfiles = [\"/etc/secret\", \"/etc/machine-id\"]\n";
    let plan = plan(&world, &format!("[[target]]\nto = \"/persist\"\n{entries}"));
    let ran = export(&plan, "preservation", &[]).exits(0);
    let ran = ran.says("{ directory = \"/var/lib/colord\"; user = \"colord\"; group = \"colord\"; }");
    let ran = ran.says("{ file = \"/etc/secret\"; mode = \"0600\"; }");
    let ran = ran.says("{ file = \"/etc/machine-id\"; inInitrd = true; mode = \"0444\"; }");
    parses(&ran.stdout);
}

#[test]
fn preservation_warns_of_what_it_would_open_without_a_backup() {
    let world = World::plain();
    let plan = plan(&world, "[[target]]\nto = \"/persist\"\nfiles = [\"/etc/a\", \"/etc/b\"]\n");
    std::fs::remove_dir(&world.source).unwrap();
    export(&plan, "preservation", &[]).exits(0).says("nobody knows the mode of /etc/a and 1 more").says("0644");
}

#[test]
fn a_private_directory_above_an_entry_is_told() {
    let world = World::plain();
    world.file("var/lib/private/x/state", "x");
    mode(&world.source.join("var/lib/private"), 0o700);
    let plan = plan(&world, "[[target]]\nto = \"/persist\"\ndirectories = [\"/var/lib/private/x\"]\n");
    export(&plan, "nix", &[]).exits(0).says("/var/lib/private above an entry is 0700 in the backup");
}

#[test]
fn json_gives_names_as_written_and_exact_bytes() {
    let world = World::plain();
    std::fs::create_dir_all(world.source.join("d")).unwrap();
    std::fs::write(world.source.join("d").join(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"a\xff")), "")
        .unwrap();
    let entry = "{ path = \"/d/a*\", owner = \"colord\", group = 7, mode = \"0640\", need = \"optional\" }";
    let plan = plan(&world, &format!("[[target]]\nname = \"s\"\nto = \"/persist\"\nfiles = [{entry}]\n"));
    let json: serde_json::Value = serde_json::from_str(&export(&plan, "json", &[]).exits(0).stdout).unwrap();
    let entry = serde_json::json!({
        "live": "/d/a\\xff", "stored": "/persist/d/a\\xff", "kind": "file", "need": "optional", "owner": "colord",
        "group": 7, "mode": "0640", "glob": "/d/a*", "path_bytes": "L2QvYf8=", "stored_bytes": "L3BlcnNpc3QvZC9h/w==",
    });
    assert_eq!(json["areas"][0]["entries"], serde_json::json!([entry]));
    assert_eq!((&json["areas"][0]["storage"], &json["areas"][0]["home"]), (&"/persist".into(), &().into()));
    export(&plan, "nix", &[]).exits(1).says("whose name is not UTF-8");
}

#[test]
fn the_output_can_be_a_file() {
    let world = World::plain();
    let plan = world.plan("");
    let file = world.path().join("out.json");
    let ran = export(&plan, "json", &["--output", file.to_str().unwrap()]).exits(0);
    assert_eq!(ran.stdout, "");
    assert!(std::fs::read_to_string(file).unwrap().contains("\"plan\": \"t\""));
    export(&plan, "json", &["--output", "/does/not/exist"]).exits(1).says("/does/not/exist: cannot be written");
}

#[test]
fn tmpfiles_makes_the_directories_and_opens_none() {
    need_root!();
    need_tools!("systemd-tmpfiles");
    let world = World::plain();
    for dir in ["var/lib/a b%\"c\\\\d", "home/s/.ssh"] {
        world.file(&format!("{}/f", dir.replace("\\\\", "\\")), "x");
    }
    mode(&world.source.join("home/s/.ssh"), 0o700);
    let dirs = "directories = [\"/home/s/.ssh\", { path = '/var/lib/a b%\"c\\d', mode = \"0710\" }]\n";
    let plan = plan(&world, &format!("[[target]]\nto = \"/persist/system\"\n{dirs}"));
    let conf = world.path().join("p.conf");
    export(&plan, "tmpfiles", &["--output", conf.to_str().unwrap()]).exits(0);
    std::fs::create_dir(world.root.join("etc")).unwrap();
    sh!("systemd-tmpfiles", format!("--root={}", world.root.display()), "--create", conf);
    let mode_of =
        |path: &str| std::fs::metadata(world.persist.join("system").join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode_of("home/s/.ssh"), 0o700);
    assert_eq!(mode_of("var/lib/a b%\"c\\d"), 0o710);
    mode(&world.persist.join("system/home/s"), 0o711);
    sh!("systemd-tmpfiles", format!("--root={}", world.root.display()), "--create", conf);
    assert_eq!(mode_of("home/s"), 0o711);
}

/// A tree with names that a list, a shell and rsync could take for something else.
fn hostile(world: &World) -> PathBuf {
    for name in ["-n", "#a", ";b", "it's $x `y`", "new\nline", "sp ace ", "star*"] {
        world.file(&format!("d/{name}/f"), name);
    }
    world.file("d/-n/left.out", "x");
    world.file("etc/g1", "1");
    world.file("etc/g2", "2");
    world.file("home/s/.ssh/id", "k");
    mode(&world.source.join("home/s/.ssh"), 0o700);
    mode(&world.source.join("home/s"), 0o710);
    world.file("nix/store/a/b", "x");
    // Within the second of the copy rsync takes a directory's time for the same.
    sh!("find", world.source, "-exec", "touch", "-h", "-d", "@1000000000", "{}", "+");
    let dirs = r##"directories = ["/d/-n", "/d/#a", "/d/;b", "/d/it's $x `y`", "/d/new\nline", "/d/sp ace "]"##;
    plan(
        world,
        &format!(
            "[[target]]\nto = \"/persist/sys\"\n{dirs}\nfiles = [\"/etc/g?\"]\nexclude = [\"/d/*/left.out\"]\n\
             [[target]]\nfrom = \"/home/s\"\nto = \"/persist/home/s\"\n\
             directories = [\".ssh\", {{ path = \"gone\", need = \"optional\" }}]\n\
             [[map]]\nfrom = \"/nix\"\nto = \"/nix\"\n[[fixup]]\npath = \"/persist/sys/etc\"\n\
             mode = \"0711\"\nowner = 12\nrecursive = true\nfile-mode = \"0604\"\n"
        ),
    )
}

#[test]
fn the_rsync_script_copies_what_the_plan_declares() {
    need_root!();
    need_tools!("rsync");
    let world = World::plain();
    let plan = hostile(&world);
    let script = world.path().join("copy.sh");
    export(&plan, "rsync", &["--output", script.to_str().unwrap()]).exits(0);
    let out = Command::new("sh").arg(&script).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.contains("not in the source (optional)"), "{said}");
    let sys = world.persist.join("sys");
    assert!(!sys.join("d/-n/left.out").exists());
    std::fs::remove_file(world.source.join("d/-n/left.out")).unwrap();
    for name in ["-n", "#a", ";b", "it's $x `y`", "new\nline", "sp ace "] {
        let (from, to) = (world.source.join("d").join(name), sys.join("d").join(name));
        let text = std::fs::read(to.join("f")).unwrap_or_else(|e| panic!("{name:?}: {e}"));
        assert_eq!(text, name.as_bytes());
        assert_eq!(std::fs::read_dir(from).unwrap().count(), std::fs::read_dir(to).unwrap().count());
    }
    assert!(sys.join("etc/g2").exists() && !sys.join("d/star*").exists());
    snapshot::assert_same(&world.source.join("home/s/.ssh"), &world.persist.join("home/s/.ssh"));
    snapshot::assert_same(&world.source.join("nix"), &world.root.join("nix"));
    let mode_of = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode_of(world.persist.join("home/s")), mode_of(sys.join("etc"))), (0o710, 0o711));
    assert_eq!(mode_of(sys.join("etc/g1")), 0o604);
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(sys.join("etc/g1")).unwrap()), 12);
    std::fs::remove_file(world.source.join("etc/g1")).unwrap();
    std::fs::remove_file(world.source.join("etc/g2")).unwrap();
    assert_eq!(Command::new("sh").arg(&script).output().unwrap().status.code(), Some(1));
}
