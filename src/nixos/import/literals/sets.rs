//! Attributes of literal sets.

use super::evaluate::Evaluator;
use super::scope::{Names, NixScope, Term};
use super::value::{Attribute, Segment, StringPart, whole};
use rnix::ast::{self, Attr, Expr, HasEntry};
use rowan::ast::AstNode;

impl Evaluator<'_> {
    /// The attributes of a set, in the scope that their values see.
    pub(super) fn set_attributes(&self, set: &ast::AttrSet, scope: &NixScope) -> Vec<Attribute> {
        if set.rec_token().is_some() {
            return self.attributes(set, &scope.inside(Names::Rec(set.clone())), scope);
        }
        self.attributes(set, scope, scope)
    }

    /// The attributes of a set or a `let`. Values see `inner`, inherited names are those of `outer`.
    pub(super) fn attributes(&self, set: &impl HasEntry, inner: &NixScope, outer: &NixScope) -> Vec<Attribute> {
        let mut all = Vec::new();
        for entry in set.entries() {
            match entry {
                ast::Entry::AttrpathValue(pair) => {
                    let (Some(path), Some(value)) = (pair.attrpath(), pair.value()) else { continue };
                    let names = path.attrs().map(|attr| self.segment(&attr, inner)).collect();
                    all.push(Attribute { names, value: Term::of(value, inner), range: pair.syntax().text_range() });
                }
                ast::Entry::Inherit(inherit) => {
                    let from = inherit.from().and_then(|from| from.expr());
                    let scope = match from {
                        Some(from) => outer.inside(Names::From(Term::of(from, inner))),
                        None => outer.clone(),
                    };
                    for attr in inherit.attrs() {
                        let Attr::Ident(ident) = &attr else { continue };
                        let names = vec![self.segment(&attr, inner)];
                        let range = inherit.syntax().text_range();
                        all.push(Attribute { names, value: Term::of(Expr::Ident(ident.clone()), &scope), range });
                    }
                }
            }
        }
        all
    }

    /// One name of an attribute path.
    pub(super) fn segment(&self, attr: &Attr, scope: &NixScope) -> Segment {
        let parts = match attr {
            Attr::Ident(ident) => return Segment::Known(ident.syntax().text().to_string()),
            Attr::Str(string) => self.parts(string, scope),
            Attr::Dynamic(dynamic) => match dynamic.expr() {
                Some(expr) => {
                    let term = Term::of(expr, scope);
                    self.string(&term)
                        .unwrap_or_else(|| vec![StringPart::Interpolated(self.identity(&self.head(&term)))])
                }
                None => Vec::new(),
            },
        };
        whole(&parts).map_or(Segment::Computed(parts), Segment::Known)
    }
}
