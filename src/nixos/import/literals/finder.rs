//! Finds the values of the supported options, however they are nested.

use super::evaluate::{Evaluator, relative_path};
use super::library::Handed;
use super::route::{OptionPath, Route, own, route};
use super::scope::{Names, Term};
use super::source::Source;
use super::value::{Attribute, Segment};
use crate::nixos::import::note::ImportNote;
use rnix::TextRange;
use rnix::ast::{BinOpKind, Expr};
use rowan::ast::AstNode;
use std::collections::BTreeSet;

/// How deep the walk goes; beyond it a set most likely contains itself.
const DEEPEST: usize = 120;
/// Sets that are looked into in all.
const MOST: usize = 200_000;

/// A value at the end of an option's path: a list, or one of a storage area's settings.
pub(super) struct OptionLeaf {
    pub(super) path: OptionPath,
    pub(super) value: Term,
}

/// What a module says of an option that is none of the supported ones.
pub(super) struct OwnOption {
    /// The names below `config`, as Nix writes them.
    pub(super) names: Vec<String>,
    pub(super) path: Vec<Segment>,
    pub(super) value: Term,
    pub(super) range: TextRange,
}

/// `mkAliasOptionModule FROM TO`.
struct OptionAlias {
    from: Vec<String>,
    to: Vec<Segment>,
}

/// All that the modules say.
#[derive(Default)]
pub(super) struct Found {
    pub(super) leaves: Vec<OptionLeaf>,
    pub(super) own: Vec<OwnOption>,
    pub(super) notes: Vec<ImportNote>,
    /// What was read or noted, by file: anything outside was passed over.
    pub(super) settled: Vec<(String, TextRange)>,
}

pub(super) struct Finder<'e> {
    evaluator: &'e Evaluator<'e>,
    found: Found,
    aliases: Vec<OptionAlias>,
    /// Sets that an option takes from an option of the configuration's own.
    borrowed: Vec<(Vec<Segment>, Term)>,
    /// Files that were read as modules, by what they are modules of.
    visited: BTreeSet<(String, String)>,
    depth: usize,
    steps: usize,
}

impl<'e> Finder<'e> {
    pub(super) fn new(evaluator: &'e Evaluator<'e>) -> Self {
        Self {
            evaluator,
            found: Found::default(),
            aliases: Vec::new(),
            borrowed: Vec::new(),
            visited: BTreeSet::new(),
            depth: 0,
            steps: 0,
        }
    }

    /// Reads a file that was named, unless another one has imported it.
    pub(super) fn module(&mut self, module: &Term) {
        let shown = &module.scope.source().shown;
        if !self.visited.iter().any(|(file, _)| file == shown) {
            self.visited.insert((shown.clone(), String::new()));
            self.visit(module, &[]);
        }
    }

    /// Everything, when all files were read.
    pub(super) fn finish(mut self) -> Found {
        self.follow_aliases();
        self.follow_borrowed();
        self.found
    }

    /// What is said of an alias is said of the option itself.
    fn follow_aliases(&mut self) {
        for alias in std::mem::take(&mut self.aliases) {
            let (said, rest) = std::mem::take(&mut self.found.own)
                .into_iter()
                .partition(|own: &OwnOption| own.names.starts_with(&alias.from));
            self.found.own = rest;
            for own in said {
                let below = own.path.len().saturating_sub(own.names.len() - alias.from.len());
                let path = [alias.to.clone(), own.path.get(below..).unwrap_or_default().to_vec()].concat();
                self.value(&path, &own.value, own.range);
            }
        }
    }

    fn follow_borrowed(&mut self) {
        for (path, term) in std::mem::take(&mut self.borrowed) {
            let names = self.evaluator.names(&term).unwrap_or_default();
            let below = |own: &OwnOption| {
                let rest = own.names.strip_prefix(names.get(1..)?)?;
                own.path.get(own.path.len() - rest.len()..).map(<[Segment]>::to_vec)
            };
            let said: Vec<_> =
                self.found.own.iter().filter_map(|own| Some((below(own)?, own.value.clone(), own.range))).collect();
            if said.is_empty() || names.first().is_none_or(|first| first != "config") {
                self.note(&term, &shown(&path));
            }
            for (rest, value, range) in said {
                self.value(&[path.clone(), rest].concat(), &value, range);
            }
        }
    }

    fn visit(&mut self, term: &Term, path: &[Segment]) {
        if self.enter(term, path) {
            self.visit_head(&self.evaluator.head(term), path);
            self.depth -= 1;
        }
    }

    /// False where a set or a list of modules has no end: it is noted, once the walk has to stop.
    fn enter(&mut self, term: &Term, path: &[Segment]) -> bool {
        self.steps += 1;
        if self.depth < DEEPEST && self.steps < MOST {
            self.depth += 1;
            return true;
        }
        if self.steps <= MOST {
            self.note(term, &shown(path));
        }
        false
    }

    fn visit_head(&mut self, term: &Term, path: &[Segment]) {
        match self.evaluator.handed_on(term) {
            Some(Handed::On(inner)) => return self.visit(&inner, path),
            Some(Handed::If(condition, inner)) => {
                if self.evaluator.boolean(&condition) != Some(false) {
                    self.visit(&inner, path);
                }
                return;
            }
            Some(Handed::Merged(list)) => return self.merged(&list, path),
            Some(_) => return self.opaque(term, path),
            None => {}
        }
        match &term.expr {
            Expr::Lambda(lambda) => {
                if let Some(body) = lambda.body() {
                    let scope = term.scope.inside(Names::Parameters(lambda.clone(), None));
                    self.visit(&Term::of(body, &scope), path);
                }
            }
            Expr::BinOp(op) if op.operator() == Some(BinOpKind::Update) => {
                let side = |side: Option<Expr>| side.map(|side| Term::of(side, &term.scope));
                let (Some(lhs), Some(rhs)) = (side(op.lhs()), side(op.rhs())) else { return };
                self.update(&lhs, &rhs, path);
            }
            Expr::AttrSet(set) => {
                for attribute in self.evaluator.set_attributes(set, &term.scope) {
                    self.attribute(&attribute, path);
                }
            }
            _ => match relative_path(&term.expr) {
                // A module may be given by its path.
                Some(file) => self.file(term, &file, path),
                None => self.opaque(term, path),
            },
        }
    }

    /// `a // b`: what `b` has as well is not taken from `a`.
    fn update(&mut self, lhs: &Term, rhs: &Term, path: &[Segment]) {
        let (left, right) = (self.evaluator.head(lhs), self.evaluator.head(rhs));
        if let (Expr::AttrSet(left_set), Expr::AttrSet(right_set)) = (&left.expr, &right.expr) {
            let over = self.evaluator.set_attributes(right_set, &right.scope);
            for attribute in self.evaluator.set_attributes(left_set, &left.scope) {
                if over.iter().any(|other| other.names.first() == attribute.names.first()) {
                    self.found.settled.push((left.scope.source().shown.clone(), attribute.range));
                } else {
                    self.attribute(&attribute, path);
                }
            }
        } else {
            self.visit(&left, path);
        }
        self.visit(&right, path);
    }

    fn merged(&mut self, list: &Term, path: &[Segment]) {
        let list = self.evaluator.head(list);
        let Expr::List(items) = &list.expr else { return self.opaque(&list, path) };
        for item in items.items() {
            self.visit(&Term::of(item, &list.scope), path);
        }
    }

    fn attribute(&mut self, attribute: &Attribute, path: &[Segment]) {
        let full = [path, &attribute.names].concat();
        self.value(&full, &attribute.value, attribute.range);
    }

    fn value(&mut self, path: &[Segment], value: &Term, range: TextRange) {
        let file = || value.scope.source().shown.clone();
        match route(path) {
            Route::Options => self.found.settled.push((file(), range)),
            Route::Imports => self.imports(value, path.get(..path.len() - 1).unwrap_or_default()),
            Route::Above => self.visit(value, path),
            Route::Elsewhere => {
                let head = self.evaluator.head(value);
                let goes_on = matches!(head.expr, Expr::AttrSet(_) | Expr::Lambda(_) | Expr::BinOp(_))
                    || self.evaluator.handed_on(&head).is_some();
                if goes_on {
                    self.visit(&head, path);
                }
                if !matches!(head.expr, Expr::AttrSet(_) | Expr::Lambda(_)) {
                    self.found.own.push(OwnOption { names: own(path), path: path.to_vec(), value: head, range });
                }
            }
            Route::Inside(option) => {
                self.found.settled.push((file(), range));
                if option.is_leaf() {
                    self.found.leaves.push(OptionLeaf { path: option, value: value.clone() });
                } else {
                    self.visit(value, path);
                }
            }
        }
    }

    /// Modules in a list: those that are written there, and those below the directory of the file that was
    /// named.
    fn imports(&mut self, list: &Term, module: &[Segment]) {
        if self.enter(list, module) {
            self.modules_of(list, module);
            self.depth -= 1;
        }
    }

    fn modules_of(&mut self, list: &Term, module: &[Segment]) {
        let list = self.evaluator.head(list);
        match &list.expr {
            Expr::List(items) => {
                for item in items.items() {
                    self.import(&Term::of(item, &list.scope), module);
                }
            }
            Expr::BinOp(op) => {
                for side in [op.lhs(), op.rhs()].into_iter().flatten() {
                    self.imports(&Term::of(side, &list.scope), module);
                }
            }
            _ => match self.evaluator.handed_on(&list) {
                Some(Handed::On(inner) | Handed::If(_, inner)) => self.imports(&inner, module),
                Some(Handed::Element(_, inner)) => self.import(&inner, module),
                _ => self.not_read(&list, "it is known to an evaluator only"),
            },
        }
    }

    fn import(&mut self, item: &Term, module: &[Segment]) {
        let item = self.evaluator.head(item);
        if let Some(file) = relative_path(&item.expr) {
            return self.file(&item, &file, module);
        }
        if matches!(item.expr, Expr::Lambda(_) | Expr::AttrSet(_)) {
            return self.visit(&item, module);
        }
        match self.alias(&item) {
            Some(alias) => self.aliases.push(alias),
            None => self.not_read(&item, "it is known to an evaluator only"),
        }
    }

    fn file(&mut self, named: &Term, path: &str, module: &[Segment]) {
        match self.evaluator.files.imported(named.scope.source(), path) {
            Ok(file) => {
                let Some(term) = file.term() else { return };
                if self.visited.insert((file.source.shown.clone(), shown(module))) {
                    self.visit(&term, module);
                }
            }
            Err(why) => {
                let text = format!("{}: the module {path} is not read: {why}; name it as well", named.place());
                self.found.notes.push(ImportNote::lost(text));
            }
        }
    }

    fn not_read(&mut self, item: &Term, why: &str) {
        let text = format!("{}: the module {} is not read: {why}", item.place(), self.evaluator.shown(item));
        self.found.notes.push(ImportNote::remark(text));
    }

    fn alias(&self, item: &Term) -> Option<OptionAlias> {
        let Expr::Apply(outer) = &item.expr else { return None };
        let Expr::Apply(inner) = outer.lambda()? else { return None };
        let function = self.evaluator.head(&Term::of(inner.lambda()?, &item.scope));
        if !matches!(self.evaluator.last_name(&function)?.as_str(), "mkAliasOptionModule" | "mkRenamedOptionModule") {
            return None;
        }
        let names = |expr: Expr| {
            let list = self.evaluator.head(&Term::of(expr, &item.scope));
            let Expr::List(items) = &list.expr else { return None };
            let name = |item| super::value::whole(&self.evaluator.string(&Term::of(item, &list.scope))?);
            items.items().map(name).collect::<Option<Vec<String>>>()
        };
        let (from, to) = (names(inner.argument()?)?, names(outer.argument()?)?);
        let from = from.into_iter().map(|name| Segment::Known(name).shown()).collect();
        Some(OptionAlias { from, to: to.into_iter().map(Segment::Known).collect() })
    }

    /// A value that only an evaluator knows: it matters where an option is or may be.
    fn opaque(&mut self, term: &Term, path: &[Segment]) {
        match route(path) {
            Route::Inside(_) if self.evaluator.names(term).is_some() => {
                self.borrowed.push((path.to_vec(), term.clone()));
            }
            Route::Inside(_) => self.note(term, &shown(path)),
            Route::Above if !matches!(term.expr, Expr::Literal(_)) => self.note(term, &shown(path)),
            _ => {}
        }
    }

    fn note(&mut self, term: &Term, what: &str) {
        let source: &Source = term.scope.source();
        let range = term.expr.syntax().text_range();
        self.found.settled.push((source.shown.clone(), range));
        self.found.notes.push(source.unread(range, what));
    }
}

impl OptionPath {
    /// True where a list or a setting stands.
    fn is_leaf(&self) -> bool {
        match self.below.as_slice() {
            [] | [_] => self.option == super::route::Choice::HostKeys,
            [_, users] | [_, users, _] => !users.is("users"),
            _ => true,
        }
    }
}

/// An attribute path as Nix writes it.
pub(super) fn shown(path: &[Segment]) -> String {
    if path.is_empty() { "the module".into() } else { path.iter().map(Segment::shown).collect::<Vec<_>>().join(".") }
}
