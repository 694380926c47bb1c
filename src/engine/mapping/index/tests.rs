use super::*;
use crate::engine::mapping::model::{Attrs, EntryKind, Need};
use crate::engine::mapping::renumber::Renumbering;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use proptest::prelude::*;
use std::path::PathBuf;

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).expect("a path")
}

fn entry((src, dst, presence): (&RelPath, &RelPath, Presence)) -> Entry {
    Entry {
        src: src.clone(),
        real: src.clone(),
        link: None,
        follow: None,
        dst: dst.clone(),
        kind: EntryKind::Directory,
        need: Need::Optional,
        uid: None,
        gid: None,
        mode: None,
        presence,
    }
}

fn target(excluded: Gitignore, entries: Vec<Entry>) -> Target {
    Target {
        name: "t".into(),
        from: RelPath::root(),
        to: RelPath::root(),
        is_map: false,
        need: Need::Optional,
        parents: Attrs { uid: 0, gid: 0, mode: 0o755 },
        exclude: Vec::new(),
        excluded,
        entries,
    }
}

fn mapping(targets: Vec<Target>) -> Mapping {
    Mapping {
        name: "plan".into(),
        source: PathBuf::new(),
        root: PathBuf::new(),
        targets,
        fixups: Vec::new(),
        drift: Vec::new(),
        id_conflicts: Vec::new(),
        renumbering: Renumbering::default(),
        id_warnings: Vec::new(),
        notes: Vec::new(),
        asked: Vec::new(),
        state: None,
    }
}

fn of(entries: &[(&str, &str)]) -> Mapping {
    let entries = entries.iter().map(|(src, dst)| entry((&path(src), &path(dst), Presence::Present)));
    mapping(vec![target(Gitignore::empty(), entries.collect())])
}

#[test]
fn an_inner_entry_is_met_where_it_has_its_place() {
    let plan = of(&[("a", "x"), ("a/b/c", "x/b/c"), ("a/d", "y/d"), ("a/d/e", "x/d/e")]);
    let index = Index::new(&plan);
    let meets = |src: &str, dst: &str| index.meets(&plan, index.find(&path(src)).expect("on the way"), &path(dst));
    assert_eq!(meets("a/b", "x/b"), Meets::OnTheWay((0, 1)));
    assert_eq!(meets("a/b/c", "x/b/c"), Meets::Entry((0, 1)));
    assert_eq!(meets("a/d", "x/d"), Meets::Elsewhere { below: Some((0, 3)) });
    assert_eq!(meets("a/d", "y/d"), Meets::Entry((0, 2)));
    assert_eq!(meets("a/b", "y/b"), Meets::Nothing);
    assert_eq!(index.find(&path("a/q")), None);
    assert_eq!(index.nested(&plan), [[false, true, false, true]]);
    let steps = index.steps(&plan, index.find(&path("a")).expect("an entry"), &path("x"));
    let steps: Vec<_> = steps.into_iter().map(|(name, _, step)| (name.to_string(), step)).collect();
    assert_eq!(steps, [("b".to_string(), WayStep::Way((0, 1))), ("d".to_string(), WayStep::Way((0, 3)))]);
}

#[test]
fn what_a_pattern_leaves_out_is_told_by_the_nearest_entry() {
    let mut patterns = GitignoreBuilder::new("");
    patterns.add_line(None, "/a/b").expect("a pattern");
    let entries = ["a", "a/b/c"].map(|text| entry((&path(text), &path(text), Presence::Present)));
    let plan = mapping(vec![target(patterns.build().expect("patterns"), entries.to_vec())]);
    let index = Index::new(&plan);
    let left_out = |at: &str| index.brought_to(&plan, &path(at)).iter().all(Brought::is_left_out);
    assert!(left_out("a/b/x"));
    assert!(!left_out("a/b/c/x") && !left_out("a/x"));
}

fn some_path() -> impl Strategy<Value = RelPath> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..4).prop_map(|names| path(&names.join("/")))
}

proptest! {
    /// The index gives the same answers as a search through every entry.
    #[test]
    fn every_question_is_answered_as_by_a_look_at_every_entry(
        entries in prop::collection::vec((some_path(), some_path(), any::<bool>()), 0..8),
        asked in some_path(),
    ) {
        let presence = |present: &bool| if *present { Presence::Present } else { Presence::Absent };
        let entries = entries.iter().map(|(src, dst, present)| entry((src, dst, presence(present))));
        let plan = mapping(vec![target(Gitignore::empty(), entries.collect())]);
        let index = Index::new(&plan);
        let numbered = || plan.targets[0].entries.iter().enumerate();

        let mut to: Vec<_> = numbered()
            .filter_map(|(e, entry)| Some((e, entry.src.join_path(&asked.strip_prefix(&entry.dst)?))))
            .collect();
        to.sort_by_key(|(e, _)| (plan.targets[0].entries[*e].dst.depth(), *e));
        let answer: Vec<_> = index.brought_to(&plan, &asked).into_iter().map(|b| (b.index.1, b.src)).collect();
        prop_assert_eq!(answer, to);

        let mut from: Vec<_> = numbered()
            .filter_map(|(e, entry)| Some((e, entry.dst.join_path(&asked.strip_prefix(&entry.src)?))))
            .collect();
        from.sort_by_key(|(e, _)| (plan.targets[0].entries[*e].src.depth(), *e));
        let answer: Vec<_> = index.brought_from(&plan, &asked).into_iter().map(|b| (b.index.1, b.dst)).collect();
        prop_assert_eq!(answer, from);

        let present = |entry: &Entry| entry.presence == Presence::Present;
        let on_the_way = numbered().any(|(_, entry)| entry.src.strip_prefix(&asked).is_some());
        prop_assert_eq!(index.find(&asked).is_some(), on_the_way || asked.is_root());
        let leads = numbered().any(|(_, entry)| entry.dst.strip_prefix(&asked).is_some());
        prop_assert_eq!(index.leads_to_entry(&asked), leads || asked.is_root());
        let exact = numbered().filter(|(_, e)| present(e) && e.src == asked).map(|(e, _)| (0, e)).next_back();
        prop_assert_eq!(index.find(&asked).and_then(|at| index.entry(at)), exact);

        let nested = |inner: &Entry| numbered().any(|(_, outer)| {
            present(outer) && match (inner.src.strip_prefix(&outer.src), inner.dst.strip_prefix(&outer.dst)) {
                (Some(src), Some(dst)) => src == dst && !src.is_root(),
                _ => false,
            }
        });
        let expected: Vec<bool> = numbered().map(|(_, inner)| nested(inner)).collect();
        prop_assert_eq!(index.nested(&plan), [expected]);
    }
}
