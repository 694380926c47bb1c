//! The lists that were found: what their elements share, and which elements they have.

use super::assumptions::Assumptions;
use super::evaluate::Evaluator;
use super::finder::{Found, OptionLeaf, OwnOption};
use super::library::Handed;
use super::route::Choice;
use super::scope::Term;
use super::value::Segment;
use crate::base::path::RelPath;
use crate::nixos::import::declared::{Authority, Declaration, DeclaredHome, DeclaredKind};
use crate::nixos::import::note::ImportNote;
use rnix::TextRange;
use rnix::ast::{BinOpKind, Expr};
use rowan::ast::AstNode;
use std::collections::BTreeSet;

pub(super) struct ListReader<'r> {
    pub(super) evaluator: &'r Evaluator<'r>,
    pub(super) found: &'r Found,
    pub(super) assumptions: Assumptions<'r>,
    pub(super) all: &'r mut Declaration,
    /// Options of the configuration's own that a supported one takes.
    taken: Vec<(String, TextRange)>,
    depth: usize,
    steps: usize,
}

/// How deep lists and elements are followed; beyond it one most likely contains itself.
const DEEPEST: usize = 256;
/// Lists and elements that are looked at in all.
const MOST: usize = 60_000;

/// What the elements of one list share.
pub(super) struct ElementContext {
    pub(super) storage: RelPath,
    pub(super) home: Option<DeclaredHome>,
    pub(super) kind: DeclaredKind,
    pub(super) first_name: FirstName,
    pub(super) authority: Authority,
    /// The attribute path.
    pub(super) option: String,
    /// The same with its place.
    pub(super) origin: String,
}

/// Whether the live path has the stored path's first name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstName {
    Kept,
    Removed,
}

pub(super) fn read(evaluator: &Evaluator<'_>, found: &Found, assumptions: Assumptions<'_>, all: &mut Declaration) {
    let mut reader = ListReader { evaluator, found, assumptions, all, taken: Vec::new(), depth: 0, steps: 0 };
    let mut modules = BTreeSet::new();
    for leaf in &found.leaves {
        let module = super::finder::shown(&leaf.path.module);
        if !leaf.path.module.is_empty() && modules.insert(module.clone()) {
            reader.note_once(ImportNote::remark(format!("{}: {module} is taken into the plan", leaf.value.place())));
        }
        reader.leaf(leaf);
    }
    reader.host_key_lists();
    found.own.iter().for_each(|own| reader.left_over(own));
    let notes = std::mem::take(&mut reader.assumptions.notes);
    reader.all.notes.extend(notes);
}

impl ListReader<'_> {
    fn leaf(&mut self, leaf: &OptionLeaf) {
        let (key, user, list) = match leaf.path.below.as_slice() {
            [key, list] => (key, None, list),
            [key, users, user, list] if users.is("users") => (key, Some(user), list),
            _ => return,
        };
        let kind = match list {
            list if list.is("directories") => DeclaredKind::Directory,
            list if list.is("files") => DeclaredKind::File,
            Segment::Known(_) => return,
            Segment::Computed(_) => return self.unread(&leaf.value, &option(leaf)),
        };
        if !self.is_enabled(leaf) {
            return;
        }
        match self.shared(leaf, (key, user), kind) {
            Ok(shared) => {
                for element in self.elements(&leaf.value, &shared.option) {
                    self.element(&element, &shared);
                }
            }
            Err(why) => {
                let text = format!("{}: {}: {why}", leaf.value.place(), option(leaf));
                self.note_once(ImportNote::lost(text));
            }
        }
    }

    /// False if the storage area is turned off.
    fn is_enabled(&mut self, leaf: &OptionLeaf) -> bool {
        let Some(value) = self.setting(leaf, "enable") else { return true };
        let (enabled, place) = (self.evaluator.boolean(value), value.place());
        let note = match enabled {
            Some(true) => return true,
            Some(false) => ImportNote::remark(format!("{place}: {} is left out: enable = false", option(leaf))),
            None => {
                let text = format!("{place}: {} is taken as enabled, which only an evaluator knows", option(leaf));
                ImportNote::warning(text)
            }
        };
        self.note_once(note);
        enabled.is_none()
    }

    /// What the elements of the list share. The error says what is not known.
    fn shared(
        &mut self,
        leaf: &OptionLeaf,
        (key, user): (&Segment, Option<&Segment>),
        kind: DeclaredKind,
    ) -> Result<ElementContext, String> {
        let of_home = leaf.path.option == Choice::Home;
        let home = match user {
            _ if of_home => Some(self.home_manager(leaf)?),
            Some(user) => Some(self.home_of_entry(leaf, user)?),
            None => None,
        };
        let storage = self.storage_of(leaf, key, home.as_ref())?;
        self.all.storage(&storage);
        let stored = |home: &DeclaredHome| if of_home { storage.clone() } else { storage.join_path(&home.dir) };
        let home = home.map(|home| DeclaredHome { stored: stored(&home), ..home });
        let removed = self.setting(leaf, "removePrefixDirectory").and_then(|value| self.evaluator.boolean(value));
        let option = option(leaf);
        Ok(ElementContext {
            storage,
            home,
            kind,
            first_name: if removed == Some(true) { FirstName::Removed } else { FirstName::Kept },
            authority: match leaf.path.option {
                Choice::Preservation => Authority::Configuration,
                _ => Authority::Storage,
            },
            origin: format!("{option} ({})", leaf.value.place()),
            option,
        })
    }

    /// The values of a setting of the same storage area, in any file.
    pub(super) fn settings<'l>(&'l self, leaf: &'l OptionLeaf, name: &'l str) -> impl Iterator<Item = &'l Term> {
        self.found.leaves.iter().filter_map(move |other| {
            let same = other.path.option == leaf.path.option
                && other.path.user == leaf.path.user
                && matches!(other.path.below.as_slice(), [key, last]
                    if Some(key) == leaf.path.below.first() && last.is(name));
            same.then_some(&other.value)
        })
    }

    pub(super) fn setting(&self, leaf: &OptionLeaf, name: &str) -> Option<&Term> {
        self.found.leaves.iter().find_map(|other| {
            let same = other.path.option == leaf.path.option
                && other.path.user == leaf.path.user
                && matches!(other.path.below.as_slice(), [key, last]
                    if Some(key) == leaf.path.below.first() && last.is(name));
            same.then_some(&other.value)
        })
    }

    /// The elements of a list, of all its parts. What cannot be read is noted.
    pub(super) fn elements(&mut self, list: &Term, what: &str) -> Vec<Term> {
        let mut out = Vec::new();
        self.gather(list, what, &mut out);
        out
    }

    fn gather(&mut self, list: &Term, what: &str, out: &mut Vec<Term>) {
        if self.enter(list, what) {
            self.gather_parts(list, what, out);
            self.leave();
        }
    }

    /// False where a list or element has no end: it is noted.
    pub(super) fn enter(&mut self, term: &Term, what: &str) -> bool {
        self.steps += 1;
        if self.depth < DEEPEST && self.steps < MOST {
            self.depth += 1;
            return true;
        }
        self.note_once(ImportNote::lost(format!("{}: {what} has no end that can be read", term.place())));
        false
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    fn gather_parts(&mut self, list: &Term, what: &str, out: &mut Vec<Term>) {
        let list = self.evaluator.head(list);
        match self.evaluator.handed_on(&list) {
            Some(Handed::On(inner)) => return self.gather(&inner, what, out),
            Some(Handed::If(condition, inner)) => {
                if self.holds(&condition) {
                    self.gather(&inner, what, out);
                }
                return;
            }
            Some(Handed::Element(condition, element)) => {
                if self.holds(&condition) {
                    out.push(element);
                }
                return;
            }
            Some(Handed::Merged(lists)) => {
                for list in self.elements(&lists, what) {
                    self.gather(&list, what, out);
                }
                return;
            }
            Some(Handed::Mapped(function, lists)) => {
                out.extend(self.mapped(&list, (&function, &lists), what));
                return;
            }
            Some(Handed::MappedToLists(function, lists)) => {
                for made in self.mapped(&list, (&function, &lists), what) {
                    self.gather(&made, what, out);
                }
                return;
            }
            Some(Handed::Flat(lists)) => {
                for element in self.elements(&lists, what) {
                    self.flatten(element, what, out);
                }
                return;
            }
            Some(Handed::Alone(element)) => return out.push(element),
            None => {}
        }
        match &list.expr {
            Expr::List(items) => out.extend(items.items().map(|item| Term::of(item, &list.scope))),
            Expr::BinOp(op) if op.operator() == Some(BinOpKind::Concat) => {
                for side in [op.lhs(), op.rhs()].into_iter().flatten() {
                    self.gather(&Term::of(side, &list.scope), what, out);
                }
            }
            _ => self.own_option(&list, what, out),
        }
    }

    /// What a function makes of each element of a list.
    fn mapped(&mut self, whole: &Term, (function, list): (&Term, &Term), what: &str) -> Vec<Term> {
        let function = self.evaluator.head(function);
        if !matches!(function.expr, Expr::Lambda(_)) {
            self.unread(whole, what);
            return Vec::new();
        }
        let elements = self.elements(list, what);
        elements.into_iter().filter_map(|element| Evaluator::apply(&function, element)).collect()
    }

    fn flatten(&mut self, element: Term, what: &str, out: &mut Vec<Term>) {
        let head = self.evaluator.head(&element);
        if !matches!(head.expr, Expr::List(_)) {
            return out.push(element);
        }
        if self.enter(&head, what) {
            for inner in self.elements(&head, what) {
                self.flatten(inner, what, out);
            }
            self.leave();
        }
    }

    /// A list that an option of the configuration's own has: what these files say of it.
    fn own_option(&mut self, list: &Term, what: &str, out: &mut Vec<Term>) {
        let names = self.evaluator.names(list).unwrap_or_default();
        let found = self.found;
        let said: Vec<&OwnOption> = match names.split_first() {
            Some((first, rest)) if first == "config" => found.own.iter().filter(|own| own.names == rest).collect(),
            _ => Vec::new(),
        };
        if said.is_empty() {
            return self.unread(list, what);
        }
        let name = names.join(".");
        self.note_once(ImportNote::remark(format!("{}: {name} is taken as these files define it", list.place())));
        for own in said {
            let key = (own.value.scope.source().shown.clone(), own.range);
            // An option that takes itself would have no end.
            if !self.taken.contains(&key) {
                self.taken.push(key);
                self.gather(&own.value, what, out);
            }
        }
    }

    /// True unless the condition is known to be false; one that is not known is noted.
    pub(super) fn holds(&mut self, condition: &Term) -> bool {
        let known = self.evaluator.boolean(condition);
        if known.is_none() {
            let shown = self.evaluator.shown(condition);
            self.note_once(ImportNote::remark(format!("{}: taken as if `{shown}` held", condition.place())));
        }
        known != Some(false)
    }

    /// An option of the configuration's own that looks like a list of what persists, and that no supported
    /// option takes.
    fn left_over(&mut self, own: &OwnOption) {
        const LISTS: [&str; 4] = ["directories", "files", "dirs", "folders"];
        let persists = |name: &String| {
            let name = name.to_lowercase();
            ["persist", "impermanence", "preserv"].iter().any(|part| name.contains(part))
        };
        let shown = own.value.scope.source().shown.clone();
        let settled = self.found.settled.iter().any(|(file, range)| *file == shown && range.contains_range(own.range));
        let telling =
            own.names.iter().any(persists) && own.names.last().is_some_and(|last| LISTS.contains(&last.as_str()));
        if telling && !settled && !self.taken.contains(&(shown, own.range)) {
            let (place, name) = (own.value.place(), own.names.join("."));
            self.all.notes.push(ImportNote::lost(format!(
                "{place}: {name} is an option of the configuration's own; where it leads needs an evaluator"
            )));
        }
    }

    pub(super) fn unread(&mut self, term: &Term, what: &str) {
        let note = term.scope.source().unread(term.expr.syntax().text_range(), what);
        let names = self.evaluator.names(term).map(|names| names.join("."));
        let note = match names {
            Some(names) => note.quoting(names),
            None => note,
        };
        self.all.notes.push(note);
    }

    pub(super) fn note_once(&mut self, note: ImportNote) {
        if !self.all.notes.contains(&note) {
            self.all.notes.push(note);
        }
    }
}

/// The attribute path of a list.
pub(super) fn option(leaf: &OptionLeaf) -> String {
    let mut path: Vec<String> = Vec::new();
    if let Some(user) = &leaf.path.user {
        path.push(format!("home-manager.users.{}", user.shown()));
    }
    path.push(leaf.path.option.name());
    path.extend(leaf.path.below.iter().map(Segment::shown));
    path.join(".")
}
