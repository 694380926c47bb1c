//! Strings, as far as the text tells.

use super::evaluate::Evaluator;
use super::scope::{NixScope, Term};
use super::value::StringPart;
use rnix::ast::{self, BinOpKind, Expr, InterpolPart};

impl Evaluator<'_> {
    /// The parts of a string, with escapes and indentation resolved.
    pub(super) fn parts(&self, string: &ast::Str, scope: &NixScope) -> Vec<StringPart> {
        let mut all = Vec::new();
        for part in string.normalized_parts() {
            match part {
                InterpolPart::Literal(text) => push(&mut all, StringPart::Literal(text)),
                InterpolPart::Interpolation(inner) => {
                    let Some(expr) = inner.expr() else { continue };
                    let term = Term::of(expr, scope);
                    match self.string(&term) {
                        Some(parts) => parts.into_iter().for_each(|part| push(&mut all, part)),
                        None => push(&mut all, StringPart::Interpolated(self.identity(&self.head(&term)))),
                    }
                }
            }
        }
        all
    }

    /// The parts of the string that a term is; `None` if it is none, as far as the text tells.
    pub(super) fn string(&self, term: &Term) -> Option<Vec<StringPart>> {
        self.nested(|| self.text(term))?
    }

    fn text(&self, term: &Term) -> Option<Vec<StringPart>> {
        let term = self.head(term);
        match &term.expr {
            Expr::Str(string) => Some(self.parts(string, &term.scope)),
            Expr::BinOp(op) if op.operator() == Some(BinOpKind::Add) => {
                let mut all = Vec::new();
                for side in [op.lhs()?, op.rhs()?] {
                    let side = self.head(&Term::of(side, &term.scope));
                    let parts = match self.string(&side) {
                        Some(parts) => parts,
                        None => vec![StringPart::Interpolated(self.names(&side)?.join("."))],
                    };
                    parts.into_iter().for_each(|part| push(&mut all, part));
                }
                Some(all)
            }
            Expr::Apply(apply) => {
                let function = self.head(&Term::of(apply.lambda()?, &term.scope));
                let passes = matches!(self.last_name(&function)?.as_str(), "toString" | "mkForce" | "mkDefault");
                passes.then(|| self.string(&Term::of(apply.argument()?, &term.scope)))?
            }
            _ => None,
        }
    }
}

fn push(all: &mut Vec<StringPart>, part: StringPart) {
    match (all.last_mut(), part) {
        (Some(StringPart::Literal(text)), StringPart::Literal(more)) => text.push_str(&more),
        (_, part) => all.push(part),
    }
}
