//! Random plans over random trees: entries in entries, maps, patterns, fixups, links across
//! all of them. Where each name goes and what it shall have is worked out here anew, by the
//! rule that the innermost entry wins, and held against every kind of run.
//!
//! `PERSISTCP_TREES` asks for more of them, `PERSISTCP_SEED` for others.

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::random::{Random, Replay, from_env};
use crate::kit::run::run;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

struct Entry {
    src: String,
    dst: String,
    mapped: bool,
    owner: Option<u32>,
    mode: Option<&'static str>,
}

struct Fixup {
    path: String,
    owner: Option<u32>,
    mode: Option<&'static str>,
    recursive: bool,
    file_mode: Option<&'static str>,
}

#[derive(Default)]
struct Case {
    dirs: Vec<String>,
    files: Vec<String>,
    entries: Vec<Entry>,
    excluded: Vec<String>,
    fixups: Vec<Fixup>,
}

/// What the target shall have under a name.
#[derive(Debug, PartialEq)]
struct Wanted {
    is_dir: bool,
    owner: u32,
    mode: u32,
    content: String,
    /// The first name in order of the same inode.
    group: String,
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

fn changed(mode: u32, text: Option<&str>) -> u32 {
    match text {
        None => mode,
        Some("go-rwx") => mode & !0o077,
        Some("u+x,g=rX") => mode & !0o070 | 0o100 | 0o050,
        Some(octal) => u32::from_str_radix(octal, 8).unwrap(),
    }
}

impl Case {
    fn grow(root: &Path, random: &mut Random) -> Self {
        let mut case = Self::default();
        for _ in 0..random.between(4, 14) {
            let above = if case.dirs.is_empty() || random.once_in(4) { "" } else { random.pick(&case.dirs).as_str() };
            let dir = format!("{above}/{}", random.pick(&["a", "b", "c", "*"]));
            if !case.dirs.contains(&dir) {
                std::fs::create_dir(root.join(&dir[1..])).unwrap();
                case.dirs.push(dir);
            }
        }
        for n in 0..random.between(8, 30) {
            let path = format!("{}/f{n}", random.pick(&case.dirs));
            let at = root.join(&path[1..]);
            match random.below(8) {
                0 => symlink("nowhere", &at).unwrap(),
                1..4 if !case.files.is_empty() => {
                    std::fs::hard_link(root.join(&random.pick(&case.files)[1..]), &at).unwrap();
                    case.files.push(path);
                }
                _ => {
                    std::fs::write(&at, &path).unwrap();
                    std::fs::set_permissions(&at, PermissionsExt::from_mode(*random.pick(&[0o644, 0o600, 0o755])))
                        .unwrap();
                    chown(&at, Some(*random.pick(&[0, 3])), Some(0)).unwrap();
                    case.files.push(path);
                }
            }
        }
        case.plan(random);
        case
    }

    fn plan(&mut self, random: &mut Random) {
        let mut taken = BTreeSet::new();
        for n in 0..random.between(2, 6) {
            let from = if random.once_in(3) && !self.files.is_empty() { &self.files } else { &self.dirs };
            let src = random.pick(from).clone();
            if !taken.insert(src.clone()) {
                continue;
            }
            let mapped = random.once_in(3);
            let dst = if mapped { format!("/persist/m{n}") } else { format!("/persist/t{src}") };
            let owner = random.once_in(5).then_some(5).filter(|_| !mapped);
            let mode = random.once_in(4).then(|| *random.pick(&["0700", "go-rwx", "u+x,g=rX"])).filter(|_| !mapped);
            self.entries.push(Entry { src, dst, mapped, owner, mode });
        }
        for _ in 0..random.below(3) {
            self.excluded.push(random.pick(&self.dirs).clone());
        }
        let places: Vec<String> = self.places().into_keys().collect();
        for _ in 0..random.below(4) {
            let mut path = random.pick(&places).as_str();
            while random.once_in(2) && path.matches('/').count() > 2 {
                path = &path[..path.rfind('/').unwrap()];
            }
            let recursive = random.once_in(2);
            self.fixups.push(Fixup {
                path: path.to_string(),
                owner: (recursive || random.once_in(2)).then_some(7),
                mode: random.once_in(2).then(|| *random.pick(&["0710", "go-rwx"])).or((!recursive).then_some("0700")),
                recursive,
                file_mode: (recursive && random.once_in(2)).then_some("go-rwx"),
            });
        }
    }

    /// Every destination and its source: the innermost entry decides.
    fn places(&self) -> BTreeMap<String, (String, &Entry)> {
        let mut all: Vec<&String> = self.dirs.iter().chain(&self.files).collect();
        all.sort();
        let mut places = BTreeMap::new();
        for src in all {
            let holds = |entry: &&Entry| entry.src == *src || is_below(src, &entry.src);
            let Some(entry) = self.entries.iter().filter(holds).max_by_key(|e| e.src.len()) else { continue };
            let is_left_out = |pattern: &String| {
                is_below(pattern, &entry.src) && (pattern == src || is_below(src, pattern)) && !entry.mapped
            };
            if !self.excluded.iter().any(is_left_out) {
                places.insert(format!("{}{}", entry.dst, &src[entry.src.len()..]), (src.clone(), entry));
            }
        }
        places
    }

    fn text(&self, world: &World) -> String {
        let quoted = |path: &str| format!("'{}'", path.replace('*', "[*]"));
        let mut text = format!(
            "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"t\"\nto = \"/persist/t\"\nexclude = [{}]\n",
            world.source,
            world.root,
            self.excluded.iter().map(|p| quoted(p)).collect::<Vec<_>>().join(", ")
        );
        for (key, is_file) in [("directories", false), ("files", true)] {
            let of_kind = self.entries.iter().filter(|e| !e.mapped && self.files.contains(&e.src) == is_file);
            let lines: Vec<String> = of_kind
                .map(|e| {
                    let mut line = format!("{{ path = {}", quoted(&e.src));
                    e.owner.iter().for_each(|owner| write!(line, ", owner = {owner}").unwrap());
                    e.mode.iter().for_each(|mode| write!(line, ", mode = \"{mode}\"").unwrap());
                    line + " }"
                })
                .collect();
            writeln!(text, "{key} = [{}]", lines.join(", ")).unwrap();
        }
        for entry in self.entries.iter().filter(|e| e.mapped) {
            writeln!(text, "[[map]]\nfrom = '{}'\nto = \"{}\"", entry.src, entry.dst).unwrap();
        }
        for fixup in &self.fixups {
            writeln!(text, "[[fixup]]\npath = '{}'\nrecursive = {}", fixup.path, fixup.recursive).unwrap();
            fixup.owner.iter().for_each(|owner| writeln!(text, "owner = {owner}").unwrap());
            fixup.mode.iter().for_each(|mode| writeln!(text, "mode = \"{mode}\"").unwrap());
            fixup.file_mode.iter().for_each(|mode| writeln!(text, "file-mode = \"{mode}\"").unwrap());
        }
        text
    }

    /// Owner and mode that the plan gives `dst`, as far as it speaks of it.
    fn said(&self, dst: &str, src: &str, entry: &Entry, stat: &std::fs::Metadata) -> (Option<u32>, Option<u32>) {
        let (mode, is_dir) = (stat.mode() & 0o7777, stat.is_dir());
        let own = entry.src == src;
        let mut owner = entry.owner.filter(|_| own);
        let mut said = entry.mode.filter(|_| own).map(|text| changed(mode, Some(text)));
        for fixup in &self.fixups {
            let text = if fixup.path == dst {
                fixup.mode
            } else if fixup.recursive && is_below(dst, &fixup.path) {
                fixup.file_mode.filter(|_| !is_dir)
            } else {
                continue;
            };
            owner = fixup.owner.or(owner);
            said = text.map(|text| changed(said.unwrap_or(mode), Some(text))).or(said);
        }
        (owner, said)
    }

    fn wanted(&self, root: &Path) -> BTreeMap<String, Wanted> {
        let places = self.places();
        let stat = |src: &str| std::fs::symlink_metadata(root.join(&src[1..])).unwrap();
        let mut words: BTreeMap<u64, (Option<u32>, Option<u32>)> = BTreeMap::new();
        let mut groups: BTreeMap<u64, String> = BTreeMap::new();
        for (dst, (src, entry)) in &places {
            let stat = stat(src);
            let (owner, mode) = self.said(dst, src, entry, &stat);
            let word = words.entry(stat.ino()).or_default();
            *word = (owner.or(word.0), mode.or(word.1));
            groups.entry(stat.ino()).or_insert_with(|| dst.clone());
        }
        let wanted = |(dst, (src, _)): (String, (String, &Entry))| {
            let stat = stat(&src);
            let (owner, mode) = words[&stat.ino()];
            let content =
                if stat.is_dir() { String::new() } else { std::fs::read_to_string(root.join(&src[1..])).unwrap() };
            let (owner, mode) = (owner.unwrap_or(stat.uid()), mode.unwrap_or(stat.mode() & 0o7777));
            (dst, Wanted { is_dir: stat.is_dir(), owner, mode, content, group: groups[&stat.ino()].clone() })
        };
        places.into_iter().map(wanted).collect()
    }
}

/// What stands below the root, but for symlinks, and directories on the way to something.
fn found(root: &Path, wanted: &BTreeMap<String, Wanted>) -> BTreeMap<String, Wanted> {
    let (mut found, mut groups) = (BTreeMap::new(), BTreeMap::new());
    let mut waiting = vec![root.join("persist")];
    let mut all: Vec<PathBuf> = Vec::new();
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            let own = [".persistcp", "lost+found"].iter().any(|name| entry.ends_with(name));
            if !own && !entry.is_symlink() {
                waiting.extend(entry.is_dir().then(|| entry.clone()));
                all.push(entry);
            }
        }
    }
    all.sort();
    for path in all {
        let dst = format!("/{}", path.strip_prefix(root).unwrap().to_str().unwrap());
        let stat = std::fs::metadata(&path).unwrap();
        let on_the_way = stat.is_dir() && !wanted.contains_key(&dst) && wanted.keys().any(|w| is_below(w, &dst));
        if !on_the_way {
            let content = if stat.is_dir() { String::new() } else { std::fs::read_to_string(&path).unwrap() };
            let group = groups.entry(stat.ino()).or_insert_with(|| dst.clone()).clone();
            let (owner, mode) = (stat.uid(), stat.mode() & 0o7777);
            found.insert(dst, Wanted { is_dir: stat.is_dir(), owner, mode, content, group });
        }
    }
    found
}

#[test]
fn each_name_is_at_its_own_place_with_what_the_plan_says() {
    need_root!();
    let seeds = from_env("PERSISTCP_SEED", 7_000);
    let mut refused = 0;
    let trees = from_env("PERSISTCP_TREES", 40);
    for seed in seeds..seeds + trees {
        let _replay = Replay { seed, test: "random_plans::" };
        let world = World::ext4(32);
        let case = Case::grow(&world.source, &mut Random::new(seed));
        let text = case.text(&world);
        println!("{text}");
        let plan = world.plan_text(&text);
        let wanted = case.wanted(&world.source);
        let first = run(&plan, &[]);
        if first.stderr.contains("hard links; give all of them the same") {
            refused += 1;
            first.exits(3);
            continue;
        }
        first.exits(0);
        assert_eq!(found(&world.root, &wanted), wanted);
        for args in
            [&[][..], &["--verify-only"], &["--verify-only", "--against", "source"], &["--repair"], &["--verify-only"]]
        {
            assert_eq!(run(&plan, args).exits(0).total("copied"), 0, "{args:?}");
        }
        run(&plan, &["--restart", "--allow-nonempty"]).exits(0);
        assert_eq!(found(&world.root, &wanted), wanted);
    }
    assert!(refused < trees / 2 + 1, "{refused} of {trees} plans say two things of one inode");
}
