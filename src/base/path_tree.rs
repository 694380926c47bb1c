//! A tree of paths, some with values: answers which of many paths are at or above a given one, and
//! which are below it.

use super::path::{Name, RelPath};
use std::collections::BTreeMap;

/// Paths that were inserted, each with a value. A walk carries a node's number from a directory to
/// its entries.
#[derive(Clone, Debug)]
pub struct PathTree<T>(Vec<PathTreeNode<T>>);

#[derive(Clone, Debug)]
struct PathTreeNode<T> {
    children: BTreeMap<Name, usize>,
    /// Of the path itself, in the order of insertion.
    values: Vec<T>,
}

impl<T> PathTreeNode<T> {
    const fn new() -> Self {
        Self { children: BTreeMap::new(), values: Vec::new() }
    }
}

impl<T> Default for PathTree<T> {
    fn default() -> Self {
        Self(vec![PathTreeNode::new()])
    }
}

impl<T> FromIterator<(RelPath, T)> for PathTree<T> {
    fn from_iter<I: IntoIterator<Item = (RelPath, T)>>(values: I) -> Self {
        let mut tree = Self::default();
        values.into_iter().for_each(|(path, value)| tree.insert(&path, value));
        tree
    }
}

impl<T> PathTree<T> {
    /// Adds `value` to those at `path`.
    pub fn insert(&mut self, path: &RelPath, value: T) {
        let mut at = 0;
        for name in path.names() {
            at = match self.child(at, &name) {
                Some(child) => child,
                None => {
                    let child = self.0.len();
                    self.0.push(PathTreeNode::new());
                    self.0[at].children.insert(name, child);
                    child
                }
            };
        }
        self.0[at].values.push(value);
    }

    /// The node of `path`, if it is the root or something at or below it was inserted.
    #[must_use]
    pub fn find(&self, path: &RelPath) -> Option<usize> {
        path.names().try_fold(0, |at, name| self.child(at, &name))
    }

    /// The node of `name` below the node `at`.
    #[must_use]
    pub fn child(&self, at: usize, name: &Name) -> Option<usize> {
        self.0[at].children.get(name).copied()
    }

    /// The names below the node `at`, in byte order.
    pub fn children(&self, at: usize) -> impl Iterator<Item = (&Name, usize)> {
        self.0[at].children.iter().map(|(name, child)| (name, *child))
    }

    /// The values at the node `at`.
    #[must_use]
    pub fn values(&self, at: usize) -> &[T] {
        &self.0[at].values
    }

    /// The values at `path` and above it, outermost first, each with the rest of `path` below it.
    #[must_use]
    pub fn above(&self, path: &RelPath) -> Vec<(&T, RelPath)> {
        let names: Vec<Name> = path.names().collect();
        let mut found = Vec::new();
        for (depth, at) in self.way(&names).enumerate() {
            if !self.values(at).is_empty() {
                let below = names[depth..].iter().fold(RelPath::root(), |below, name| below.join(name));
                found.extend(self.values(at).iter().map(|value| (value, below.clone())));
            }
        }
        found
    }

    /// The value at or nearest above `path`; of several the last one inserted.
    #[must_use]
    pub fn nearest(&self, path: &RelPath) -> Option<&T> {
        let names: Vec<Name> = path.names().collect();
        self.way(&names).filter_map(|at| self.values(at).last()).last()
    }

    /// True when `path`, or a directory above it, was inserted.
    #[must_use]
    pub fn covers(&self, path: &RelPath) -> bool {
        self.nearest(path).is_some()
    }

    /// The nodes from the root down along `names`, as far as there are any.
    fn way<'n>(&'n self, names: &'n [Name]) -> impl Iterator<Item = usize> + 'n {
        let mut at = Some(0);
        let mut names = names.iter();
        std::iter::from_fn(move || {
            let here = at?;
            at = names.next().and_then(|name| self.child(here, name));
            Some(here)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some_path() -> impl Strategy<Value = RelPath> {
        let names = prop::collection::vec(prop::sample::select(vec!["a", "b", "ab"]), 0..4);
        names.prop_map(|names| RelPath::new(names.join("/").as_bytes()).expect("a path"))
    }

    proptest! {
        #[test]
        fn every_question_is_answered_as_by_a_look_at_every_path(
            paths in prop::collection::vec(some_path(), 0..6),
            asked in some_path(),
        ) {
            let numbered = || paths.iter().enumerate();
            let tree: PathTree<usize> = numbered().map(|(value, path)| (path.clone(), value)).collect();

            let mut above: Vec<_> =
                numbered().filter_map(|(value, path)| Some((value, asked.strip_prefix(path)?))).collect();
            above.sort_by_key(|(value, _)| (paths[*value].depth(), *value));
            let answer: Vec<_> = tree.above(&asked).into_iter().map(|(value, below)| (*value, below)).collect();
            prop_assert_eq!(&answer, &above);
            prop_assert_eq!(tree.nearest(&asked), above.last().map(|(value, _)| value));
            prop_assert_eq!(tree.covers(&asked), !above.is_empty());

            let leads = asked.is_root() || paths.iter().any(|path| path.strip_prefix(&asked).is_some());
            prop_assert_eq!(tree.find(&asked).is_some(), leads);
            if let Some(at) = tree.find(&asked) {
                let here: Vec<_> = numbered().filter(|(_, path)| **path == asked).map(|(value, _)| value).collect();
                prop_assert_eq!(tree.values(at), here);
            }
        }
    }
}
