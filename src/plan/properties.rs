//! Properties of every plan, good or damaged.

use super::*;
use crate::engine::mapping::mode::Mode;
use crate::engine::mapping::model::{EntryKind, Need};
use crate::sys::stat::Kind;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// A plan as a test writes it, and must read it back.
#[derive(Clone, Debug)]
struct WrittenPlan {
    name: String,
    source: String,
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    targets: Vec<WrittenTarget>,
    maps: Vec<Vec<String>>,
    fixups: Vec<WrittenFixup>,
}

#[derive(Clone, Debug)]
struct WrittenTarget {
    need: Option<Need>,
    parents: Option<Own>,
    exclude: Vec<String>,
    directories: Vec<WrittenEntry>,
    files: Vec<WrittenEntry>,
}

#[derive(Clone, Debug)]
struct WrittenEntry {
    below: String,
    own: Own,
    need: Option<Need>,
}

#[derive(Clone, Debug)]
struct WrittenFixup {
    own: Own,
    recursive: bool,
    file_mode: Option<u32>,
}

/// Owner, group and mode, each given or not.
#[derive(Clone, Debug)]
struct Own {
    owner: Option<String>,
    group: Option<String>,
    mode: Option<u32>,
}

const NEEDS: [(Need, &str); 4] = [
    (Need::Critical, "critical"),
    (Need::Required, "required"),
    (Need::Recommended, "recommended"),
    (Need::Optional, "optional"),
];

fn id() -> impl Strategy<Value = u32> {
    0..u32::MAX
}

/// No slash and nothing special in a glob; the first letter keeps it from being `..`.
fn component() -> impl Strategy<Value = String> {
    "n[^\\pC/\\\\*?\\[\\]{}!]{0,9}"
}

fn user() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_-]{0,12}", id().prop_map(|id| id.to_string())]
}

fn own() -> impl Strategy<Value = Own> {
    (option::of(user()), option::of(user()), option::of(0..=0o7777_u32)).prop_map(|(owner, group, mode)| Own {
        owner,
        group,
        mode,
    })
}

fn need() -> impl Strategy<Value = Option<Need>> {
    option::of(select(NEEDS.map(|(need, _)| need).to_vec()))
}

fn entries() -> impl Strategy<Value = Vec<WrittenEntry>> {
    vec((component(), own(), need()).prop_map(|(below, own, need)| WrittenEntry { below, own, need }), 0..4)
}

fn target() -> impl Strategy<Value = WrittenTarget> {
    let exclude = btree_set("[a-z*]{1,8}", 0..3).prop_map(|set| set.into_iter().collect());
    (need(), option::of(own()), exclude, entries(), entries()).prop_map(
        |(need, parents, exclude, directories, files)| WrittenTarget { need, parents, exclude, directories, files },
    )
}

fn written() -> impl Strategy<Value = WrittenPlan> {
    let fixup = (own(), any::<bool>(), option::of(0..=0o7777_u32)).prop_map(|(own, recursive, file_mode)| {
        // One that changes nothing is an error, and so is `file-mode` without `recursive`.
        let own = Own { mode: own.mode.or(Some(0o700)), ..own };
        WrittenFixup { own, recursive, file_mode: file_mode.filter(|_| recursive) }
    });
    let ids = || btree_map(component(), id(), 0..4);
    let maps = vec(vec(component(), 1..4), 1..3);
    ("[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,20}", component(), ids(), ids(), vec(target(), 0..3), maps, vec(fixup, 0..3))
        .prop_map(|(name, source, users, groups, targets, maps, fixups)| WrittenPlan {
            name,
            source: format!("/{source}"),
            users,
            groups,
            targets,
            maps,
            fixups,
        })
}

/// A TOML string: for the characters used here its escapes are JSON's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn bits(mode: Option<&Mode>) -> Option<u32> {
    mode.and_then(|mode| mode.change().absolute())
}

fn word(need: Need) -> &'static str {
    NEEDS.iter().find(|(n, _)| *n == need).map_or("", |(_, word)| word)
}

impl Own {
    fn pairs(&self) -> Vec<String> {
        let mut out = Vec::new();
        out.extend(self.owner.as_ref().map(|owner| format!("owner = {}", quoted(owner))));
        out.extend(self.group.as_ref().map(|group| format!("group = {}", quoted(group))));
        out.extend(self.mode.map(|mode| format!("mode = \"{mode:04o}\"")));
        out
    }

    fn is(&self, owner: Option<&IdRef>, group: Option<&IdRef>, mode: Option<u32>) -> bool {
        let same = |written: Option<&String>, read: Option<&IdRef>| match (written, read.map(|r| &r.value)) {
            (Some(text), Some(IdValue::Name(name))) => text == name && text.parse::<u32>().is_err(),
            (Some(text), Some(IdValue::Number(id))) => *text == id.to_string(),
            (written, read) => written.is_none() && read.is_none(),
        };
        same(self.owner.as_ref(), owner) && same(self.group.as_ref(), group) && self.mode == mode
    }
}

impl WrittenPlan {
    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = format!("version = 1\nname = \"{}\"\nsource = {}\n", self.name, quoted(&self.source));
        for (key, names) in [("users", &self.users), ("groups", &self.groups)] {
            writeln!(out, "[ids.{key}]")?;
            names.iter().try_for_each(|(name, id)| writeln!(out, "{} = {id}", quoted(name)))?;
        }
        for (t, target) in self.targets.iter().enumerate() {
            write!(out, "[[target]]\nfrom = \"/from/{t}\"\nto = \"/to/{t}\"\nexclude = {:?}\n", target.exclude)?;
            target.need.iter().try_for_each(|need| writeln!(out, "need = \"{}\"", word(*need)))?;
            let parents = target.parents.iter().map(|own| own.pairs().join(", "));
            parents.into_iter().try_for_each(|pairs| writeln!(out, "parents = {{ {pairs} }}"))?;
            for (key, entries) in [("directories", &target.directories), ("files", &target.files)] {
                writeln!(out, "{key} = [")?;
                for (e, entry) in entries.iter().enumerate() {
                    let mut pairs = vec![format!("path = {}", quoted(&format!("{key}/{e}/{}", entry.below)))];
                    pairs.extend(entry.own.pairs());
                    pairs.extend(entry.need.map(|need| format!("need = \"{}\"", word(need))));
                    writeln!(out, "  {{ {} }},", pairs.join(", "))?;
                }
                writeln!(out, "]")?;
            }
        }
        for (m, names) in self.maps.iter().enumerate() {
            let from = quoted(&format!("/map/{m}/{}", names.join("/")));
            write!(out, "[[map]]\nfrom = {from}\nto = \"/mapped/{m}\"\n")?;
        }
        for (f, fixup) in self.fixups.iter().enumerate() {
            write!(out, "[[fixup]]\npath = \"/to/{f}\"\nrecursive = {}\n", fixup.recursive)?;
            fixup.own.pairs().iter().try_for_each(|pair| writeln!(out, "{pair}"))?;
            fixup.file_mode.iter().try_for_each(|mode| writeln!(out, "file-mode = \"{mode:o}\""))?;
        }
        Ok(out)
    }

    fn is(&self, plan: &Plan) -> Result<(), TestCaseError> {
        prop_assert_eq!(&plan.name, &self.name);
        prop_assert_eq!(&plan.source, &Some(self.source.clone().into()));
        prop_assert_eq!((&plan.users, &plan.groups), (&self.users, &self.groups));
        prop_assert_eq!(plan.targets.len(), self.targets.len() + self.maps.len());
        for (t, (draft, target)) in plan.targets.iter().zip(&self.targets).enumerate() {
            prop_assert_eq!(draft.to.to_string(), format!("/to/{}", t));
            prop_assert_eq!(draft.from.to_string(), format!("/from/{}", t));
            prop_assert_eq!(draft.need, target.need.unwrap_or(Need::Required));
            prop_assert_eq!(&draft.exclude, &target.exclude);
            prop_assert_eq!(draft.parents.is_some(), target.parents.is_some());
            if let (Some(read), Some(own)) = (&draft.parents, &target.parents) {
                prop_assert!(own.is(read.owner.as_ref(), read.group.as_ref(), read.mode), "{:?} {:?}", read, own);
            }
            let kinds =
                [(EntryKind::Directory, "directories", &target.directories), (EntryKind::File, "files", &target.files)];
            let wanted: Vec<_> = kinds
                .into_iter()
                .flat_map(|(kind, key, list)| list.iter().enumerate().map(move |(e, entry)| (kind, key, e, entry)))
                .collect();
            prop_assert_eq!(draft.entries.len(), wanted.len());
            for (read, (kind, key, e, entry)) in draft.entries.iter().zip(wanted) {
                let path = format!("{key}/{e}/{}", entry.below);
                prop_assert_eq!((read.kind, read.path.as_bytes()), (kind, path.as_bytes()));
                prop_assert_eq!(read.need, entry.need.or(target.need).unwrap_or(Need::Required));
                prop_assert!(
                    entry.own.is(read.owner.as_ref(), read.group.as_ref(), bits(read.mode.as_ref())),
                    "{:?}",
                    read
                );
            }
        }
        for (draft, names) in plan.targets[self.targets.len()..].iter().zip(&self.maps) {
            prop_assert!(draft.from.as_bytes().ends_with(names.join("/").as_bytes()));
            prop_assert_eq!(draft.entries[0].kind, EntryKind::Tree);
        }
        prop_assert_eq!(plan.fixups.len(), self.fixups.len());
        for (read, fixup) in plan.fixups.iter().zip(&self.fixups) {
            prop_assert!(
                fixup.own.is(read.owner.as_ref(), read.group.as_ref(), bits(read.mode.as_ref())),
                "{:?}",
                read
            );
            prop_assert_eq!((read.recursive, bits(read.file_mode.as_ref())), (fixup.recursive, fixup.file_mode));
        }
        Ok(())
    }
}

/// Tokens of a plan in any order: they get further than arbitrary text.
fn babble() -> impl Strategy<Value = String> {
    let words = [
        "version",
        "name",
        "source",
        "root",
        "[ids]",
        "users",
        "[[target]]",
        "[[map]]",
        "[[fixup]]",
        "from",
        "to",
        "need",
        "parents",
        "directories",
        "files",
        "exclude",
        "path",
        "owner",
        "mode",
        "recursive",
        " = ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "1",
        "-7",
        "0x10",
        "1e9",
        "4294967295",
        "true",
        "\"\"",
        "\"/\"",
        "\"/a\"",
        "\"../b\"",
        "\"0755\"",
        "\"[\"",
        "\"{a\"",
        "'é'",
        "\"\\u0000\"",
        "\"\"\"\n…\n\"\"\"",
        "2026-01-01",
        "#",
        "\r\n",
        ".",
        "…",
    ];
    vec(select(words.to_vec()), 0..40).prop_map(|words| words.concat())
}

/// Every error is inside the text and shows its message and its line, also in color.
fn errors_are_whole(text: &str) -> Result<(), TestCaseError> {
    let Err(errors) = Plan::parse(Path::new("p.toml"), text) else { return Ok(()) };
    prop_assert!(!errors.list().is_empty());
    let shown = errors.render(false);
    prop_assert!(!errors.render(true).is_empty());
    prop_assert_eq!(shown.matches("p.toml:").count() > errors.list().len(), true, "{}", shown);
    for one in errors.list() {
        prop_assert!(text.get(one.span.clone()).is_some(), "{:?} is not inside", one);
        prop_assert!(!one.message.is_empty());
        // Control characters are shown as their Unicode pictures.
        let plain = one.message.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        prop_assert!(!plain || shown.contains(&one.message), "{:?} is missing in {}", one.message, shown);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_good_plan_gives_back_what_was_written(written in written()) {
        let text = written.text()?;
        match Plan::parse(Path::new("p.toml"), &text) {
            Ok(plan) => written.is(&plan)?,
            Err(errors) => prop_assert!(false, "{}\n{}", text, errors),
        }
    }

    #[test]
    fn a_plans_words_in_any_order(text in babble()) {
        errors_are_whole(&text)?;
    }

    #[test]
    fn any_text_at_all(text: String) {
        errors_are_whole(&text)?;
    }

    #[test]
    fn a_good_plan_damaged_anywhere(
        written in written(),
        damages in vec((any::<prop::sample::Index>(), 0_usize..30, prop_oneof![babble(), any::<String>()]), 1..4),
    ) {
        let mut text = written.text()?;
        for (at, cut, insert) in damages {
            let boundary = |mut at: usize| { while !text.is_char_boundary(at) { at += 1; } at };
            let start = boundary(at.index(text.len() + 1));
            let end = boundary((start + cut).min(text.len()));
            text.replace_range(start..end, &insert);
        }
        errors_are_whole(&text)?;
    }

    #[test]
    fn modes_as_text(text in "[ugoarwxstX=+,0-9-]{0,8}|.*", mode in 0..=0o7777_u32) {
        if let Ok(read) = Mode::parse(&text) {
            prop_assert!(read.change().of(mode, Kind::File) <= 0o7777);
            prop_assert_eq!(Mode::parse(&read.to_string()), Ok(read));
        }
        prop_assert_eq!(Mode::parse(&format!("{mode:04o}")), Ok(Mode::octal(mode)));
    }
}
