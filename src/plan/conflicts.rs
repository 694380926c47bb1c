//! Destinations that collide. Trees inside one another are left to preflight: only mounts tell.

use super::draft::Plan;
use super::value::Errors;
use crate::base::path::RelPath;
use std::collections::HashMap;
use std::ops::Range;

/// An entry's source and destination, and where the plan says so.
pub(super) struct Pair<'p> {
    pub(super) src: &'p RelPath,
    pub(super) dst: &'p RelPath,
    /// They contain a pattern, and are not paths yet.
    pub(super) is_glob: bool,
    /// What it leaves to the targets that fill it.
    pub(super) inner: &'p [RelPath],
    pub(super) span: Range<usize>,
}

/// Checks what can be known without looking at the source.
pub(super) fn of_plan(plan: &Plan, errors: &mut Errors) {
    let entries = || plan.targets.iter().flat_map(|t| t.entries.iter().map(move |e| (t, e)));
    let ends: Vec<(RelPath, RelPath)> =
        entries().map(|(t, e)| (t.from.join_path(&e.path), t.to.join_path(&e.path))).collect();
    let pairs: Vec<Pair<'_>> = (ends.iter().zip(entries()))
        .map(|((src, dst), (t, e))| Pair { src, dst, is_glob: e.is_glob, inner: &t.inner, span: e.span.clone() })
        .collect();
    of_pairs(&pairs, errors);
    for (i, target) in plan.targets.iter().enumerate() {
        if plan.targets[..i].iter().any(|t| t.name == target.name) {
            let name = &target.name;
            errors.add(
                target.span.clone(),
                format!("two targets are named `{name}`"),
                "the report needs to tell them apart",
            );
        }
    }
}

/// Reports repeated sources and destinations, and a destination inside another one's to which its
/// source does not belong.
pub(super) fn of_pairs(pairs: &[Pair<'_>], errors: &mut Errors) {
    // A pattern may have the same text as a name.
    let mut by_dst: HashMap<(&RelPath, bool), &Pair<'_>> = HashMap::new();
    let mut by_src: HashMap<(&RelPath, bool), &Pair<'_>> = HashMap::new();
    for pair in pairs {
        if by_dst.insert((pair.dst, pair.is_glob), pair).is_some() {
            errors.add(pair.span.clone(), format!("the destination {} is given twice", pair.dst), "here again");
        } else if by_src.insert((pair.src, pair.is_glob), pair).is_some() {
            errors.add(
                pair.span.clone(),
                format!("the source {} is given twice", pair.src),
                "it would be copied twice; remove one",
            );
        }
    }
    for pair in pairs {
        let mut above = pair.dst.parent();
        while let Some(outer) = above {
            if let Some(holder) = by_dst.get(&(&outer, false)) {
                let at_same_place = match (pair.dst.strip_prefix(holder.dst), pair.src.strip_prefix(holder.src)) {
                    (Some(dst), Some(src)) => dst == src,
                    _ => false,
                };
                let is_left_out = holder.inner.iter().any(|inner| pair.dst.strip_prefix(inner).is_some());
                if !at_same_place && !is_left_out {
                    errors.add(
                        pair.span.clone(),
                        format!("{} is inside {}, which another entry fills", pair.dst, holder.dst),
                        format!("its source {} does not belong there", pair.src),
                    );
                }
            }
            above = outer.parent();
        }
    }
}
