//! The little of Nix that can be evaluated from the text alone: names, attributes of literal sets,
//! functions that are called where they can be seen, and imports of literal paths.

use super::files::NixFiles;
use super::scope::{NameMeaning, Names, NixScope, Term};
use super::value::{Attribute, Segment};
use rnix::ast::{self, Attr, BinOpKind, Expr, InterpolPart};
use rowan::ast::AstNode;
use std::cell::Cell;

/// Steps of one import; what is left then needs an evaluator.
const STEPS: u32 = 400_000;
/// Names that stand for names that stand for names.
const CHAIN: u32 = 40;

pub(super) struct Evaluator<'f> {
    pub(super) files: &'f NixFiles,
    steps: Cell<u32>,
    chain: Cell<u32>,
}

impl<'f> Evaluator<'f> {
    pub(super) fn new(files: &'f NixFiles) -> Self {
        Self { files, steps: Cell::new(STEPS), chain: Cell::new(0) }
    }

    /// What the term stands for, as far as the text tells: a set, a list, a string, a function, or an
    /// expression that only an evaluator knows.
    pub(super) fn head(&self, term: &Term) -> Term {
        self.nested(|| self.reduced(term)).unwrap_or_else(|| term.clone())
    }

    /// Does what may come back to itself, as `let a = a; in a` does; `None` when it has.
    pub(super) fn nested<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let depth = self.chain.get();
        if depth >= CHAIN {
            return None;
        }
        self.chain.set(depth + 1);
        let done = work();
        self.chain.set(depth);
        Some(done)
    }

    fn reduced(&self, term: &Term) -> Term {
        let mut at = term.clone();
        for _ in 0..CHAIN {
            if self.steps.get() == 0 {
                break;
            }
            self.steps.set(self.steps.get() - 1);
            match self.step(&at) {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    }

    fn step(&self, term: &Term) -> Option<Term> {
        let scope = &term.scope;
        match &term.expr {
            Expr::Paren(it) => Some(Term::of(it.expr()?, scope)),
            Expr::LetIn(it) => Some(Term::of(it.body()?, &scope.inside(Names::Let(it.clone())))),
            Expr::With(it) => {
                let namespace = Term::of(it.namespace()?, scope);
                Some(Term::of(it.body()?, &scope.inside(Names::With(namespace))))
            }
            Expr::Assert(it) => Some(Term::of(it.body()?, scope)),
            Expr::Ident(ident) => found(self.lookup(scope, &ident.syntax().text().to_string())),
            Expr::Select(select) => self.select(select, scope),
            Expr::Apply(apply) => self.call(apply, scope),
            _ => None,
        }
    }

    fn select(&self, select: &ast::Select, scope: &NixScope) -> Option<Term> {
        let names = known_names(&select.attrpath()?)?;
        match self.member(&Term::of(select.expr()?, scope), &names) {
            NameMeaning::Is(term) => Some(term),
            NameMeaning::Absent => Some(Term::of(select.default_expr()?, scope)),
            NameMeaning::Unknown => None,
        }
    }

    fn call(&self, apply: &ast::Apply, scope: &NixScope) -> Option<Term> {
        let function = self.head(&Term::of(apply.lambda()?, scope));
        let argument = Term::of(apply.argument()?, scope);
        if matches!(function.expr, Expr::Lambda(_)) {
            return Self::apply(&function, argument);
        }
        if self.last_name(&function).as_deref() == Some("import") {
            return self.import(&argument);
        }
        None
    }

    /// The body of a function that is called with `argument`.
    pub(super) fn apply(function: &Term, argument: Term) -> Option<Term> {
        let Expr::Lambda(lambda) = &function.expr else { return None };
        let names = Names::Parameters(lambda.clone(), Some(argument));
        Some(Term::of(lambda.body()?, &function.scope.inside(names)))
    }

    fn import(&self, path: &Term) -> Option<Term> {
        let path = self.head(path);
        self.files.imported(path.scope.source(), &relative_path(&path.expr)?).ok()?.term()
    }

    /// What a name stands for. Names that nest are looked for first; those of a `with` come last.
    fn lookup(&self, scope: &NixScope, name: &str) -> NameMeaning {
        for at in scope.frames() {
            let frame = at.frame();
            let outer = frame.outer.as_ref();
            let meaning = match &frame.names {
                Names::Let(it) => self.entry(&self.attributes(it, at, outer.unwrap_or(at)), &[name.to_string()]),
                Names::Rec(it) => self.entry(&self.attributes(it, at, outer.unwrap_or(at)), &[name.to_string()]),
                Names::Parameters(lambda, argument) => self.parameter(at, lambda, argument.as_ref(), name),
                Names::From(term) => return self.member(term, &[name.to_string()]),
                Names::File | Names::With(_) => NameMeaning::Absent,
            };
            match meaning {
                NameMeaning::Absent => {}
                meaning => return meaning,
            }
        }
        for at in scope.frames() {
            if let Names::With(term) = &at.frame().names {
                match self.member(term, &[name.to_string()]) {
                    NameMeaning::Absent => {}
                    meaning => return meaning,
                }
            }
        }
        NameMeaning::Unknown
    }

    fn parameter(&self, at: &NixScope, lambda: &ast::Lambda, argument: Option<&Term>, name: &str) -> NameMeaning {
        let is = |ident: Option<ast::Ident>| ident.is_some_and(|ident| ident.syntax().text() == name);
        let given = || argument.map_or(NameMeaning::Unknown, |argument| NameMeaning::Is(argument.clone()));
        match lambda.param() {
            Some(ast::Param::IdentParam(param)) if is(param.ident()) => given(),
            Some(ast::Param::Pattern(pattern)) => {
                if pattern.pat_bind().is_some_and(|bind| is(bind.ident())) {
                    return given();
                }
                let Some(entry) = pattern.pat_entries().find(|entry| is(entry.ident())) else {
                    return NameMeaning::Absent;
                };
                let Some(argument) = argument else { return NameMeaning::Unknown };
                match (self.member(argument, &[name.to_string()]), entry.default()) {
                    (NameMeaning::Absent, Some(default)) => NameMeaning::Is(Term::of(default, at)),
                    (NameMeaning::Absent, None) => NameMeaning::Unknown,
                    (meaning, _) => meaning,
                }
            }
            _ => NameMeaning::Absent,
        }
    }

    /// An attribute, through the sets that lead to it.
    pub(super) fn member(&self, term: &Term, names: &[String]) -> NameMeaning {
        let Some((first, rest)) = names.split_first() else { return NameMeaning::Is(term.clone()) };
        let set = self.head(term);
        match &set.expr {
            Expr::AttrSet(it) => self.entry(&self.set_attributes(it, &set.scope), names),
            Expr::BinOp(op) if op.operator() == Some(BinOpKind::Update) => {
                let (Some(lhs), Some(rhs)) = (op.lhs(), op.rhs()) else { return NameMeaning::Unknown };
                let first = std::slice::from_ref(first);
                for side in [rhs, lhs] {
                    match self.member(&Term::of(side, &set.scope), first) {
                        NameMeaning::Absent => {}
                        NameMeaning::Is(term) => return self.member(&term, rest),
                        NameMeaning::Unknown => return NameMeaning::Unknown,
                    }
                }
                NameMeaning::Absent
            }
            _ => NameMeaning::Unknown,
        }
    }

    /// An attribute among those of one set.
    fn entry(&self, attributes: &[Attribute], names: &[String]) -> NameMeaning {
        let mut uncertain = false;
        for attribute in attributes {
            let same = attribute.names.iter().zip(names).take_while(|(segment, name)| segment.is(name)).count();
            if same == attribute.names.len() {
                return match names.get(same..) {
                    Some([]) | None => NameMeaning::Is(attribute.value.clone()),
                    Some(rest) => self.member(&attribute.value, rest),
                };
            }
            // A set that is written in parts, or a name that is computed, could be meant.
            uncertain |= same == names.len() || matches!(attribute.names.get(same), Some(Segment::Computed(_)));
        }
        if uncertain { NameMeaning::Unknown } else { NameMeaning::Absent }
    }

    /// The names of a term that stays a name or an attribute: `cfg.path` is `config.my.path` where `cfg` is
    /// `config.my`.
    pub(super) fn names(&self, term: &Term) -> Option<Vec<String>> {
        self.nested(|| self.own_names(term))?
    }

    fn own_names(&self, term: &Term) -> Option<Vec<String>> {
        match &term.expr {
            Expr::Ident(ident) => {
                let name = ident.syntax().text().to_string();
                let mut names = match &term.scope.frame().names {
                    Names::From(from) => self.names(&self.head(from))?,
                    _ => Vec::new(),
                };
                names.push(name);
                Some(names)
            }
            Expr::Select(select) => {
                let mut names = self.names(&self.head(&Term::of(select.expr()?, &term.scope)))?;
                names.extend(known_names(&select.attrpath()?)?);
                Some(names)
            }
            Expr::Paren(paren) => self.names(&Term::of(paren.expr()?, &term.scope)),
            _ => None,
        }
    }

    /// The last name of a function such as `lib.mkIf`.
    pub(super) fn last_name(&self, term: &Term) -> Option<String> {
        self.names(term)?.pop()
    }

    /// A name of what only an evaluator knows: the same for the same expression.
    pub(super) fn identity(&self, term: &Term) -> String {
        match self.names(term) {
            Some(names) => names.join("."),
            None => term.expr.syntax().text().to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    /// How notes call a term: its names, or the beginning of its text.
    pub(super) fn shown(&self, term: &Term) -> String {
        match self.names(term) {
            Some(names) => names.join("."),
            None => term.scope.source().quote(term.expr.syntax().text_range()),
        }
    }
}

fn found(meaning: NameMeaning) -> Option<Term> {
    if let NameMeaning::Is(term) = meaning { Some(term) } else { None }
}

fn known_names(path: &ast::Attrpath) -> Option<Vec<String>> {
    let one = |attr: Attr| match attr {
        Attr::Ident(ident) => Some(ident.syntax().text().to_string()),
        Attr::Str(string) => match string.normalized_parts().as_slice() {
            [InterpolPart::Literal(text)] => Some(text.clone()),
            _ => None,
        },
        Attr::Dynamic(_) => None,
    };
    path.attrs().map(one).collect()
}

/// A path such as `./a.nix` without interpolations.
pub(super) fn relative_path(expr: &Expr) -> Option<String> {
    let text = match expr {
        Expr::PathRel(path) => path.syntax().text().to_string(),
        _ => return None,
    };
    (!text.contains("${")).then_some(text)
}
