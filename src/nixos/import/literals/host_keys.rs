//! `services.openssh.hostKeys` of a module.

use super::assumptions::split;
use super::lists::ListReader;
use super::route::Choice;
use super::scope::Term;
use super::value::{Segment, StringPart, whole};
use crate::base::path::RelPath;
use crate::nixos::import::declared::DeclaredHostKey;
use rnix::ast::Expr;

impl ListReader<'_> {
    pub(super) fn host_key_lists(&mut self) {
        let found = self.found;
        let what = Choice::HostKeys.name();
        for leaf in found.leaves.iter().filter(|leaf| leaf.path.option == Choice::HostKeys) {
            for item in self.elements(&leaf.value, &what) {
                self.host_key(&item, &what);
            }
        }
    }

    fn host_key(&mut self, item: &Term, what: &str) {
        let item = self.evaluator.head(item);
        let path = match &item.expr {
            Expr::AttrSet(set) => self
                .evaluator
                .set_attributes(set, &item.scope)
                .into_iter()
                .find(|attribute| matches!(attribute.names.as_slice(), [name] if name.is("path"))),
            _ => None,
        };
        let parts = path.and_then(|path| self.evaluator.string(&path.value));
        let path = parts.and_then(|parts| match whole(&parts) {
            Some(text) => RelPath::new(text.as_bytes()).ok(),
            None => self.on_storage(&parts),
        });
        match path {
            Some(path) => {
                let origin = format!("{what} ({})", item.place());
                self.all.host_keys.push(DeclaredHostKey { path, origin });
            }
            None => self.unread(&item, what),
        }
    }

    /// A key whose path begins as a computed storage's does.
    fn on_storage(&mut self, parts: &[StringPart]) -> Option<RelPath> {
        let (beginning, tail) = split(parts);
        if tail.is_root() {
            return None;
        }
        let found = self.found;
        let storages = found.leaves.iter().filter_map(|leaf| match leaf.path.below.first()? {
            Segment::Computed(parts) if leaf.path.option == Choice::Environment => Some(parts),
            Segment::Computed(parts) if leaf.path.option == Choice::Preservation => Some(parts),
            _ => None,
        });
        let mut tails: Vec<RelPath> =
            storages.map(|parts| split(parts)).filter(|(b, _)| *b == beginning).map(|(_, t)| t).collect();
        if tails.is_empty() {
            tails.push(RelPath::root());
        }
        let first = parts.first()?;
        let base =
            self.assumptions.storage(super::assumptions::Side::System, std::slice::from_ref(first), &tails).ok()?;
        Some(base.join_path(&tail))
    }
}
