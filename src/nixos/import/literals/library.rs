//! Functions of the library that pass their value on.

use super::evaluate::Evaluator;
use super::scope::Term;
use rnix::ast::Expr;
use rowan::ast::AstNode;

/// What a function of the library makes of its last argument.
pub(super) enum Handed {
    /// The argument itself.
    On(Term),
    /// The argument, if a condition holds.
    If(Term, Term),
    /// One element, or none.
    Element(Term, Term),
    /// Several values, merged.
    Merged(Term),
    /// Each element of the second, through the first.
    Mapped(Term, Term),
    /// The same, where each gives a list.
    MappedToLists(Term, Term),
    /// A list, and the lists in it.
    Flat(Term),
    /// A list of this alone.
    Alone(Term),
}

impl Evaluator<'_> {
    /// `true` or `false`.
    pub(super) fn boolean(&self, term: &Term) -> Option<bool> {
        self.nested(|| self.truth(term))?
    }

    fn truth(&self, term: &Term) -> Option<bool> {
        let term = self.head(term);
        match self.handed_on(&term) {
            Some(Handed::On(inner) | Handed::If(_, inner)) => return self.boolean(&inner),
            Some(_) => return None,
            None => {}
        }
        match &term.expr {
            Expr::Ident(ident) => ident.syntax().text().to_string().parse().ok(),
            _ => None,
        }
    }

    /// What `lib.mkIf`, `mkMerge`, `optional` and the like pass on; `None` for any other expression.
    pub(super) fn handed_on(&self, term: &Term) -> Option<Handed> {
        let Expr::Apply(apply) = &term.expr else { return None };
        let argument = Term::of(apply.argument()?, &term.scope);
        let function = self.head(&Term::of(apply.lambda()?, &term.scope));
        if let Expr::Apply(inner) = &function.expr {
            let first = Term::of(inner.argument()?, &function.scope);
            let name = self.last_name(&self.head(&Term::of(inner.lambda()?, &function.scope)))?;
            return match name.as_str() {
                "mkIf" | "optionals" | "optionalAttrs" => Some(Handed::If(first, argument)),
                "optional" => Some(Handed::Element(first, argument)),
                "mkOverride" | "mkOrder" => Some(Handed::On(argument)),
                "map" => Some(Handed::Mapped(first, argument)),
                "concatMap" => Some(Handed::MappedToLists(first, argument)),
                "forEach" => Some(Handed::Mapped(argument, first)),
                _ => None,
            };
        }
        match self.last_name(&function)?.as_str() {
            "mkForce" | "mkDefault" | "mkBefore" | "mkAfter" | "unique" => Some(Handed::On(argument)),
            "flatten" => Some(Handed::Flat(argument)),
            "singleton" => Some(Handed::Alone(argument)),
            "mkMerge" | "concatLists" => Some(Handed::Merged(argument)),
            _ => None,
        }
    }
}
