//! Strings, names of attributes, and functions that pass their value on unchanged.

use rnix::ast::{self, Attr, Expr, HasEntry, InterpolPart};
use rowan::ast::AstNode;

/// A part of a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StringPart {
    Literal(String),
    /// The text of the expression.
    Interpolated(String),
}

/// One name of an attribute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Known(String),
    Computed(Vec<StringPart>),
}

impl Segment {
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Known(known) if known == name)
    }

    /// As Nix writes it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Known(name) => crate::nixos::import::declared::attribute(name),
            Self::Computed(parts) => {
                let text = |part: &StringPart| match part {
                    StringPart::Literal(text) => text.clone(),
                    StringPart::Interpolated(text) => format!("${{{text}}}"),
                };
                format!("\"{}\"", parts.iter().map(text).collect::<String>())
            }
        }
    }
}

/// The parts of a string, with escapes and indentation resolved.
pub(super) fn parts(string: &ast::Str) -> Vec<StringPart> {
    let part = |part: InterpolPart<String>| match part {
        InterpolPart::Literal(text) => StringPart::Literal(text),
        InterpolPart::Interpolation(inner) => {
            StringPart::Interpolated(inner.expr().map(|e| e.syntax().text().to_string()).unwrap_or_default())
        }
    };
    string.normalized_parts().into_iter().map(part).collect()
}

/// The text of parts without an interpolation.
pub(super) fn whole(parts: &[StringPart]) -> Option<String> {
    parts.iter().map(|part| if let StringPart::Literal(text) = part { Some(text.as_str()) } else { None }).collect()
}

pub(super) fn segments(path: &ast::Attrpath) -> Vec<Segment> {
    let one = |attr: Attr| match attr {
        Attr::Ident(ident) => Segment::Known(ident.syntax().text().to_string()),
        Attr::Str(string) => {
            let parts = parts(&string);
            whole(&parts).map_or(Segment::Computed(parts), Segment::Known)
        }
        Attr::Dynamic(dynamic) => {
            if let Some(text) = dynamic.expr().and_then(|expr| string(&expr)).and_then(|parts| whole(&parts)) {
                return Segment::Known(text);
            }
            let text = dynamic.expr().map(|e| e.syntax().text().to_string()).unwrap_or_default();
            Segment::Computed(vec![StringPart::Interpolated(text)])
        }
    };
    path.attrs().map(one).collect()
}

/// What is inside expressions that pass their content on: parentheses, `let … in`, `with`, `assert`,
/// `mkIf`, `mkForce` and the like; `mkMerge` passes on several.
pub(super) fn content(expr: &Expr) -> Option<Vec<Expr>> {
    let one = |inner: Option<Expr>| Some(inner.into_iter().collect());
    match expr {
        Expr::Paren(it) => one(it.expr()),
        Expr::LetIn(it) => one(it.body()),
        Expr::With(it) => one(it.body()),
        Expr::Assert(it) => one(it.body()),
        Expr::Apply(it) => handed_on(it),
        _ => None,
    }
}

fn handed_on(apply: &ast::Apply) -> Option<Vec<Expr>> {
    let argument = apply.argument()?;
    match apply.lambda()? {
        Expr::Apply(inner) => {
            let name = function(&inner.lambda()?)?;
            matches!(name.as_str(), "mkIf" | "mkOverride" | "mkOrder").then(|| vec![argument])
        }
        other => match function(&other)?.as_str() {
            "mkForce" | "mkDefault" | "mkBefore" | "mkAfter" => Some(vec![argument]),
            "mkMerge" => {
                let mut list = argument;
                while let Some(inner) = content(&list) {
                    list = inner.into_iter().next()?;
                }
                if let Expr::List(list) = list { Some(list.items().collect()) } else { None }
            }
            _ => None,
        },
    }
}

/// The last name of `lib.mkIf` or `mkIf`.
fn function(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Ident(ident) => Some(ident.syntax().text().to_string()),
        Expr::Select(select) => match select.attrpath()?.attrs().last()? {
            Attr::Ident(ident) => Some(ident.syntax().text().to_string()),
            _ => None,
        },
        Expr::Paren(paren) => function(&paren.expr()?),
        _ => None,
    }
}

/// `true` or `false`.
pub(super) fn boolean(expr: &Expr) -> Option<bool> {
    if let Some(inner) = content(expr) {
        return boolean(inner.first()?);
    }
    match expr {
        Expr::Ident(ident) => ident.syntax().text().to_string().parse().ok(),
        _ => None,
    }
}

/// The parts of the string that an expression is, with its interpolations.
pub(super) fn string(expr: &Expr) -> Option<Vec<StringPart>> {
    match expr {
        Expr::Str(string) => Some(parts(string)),
        Expr::Paren(paren) => string(&paren.expr()?),
        _ => None,
    }
}

/// The names and values of an attribute set; `Err` holds what is inherited.
pub(super) fn attributes(set: &ast::AttrSet) -> Vec<Result<(Vec<Segment>, ast::AttrpathValue), ast::Inherit>> {
    set.entries()
        .map(|entry| match entry {
            ast::Entry::Inherit(inherit) => Err(inherit),
            ast::Entry::AttrpathValue(pair) => Ok((pair.attrpath().map(|p| segments(&p)).unwrap_or_default(), pair)),
        })
        .collect()
}
