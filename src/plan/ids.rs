//! Names become numbers, from the machines' own files and never from the user
//! database of the machine that runs persistcp: an installer knows no `sinh`.
//!
//! The order: the plan's `[ids]`; the target's `/var/lib/nixos` maps and its
//! passwd and group, under the root and in each storage area; the backup's;
//! NixOS's static ids.

use super::renumber::{Both, Renumbering};
use super::resolved::{Drift, IdKind, Stranger};
use super::{Plan, static_ids};
use crate::path::RelPath;
use crate::sys::root::Root;
use crate::sys::{Errno, errno_words};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::path::Path;

/// Names of one file.
pub(crate) type Names = BTreeMap<String, u32>;

/// Reads one kind of file; the error says what is wrong with it.
type Parser = fn(&[u8]) -> Result<Names, String>;

/// A file that was looked at.
struct Place {
    shown: String,
    /// Below the root, or below the backup.
    path: RelPath,
    names: Names,
}

/// Everything that gives names numbers, in order of authority.
pub(super) struct Ids {
    users: Sides,
    groups: Sides,
    /// Files that are damaged: what is wrong with each.
    pub(super) damaged: Vec<Damaged>,
    /// Damaged files of the target that the plan replaces by the backup's good ones.
    pub(super) replaced: Vec<String>,
}

/// A file that gives no numbers.
pub(super) struct Damaged {
    /// On the target, or in the backup.
    side: Side,
    path: RelPath,
    pub(super) words: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Target,
    Backup,
}

#[derive(Default)]
struct Sides {
    target: Vec<Place>,
    backup: Vec<Place>,
}

/// Maps and passwd files are small; anything larger is something else.
const LARGEST: u64 = 16 << 20;

impl Ids {
    /// Reads what both machines have. Damaged files are collected, not fatal here.
    pub(super) fn read(plan: &Plan, source: Option<(&Root, &Path)>, root_path: &Path) -> Self {
        let (users, groups) = (Sides::default(), Sides::default());
        let mut ids = Self { users, groups, damaged: Vec::new(), replaced: Vec::new() };
        match Root::open(root_path) {
            Ok(root) => {
                let storages = plan.targets.iter().filter(|t| t.from.is_root() && !t.entries.is_empty());
                let mut bases = vec![RelPath::root()];
                bases.extend(storages.map(|t| t.to.clone()));
                for base in bases {
                    ids.side(&root, root_path, &base, Side::Target);
                }
            }
            // An absent root has no ids; preflight says so better.
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => {
                let words = format!("{} cannot be opened: {}", root_path.display(), errno_words(errno));
                ids.damaged.push(Damaged { side: Side::Target, path: RelPath::root(), words });
            }
        }
        if let Some((source, path)) = source {
            ids.side(source, path, &RelPath::root(), Side::Backup);
            ids.set_aside(plan, source);
        }
        ids
    }

    /// What a crash made of the target's map must not keep the plan from bringing it again.
    fn set_aside(&mut self, plan: &Plan, source: &Root) {
        let bad = |path: &RelPath| self.damaged.iter().any(|d| d.side == Side::Backup && d.path == *path);
        let brings = |damaged: &Damaged| {
            damaged.side == Side::Target
                && plan.targets.iter().any(|target| {
                    target.entries.iter().any(|entry| {
                        let below = damaged.path.strip_prefix(&target.to.join_path(&entry.path));
                        let src = below.map(|below| target.from.join_path(&entry.path).join_path(&below));
                        src.is_some_and(|src| source.open_in(&src, OFlags::PATH).is_ok() && !bad(&src))
                    })
                })
        };
        let replaced: Vec<bool> = self.damaged.iter().map(brings).collect();
        let mut replaced = replaced.into_iter();
        for damaged in std::mem::take(&mut self.damaged) {
            if replaced.next() == Some(true) {
                self.replaced.push(format!("{}; the plan brings the backup's", damaged.words));
            } else {
                self.damaged.push(damaged);
            }
        }
    }

    fn side(&mut self, root: &Root, shown: &Path, base: &RelPath, on: Side) {
        for (kind, map, table) in [(IdKind::User, "uid-map", "passwd"), (IdKind::Group, "gid-map", "group")] {
            let files: [(String, Parser); 2] =
                [(format!("var/lib/nixos/{map}"), parse_map), (format!("etc/{table}"), parse_table)];
            for (file, parse) in files {
                // Built from literals: always a path.
                let path = base.join_path(&RelPath::new(file.as_bytes()).unwrap_or_default());
                let shown = shown.join(path.as_path()).display().to_string();
                let names = match root.read(&path, LARGEST) {
                    Ok(bytes) => parse(&bytes),
                    Err(Errno::NOENT | Errno::NOTDIR) => Ok(Names::new()),
                    Err(errno) => Err(format!("cannot be read: {}", errno_words(errno))),
                };
                match names {
                    Ok(names) => {
                        let sides = match kind {
                            IdKind::User => &mut self.users,
                            IdKind::Group => &mut self.groups,
                        };
                        let side = match on {
                            Side::Target => &mut sides.target,
                            Side::Backup => &mut sides.backup,
                        };
                        side.push(Place { shown, path, names });
                    }
                    Err(what) => self.damaged.push(Damaged { side: on, path, words: format!("{shown} {what}") }),
                }
            }
        }
    }

    fn sides(&self, kind: IdKind) -> &Sides {
        match kind {
            IdKind::User => &self.users,
            IdKind::Group => &self.groups,
        }
    }

    /// The number of `name`, or the places where it is not.
    pub(super) fn find(&self, plan: &Plan, kind: IdKind, name: &str) -> Result<u32, Vec<String>> {
        let own = match kind {
            IdKind::User => &plan.users,
            IdKind::Group => &plan.groups,
        };
        if let Some(id) = own.get(name) {
            return Ok(*id);
        }
        let sides = self.sides(kind);
        for place in sides.target.iter().chain(&sides.backup) {
            if let Some(id) = place.names.get(name) {
                return Ok(*id);
            }
        }
        static_ids::find(kind, name).ok_or_else(|| {
            let own = "the plan's [ids]".to_string();
            let files = sides.target.iter().chain(&sides.backup).map(|p| p.shown.clone());
            std::iter::once(own).chain(files).chain(["NixOS's static ids".to_string()]).collect()
        })
    }

    /// A name of the number `id`: the plan's own, else the backup's, else NixOS's.
    pub(super) fn name(&self, plan: &Plan, kind: IdKind, id: u32) -> Option<String> {
        let own = match kind {
            IdKind::User => &plan.users,
            IdKind::Group => &plan.groups,
        };
        let backup = self.sides(kind).backup.iter().map(|place| &place.names);
        let found = std::iter::once(own).chain(backup).find_map(|names| names.iter().find(|(_, known)| **known == id));
        found.map(|(name, _)| name.clone()).or_else(|| static_ids::name(kind, id).map(str::to_string))
    }

    /// Names that have one number in the backup and another on the target, numbers that change
    /// hands, and what `--remap-ids` does about both.
    pub(super) fn renumbering(&self, plan: &Plan) -> (Vec<Drift>, Vec<Stranger>, Renumbering) {
        let (mut drift, mut strangers, mut renumbering) = (Vec::new(), Vec::new(), Renumbering::default());
        for (kind, own) in [(IdKind::User, &plan.users), (IdKind::Group, &plan.groups)] {
            let sides = self.sides(kind);
            let mut target: BTreeMap<String, (u32, Option<RelPath>)> =
                own.iter().map(|(name, id)| (name.clone(), (*id, None))).collect();
            for (place, (name, id)) in sides.target.iter().flat_map(|p| p.names.iter().map(move |n| (p, n))) {
                target.entry(name.clone()).or_insert_with(|| (*id, Some(place.path.clone())));
            }
            let mut backup = Names::new();
            for (name, id) in sides.backup.iter().flat_map(|p| &p.names) {
                backup.entry(name.clone()).or_insert(*id);
            }
            let (differ, change) = renumbering.add(&Both { kind, backup: &backup, target: &target });
            drift.extend(differ);
            strangers.extend(change);
        }
        (drift, strangers, renumbering)
    }
}

/// One JSON object `{"name": id}`, as update-users-groups.pl writes it.
pub(crate) fn parse_map(bytes: &[u8]) -> Result<Names, String> {
    let lost = "its content is lost, and NixOS activation would fail on it: restore it from the running machine";
    blank(bytes, lost)?;
    let pairs: Pairs =
        serde_json::from_slice(bytes).map_err(|e| format!("is not a map of names to numbers ({e}): {lost}"))?;
    let mut names = Names::new();
    let mut seen = BTreeMap::new();
    for (name, id) in pairs.0 {
        check_id(&name, id)?;
        if let Some(other) = seen.insert(id, name.clone()) {
            return Err(format!("gives the number {id} to both `{other}` and `{name}`: mend it by hand"));
        }
        if names.insert(name.clone(), id).is_some() {
            return Err(format!("has `{name}` twice: mend it by hand"));
        }
    }
    Ok(names)
}

/// What a crash leaves of a file that was not synced.
fn blank(bytes: &[u8], advice: &str) -> Result<(), String> {
    if bytes.is_empty() {
        return Err(format!("is empty: {advice}"));
    }
    if bytes.contains(&0) {
        return Err(format!("is filled with zeros, at least in part, as after a crash: {advice}"));
    }
    Ok(())
}

/// The largest number means "leave it" to chown(2).
fn check_id(name: &str, id: u32) -> Result<(), String> {
    if id == u32::MAX {
        Err(format!("gives `{name}` the number {id}, which is no id: mend it by hand"))
    } else {
        Ok(())
    }
}

/// A JSON object as a list, so that a repeated name is seen.
struct Pairs(Vec<(String, u32)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of names and ids")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// passwd(5) or group(5): the name is the first field, the number the third, and
/// not the last: a line that was cut off in its number must not give another one.
pub(crate) fn parse_table(bytes: &[u8]) -> Result<Names, String> {
    blank(bytes, "restore it from the running machine")?;
    let mut names = Names::new();
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        // Comments, and the NIS lines that include other databases.
        if line.is_empty() || line.starts_with(['#', '+', '-']) {
            continue;
        }
        let mut fields = line.split(':');
        let (name, id) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok()));
        match (name, id, fields.next()) {
            (Some(name), Some(id), Some(_)) if !name.is_empty() => {
                check_id(name, id)?;
                names.entry(name.to_string()).or_insert(id);
            }
            _ => return Err(format!("has a damaged line {}: mend it by hand", number + 1)),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_map;
    use proptest::prelude::*;
    use proptest::sample::Index;

    #[test]
    fn maps_as_nixos_writes_them() {
        let names = parse_map(br#"{"colord":997,"sinh":1000}"#).expect("a good map");
        assert_eq!(names.get("colord"), Some(&997));
    }

    #[test]
    fn damaged_maps_say_how() {
        for (bytes, word) in [
            (&b""[..], "empty"),
            (&[0; 100][..], "zeros"),
            (br#"{"a":1"#, "not a map"),
            (br#"["a"]"#, "not a map"),
            (br#"{"a":-1}"#, "not a map"),
            (br#"{"a":1,"b":1}"#, "both `a` and `b`"),
            (br#"{"a":1,"a":2}"#, "twice"),
            (br#"{"a":4294967295}"#, "no id"),
        ] {
            let error = parse_map(bytes).expect_err("damaged");
            assert!(error.contains(word), "{error} should say {word}");
        }
    }

    #[test]
    fn passwd_lines() {
        let names = parse_table(b"# c\nroot:x:0:0::/root:/bin/sh\n+::::\n\nsinh:x:1000:100::/home/sinh:\n");
        assert_eq!(names.expect("good").get("sinh"), Some(&1000));
        assert!(parse_table(b"root:x:zero:0\n").expect_err("bad").contains("line 1"));
        for (bytes, word) in
            [(&b""[..], "empty"), (&[0; 64], "zeros"), (b"sinh:x:10", "line 1"), (b"a:x:4294967295:", "no id")]
        {
            let error = parse_table(bytes).expect_err("damaged");
            assert!(error.contains(word), "{error} should say {word}");
        }
    }

    /// Names as machines have them, and hostile ones.
    fn names() -> impl Strategy<Value = Names> {
        let name = prop_oneof!["[a-z_][a-z0-9_-]{0,14}", "[^\\pC\\pZ:\"\\\\]{1,9}"];
        btree_map(name, 0..u32::MAX, 1..20)
    }

    /// Each number once: a map that gives one twice is damaged.
    fn distinct() -> impl Strategy<Value = Names> {
        names().prop_map(|names| {
            let by_id: BTreeMap<u32, String> = names.into_iter().map(|(name, id)| (id, name)).collect();
            by_id.into_iter().map(|(id, name)| (name, id)).collect()
        })
    }

    proptest! {
        #[test]
        fn parsers_never_panic(bytes: Vec<u8>, text in "[a-z0-9:{}\",\\n+#-]*") {
            for bytes in [&bytes, text.as_bytes()] {
                for parse in [parse_map, parse_table] {
                    prop_assert!(parse(bytes).map_or(true, |names| names.values().all(|id| *id != u32::MAX)));
                }
            }
        }

        #[test]
        fn a_good_map_gives_exactly_its_pairs(names in distinct()) {
            prop_assert_eq!(parse_map(serde_json::json!(names).to_string().as_bytes()), Ok(names));
        }

        #[test]
        fn a_map_that_lost_its_end_or_a_part_is_an_error(names in distinct(), at: Index, length in 1_usize..50) {
            let mut bytes = serde_json::json!(names).to_string().into_bytes();
            let at = at.index(bytes.len());
            prop_assert!(parse_map(&bytes[..at]).is_err());
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(0);
            prop_assert!(parse_map(&bytes).is_err());
        }

        #[test]
        fn a_good_table_gives_exactly_its_pairs(names in names(), passwd: bool) {
            // A `+` or `-` in front includes another database, a `#` is a comment.
            let names: Names = names.into_iter().filter(|(name, _)| !name.starts_with(['+', '-', '#'])).collect();
            let rest = if passwd { ":100::/home:/bin/sh" } else { ":a,b" };
            let text: String = names.iter().map(|(name, id)| format!("{name}:x:{id}{rest}\n")).collect();
            prop_assert_eq!(parse_table(format!("#\n{text}").as_bytes()), Ok(names));
        }

        #[test]
        fn a_table_that_lost_its_end_gives_no_wrong_number(names in names(), at: Index) {
            let text: String = names.iter().map(|(name, id)| format!("{name}:x:{id}:\n")).collect();
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            if let Ok(found) = parse_table(&bytes[..at]) {
                prop_assert!(found.iter().all(|(name, id)| names.get(name) == Some(id)), "{:?}", found);
            }
            // From the middle of a line on, nothing but zeros.
            bytes[at..].fill(0);
            prop_assert!(parse_table(&bytes).is_err());
        }
    }
}
