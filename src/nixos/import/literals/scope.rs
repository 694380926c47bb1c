//! Which expression a name stands for, where that can be read: `let`, `rec`, `inherit`, `with` of a
//! literal set, and the arguments of functions that the same text calls.

use super::source::Source;
use rnix::ast::{self, Expr};
use std::rc::Rc;

/// An expression and the names that it can see.
#[derive(Clone)]
pub(super) struct Term {
    pub(super) expr: Expr,
    pub(super) scope: NixScope,
}

/// The names that an expression can see, from the inside out.
#[derive(Clone)]
pub(super) struct NixScope(Rc<Frame>);

pub(super) struct Frame {
    pub(super) names: Names,
    pub(super) outer: Option<NixScope>,
    pub(super) source: Rc<Source>,
}

/// Where a frame's names come from.
pub(super) enum Names {
    /// Nothing: a file's top.
    File,
    Let(ast::LetIn),
    Rec(ast::AttrSet),
    /// A function's parameters, and what it was called with if the text says so.
    Parameters(ast::Lambda, Option<Term>),
    With(Term),
    /// `inherit (TERM) name`: every name is one of the term's attributes.
    From(Term),
}

/// What a name or an attribute is.
pub(super) enum NameMeaning {
    Is(Term),
    Absent,
    /// Only an evaluator can tell.
    Unknown,
}

impl NixScope {
    pub(super) fn file(source: Rc<Source>) -> Self {
        Self(Rc::new(Frame { names: Names::File, outer: None, source }))
    }

    pub(super) fn inside(&self, names: Names) -> Self {
        Self(Rc::new(Frame { names, outer: Some(self.clone()), source: self.0.source.clone() }))
    }

    pub(super) fn frame(&self) -> &Frame {
        &self.0
    }

    pub(super) fn source(&self) -> &Source {
        &self.0.source
    }

    /// From the inside out.
    pub(super) fn frames(&self) -> impl Iterator<Item = &NixScope> {
        std::iter::successors(Some(self), |scope| scope.0.outer.as_ref())
    }
}

impl Term {
    pub(super) fn of(expr: Expr, scope: &NixScope) -> Self {
        Self { expr, scope: scope.clone() }
    }

    pub(super) fn file(root: &ast::Root, source: Rc<Source>) -> Option<Self> {
        Some(Self { expr: root.expr()?, scope: NixScope::file(source) })
    }

    /// `FILE:LINE`.
    pub(super) fn place(&self) -> String {
        use rowan::ast::AstNode;
        self.scope.source().place(self.expr.syntax().text_range())
    }
}
