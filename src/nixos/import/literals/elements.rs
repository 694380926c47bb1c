//! The elements of a list: a path, or a set with a path and attributes.

use super::library::Handed;
use super::lists::{ElementContext, FirstName, ListReader};
use super::scope::Term;
use super::value::{Attribute, Segment, whole};
use crate::base::path::RelPath;
use crate::nixos::import::declared::{DeclaredKind, DeclaredPath, Told};
use crate::nixos::import::note::ImportNote;
use rnix::ast::Expr;

/// The attributes of an element besides its path.
#[derive(Default)]
struct ElementAttributes {
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
    how: Option<String>,
    /// `createLinkTarget` is, or may be, true.
    makes_target: bool,
}

impl ListReader<'_> {
    pub(super) fn element(&mut self, item: &Term, shared: &ElementContext) {
        if self.enter(item, &shared.option) {
            self.element_parts(item, shared);
            self.leave();
        }
    }

    fn element_parts(&mut self, item: &Term, shared: &ElementContext) {
        let item = self.evaluator.head(item);
        match self.evaluator.handed_on(&item) {
            Some(Handed::On(inner)) => return self.element(&inner, shared),
            Some(Handed::If(condition, inner)) => {
                if self.holds(&condition) {
                    self.element(&inner, shared);
                }
                return;
            }
            _ => {}
        }
        if let Some(path) = self.literal(&item, shared) {
            return self.entry(&path, ElementAttributes::default(), shared);
        }
        let Expr::AttrSet(set) = &item.expr else { return self.unread(&item, &shared.option) };
        let attributes = self.evaluator.set_attributes(set, &item.scope);
        let mut path = None;
        let mut own = ElementAttributes::default();
        let mut unread = Vec::new();
        for attribute in &attributes {
            let Some(slot) = slot(attribute, shared.kind, &mut path, &mut own) else {
                if matters(attribute) {
                    unread.push(attribute);
                }
                continue;
            };
            *slot = self.literal(&attribute.value, shared);
            if slot.is_none() && !is_null(&self.evaluator.head(&attribute.value)) {
                unread.push(attribute);
            }
        }
        own.makes_target = attributes.iter().any(|attribute| {
            matches!(attribute.names.as_slice(), [name] if name.is("createLinkTarget"))
                && self.evaluator.boolean(&attribute.value) != Some(false)
        });
        let Some(path) = path else { return self.unread(&item, &shared.option) };
        for attribute in unread {
            if self.says_parent(attribute, &path, shared) {
                continue;
            }
            let name = super::finder::shown(&attribute.names);
            let what = format!("{name} of {path} in {}", shared.option);
            self.unread(&attribute.value, &what);
        }
        self.entry(&path, own, shared);
    }

    /// A parent's literal mode is noted: a plan keeps the backup's. False for anything else.
    fn says_parent(&mut self, attribute: &Attribute, path: &str, shared: &ElementContext) -> bool {
        let value = self.evaluator.head(&attribute.value);
        let modes: Vec<Option<String>> = match (attribute.names.as_slice(), &value.expr) {
            ([parent], Expr::AttrSet(set)) if parent.is("parentDirectory") || parent.is("parent") => {
                let parts = self.evaluator.set_attributes(set, &value.scope);
                let mode = |part: &Attribute| match part.names.as_slice() {
                    [name] if name.is("mode") => self.literal(&part.value, shared),
                    _ => None,
                };
                parts.iter().map(mode).collect()
            }
            ([parent, name], _) if (parent.is("parentDirectory") || parent.is("parent")) && name.is("mode") => {
                vec![self.literal(&value, shared)]
            }
            _ => return false,
        };
        let Some(modes) = modes.into_iter().collect::<Option<Vec<String>>>() else { return false };
        for mode in modes {
            let (origin, place) = (&shared.origin, attribute.value.place());
            self.note_once(ImportNote::warning(format!(
                "{place}: the directory of {path} in {origin} is declared with the mode {mode}; the plan keeps the \
                 backup's mode"
            )));
        }
        true
    }

    /// A string that is completely known.
    fn literal(&self, term: &Term, shared: &ElementContext) -> Option<String> {
        let parts = self.evaluator.string(term)?;
        let parts: Vec<_> = parts.iter().map(|part| self.of_person(part, shared.home.as_ref())).collect();
        whole(&parts)
    }

    fn entry(&mut self, path: &str, own: ElementAttributes, shared: &ElementContext) {
        let Some(below) = self.all.path(path, &shared.origin) else { return };
        // Both modules take a path of the system without its slash for an absolute one.
        if path.is_empty() {
            let text = format!("{}: an empty text names no path", shared.origin);
            return self.note_once(ImportNote::lost(text));
        }
        let seen = match shared.first_name {
            FirstName::Kept => below.clone(),
            FirstName::Removed => below.names().skip(1).fold(RelPath::root(), |path, name| path.join(&name)),
        };
        let (live, stored) = match &shared.home {
            Some(home) => (home.dir.join_path(&seen), home.stored.join_path(&below)),
            None => (below.clone(), shared.storage.join_path(&below)),
        };
        let mode = self.all.mode(own.mode.as_deref(), &format!("{}: {path}", shared.origin));
        self.all.entries.push(DeclaredPath {
            live,
            stored,
            kind: shared.kind,
            owner: own.owner,
            group: own.group,
            mode,
            told: Told::Written,
            authority: shared.authority,
            is_linked: own.how.as_deref() == Some("symlink") && !own.makes_target,
            home: shared.home.clone(),
            origin: shared.origin.clone(),
        });
    }
}

/// Where the value of an attribute belongs.
fn slot<'s>(
    attribute: &Attribute,
    kind: DeclaredKind,
    path: &'s mut Option<String>,
    own: &'s mut ElementAttributes,
) -> Option<&'s mut Option<String>> {
    let [Segment::Known(name)] = attribute.names.as_slice() else { return None };
    match (name.as_str(), kind) {
        ("directory", DeclaredKind::Directory) | ("file", DeclaredKind::File) => Some(path),
        ("user", _) => Some(&mut own.owner),
        ("group", _) => Some(&mut own.group),
        ("mode", _) => Some(&mut own.mode),
        ("how", _) => Some(&mut own.how),
        _ => None,
    }
}

/// What a plan would have differently if it were known.
fn matters(attribute: &Attribute) -> bool {
    match attribute.names.first() {
        Some(Segment::Known(name)) => ["persistentStoragePath", "parentDirectory", "parent"].contains(&name.as_str()),
        _ => true,
    }
}

fn is_null(term: &Term) -> bool {
    use rowan::ast::AstNode;
    term.expr.syntax().text() == "null"
}
