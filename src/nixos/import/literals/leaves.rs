//! Finds the values of the supported options, however they are nested.

use super::route::{Choice, Route, route};
use super::source::Source;
use super::value::{Segment, attributes, content, segments};
use crate::nixos::import::note::ImportNote;
use rnix::TextRange;
use rnix::ast::{self, BinOpKind, Expr};
use rowan::ast::AstNode;

/// A value at the end of an option's path: a list, or one of a storage area's settings.
pub(super) struct OptionLeaf {
    pub(super) option: Choice,
    /// The user of `home-manager.users.NAME`.
    pub(super) user: Option<Segment>,
    /// From the storage's key on.
    pub(super) below: Vec<Segment>,
    pub(super) value: Expr,
}

pub(super) struct OptionLeaves {
    pub(super) leaves: Vec<OptionLeaf>,
    pub(super) notes: Vec<ImportNote>,
}

struct Finder<'s> {
    source: &'s Source<'s>,
    found: OptionLeaves,
    /// What was read or noted; anything outside was passed over.
    settled: Vec<TextRange>,
}

pub(super) fn find(root: &ast::Root, source: &Source<'_>) -> OptionLeaves {
    let found = OptionLeaves { leaves: Vec::new(), notes: Vec::new() };
    let mut finder = Finder { source, found, settled: Vec::new() };
    if let Some(expr) = root.expr() {
        finder.visit(&expr, &[]);
    }
    finder.passed_over(root);
    finder.found
}

impl Finder<'_> {
    fn visit(&mut self, expr: &Expr, path: &[Segment]) {
        if let Some(inner) = content(expr) {
            return inner.iter().for_each(|inner| self.visit(inner, path));
        }
        match expr {
            Expr::Lambda(lambda) => {
                if let Some(body) = lambda.body() {
                    self.visit(&body, path);
                }
            }
            Expr::BinOp(op) if op.operator() == Some(BinOpKind::Update) => {
                for side in [op.lhs(), op.rhs()].into_iter().flatten() {
                    self.visit(&side, path);
                }
            }
            Expr::AttrSet(set) => self.set(set, path),
            other => self.opaque(other, path),
        }
    }

    fn set(&mut self, set: &ast::AttrSet, path: &[Segment]) {
        for attribute in attributes(set) {
            match attribute {
                Ok((names, pair)) => {
                    let full: Vec<Segment> = path.iter().chain(&names).cloned().collect();
                    if let Some(value) = pair.value() {
                        self.value(&full, &value, pair.syntax().text_range());
                    }
                }
                Err(inherit) => {
                    for attr in inherit.attrs() {
                        let full: Vec<Segment> =
                            path.iter().cloned().chain([Segment::Known(attr.syntax().text().to_string())]).collect();
                        if matters(&full) {
                            self.note(inherit.syntax().text_range(), &shown(&full));
                        }
                    }
                }
            }
        }
    }

    fn value(&mut self, path: &[Segment], value: &Expr, range: TextRange) {
        match route(path) {
            Route::Elsewhere => {}
            Route::Options => self.settled.push(range),
            Route::Above => self.visit(value, path),
            Route::Imports => self.imports(value),
            Route::Inside { option, user, below } => {
                self.settled.push(range);
                let leaf = match below.as_slice() {
                    [] | [_] => option == Choice::HostKeys,
                    [_, users] | [_, users, _] => !users.is("users"),
                    _ => true,
                };
                if leaf {
                    self.found.leaves.push(OptionLeaf { option, user, below, value: value.clone() });
                } else {
                    self.visit(value, path);
                }
            }
        }
    }

    /// Inline modules; those in other files are not read.
    fn imports(&mut self, list: &Expr) {
        match list {
            Expr::List(list) => {
                for item in list.items() {
                    let mut inner = item;
                    while let Expr::Paren(paren) = &inner {
                        match paren.expr() {
                            Some(expr) => inner = expr,
                            None => break,
                        }
                    }
                    if matches!(inner, Expr::Lambda(_) | Expr::AttrSet(_)) {
                        self.visit(&inner, &[]);
                    }
                }
            }
            Expr::BinOp(op) => [op.lhs(), op.rhs()].iter().flatten().for_each(|side| self.imports(side)),
            _ => {}
        }
    }

    /// A value that only an evaluator knows: it matters where an option is or may be.
    fn opaque(&mut self, expr: &Expr, path: &[Segment]) {
        if matters(path) || (path.is_empty() && !matches!(expr, Expr::Literal(_))) {
            self.note(expr.syntax().text_range(), &shown(path));
        }
    }

    fn note(&mut self, range: TextRange, what: &str) {
        self.settled.push(range);
        self.found.notes.push(self.source.unread(range, what));
    }

    /// Looks for the options' names where the walk did not go.
    fn passed_over(&mut self, root: &ast::Root) {
        for node in root.syntax().descendants() {
            let Some(pair) = ast::AttrpathValue::cast(node) else { continue };
            let range = pair.syntax().text_range();
            let names = pair.attrpath().map(|path| segments(&path)).unwrap_or_default();
            let telling = names.iter().any(|name| ["persistence", "preserveAt", "hostKeys"].iter().any(|n| name.is(n)));
            if telling && !self.settled.iter().any(|settled| settled.contains_range(range)) {
                self.note(range, &shown(&names));
            }
        }
    }
}

/// True at and below an option, and at its parents.
fn matters(path: &[Segment]) -> bool {
    match route(path) {
        Route::Inside { .. } => true,
        Route::Above => path.last().is_some_and(|last| !last.is("services")),
        _ => false,
    }
}

fn shown(path: &[Segment]) -> String {
    if path.is_empty() { "the module".into() } else { path.iter().map(Segment::shown).collect::<Vec<_>>().join(".") }
}
