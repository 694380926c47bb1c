//! `services.openssh.hostKeys` of a module.

use super::lists::ListReader;
use super::route::Choice;
use super::value::{Segment, StringPart, attributes, content, string, whole};
use crate::base::path::RelPath;
use crate::nixos::import::declared::DeclaredHostKey;
use rnix::ast::{BinOpKind, Expr};
use rowan::ast::AstNode;

impl ListReader<'_> {
    pub(super) fn host_keys(&mut self, expr: &Expr) {
        if let Some(inner) = content(expr) {
            return inner.iter().for_each(|inner| self.host_keys(inner));
        }
        let what = Choice::HostKeys.name();
        match expr {
            Expr::List(list) => {
                for item in list.items() {
                    let path = match &item {
                        Expr::AttrSet(set) => attributes(set)
                            .into_iter()
                            .flatten()
                            .find(|(names, _)| matches!(names.as_slice(), [name] if name.is("path"))),
                        _ => None,
                    };
                    let parts = path.and_then(|(_, pair)| pair.value()).and_then(|value| string(&value));
                    let path = parts.and_then(|parts| match whole(&parts) {
                        Some(text) => RelPath::new(text.as_bytes()).ok(),
                        None => self.host_key(&parts),
                    });
                    match path {
                        Some(path) => {
                            let origin = format!("{what} ({})", self.source.place(expr.syntax().text_range()));
                            self.all.host_keys.push(DeclaredHostKey { path, origin });
                        }
                        None => self.unread(&item, &what),
                    }
                }
            }
            Expr::BinOp(op) if op.operator() == Some(BinOpKind::Concat) => {
                [op.lhs(), op.rhs()].iter().flatten().for_each(|side| self.host_keys(side));
            }
            other => self.unread(other, &what),
        }
    }

    /// A leading interpolation, as in the storage's key, stands for the same path.
    fn host_key(&self, parts: &[StringPart]) -> Option<RelPath> {
        match parts {
            [StringPart::Interpolated(base), StringPart::Literal(tail)] => {
                let tail = RelPath::new(tail.as_bytes()).ok()?;
                // If a storage's key begins with the same expression, that storage is used.
                let keys = self.leaves.iter().filter_map(|leaf| match leaf.below.first()? {
                    Segment::Computed(parts) => match parts.as_slice() {
                        [StringPart::Interpolated(same), StringPart::Literal(end)] if same == base => {
                            let end = RelPath::new(end.as_bytes()).ok()?;
                            let storage = self.computed(parts, None)?;
                            Some(storage.join_path(&tail.strip_prefix(&end)?))
                        }
                        _ => None,
                    },
                    Segment::Known(_) => None,
                });
                keys.into_iter().next().or_else(|| Some(self.storage.join_path(&tail)))
            }
            _ => None,
        }
    }
}
