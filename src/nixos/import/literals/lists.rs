//! Reads the lists that were found, element by element.

use super::leaves::OptionLeaf;
use super::route::Choice;
use super::source::Source;
use super::value::{Segment, attributes, boolean, content, string};
use crate::base::path::RelPath;
use crate::nixos::import::declared::{Authority, Declaration, DeclaredHome, DeclaredKind, DeclaredPath, Told};
use crate::nixos::import::note::ImportNote;
use crate::nixos::import::person::Person;
use rnix::ast::{BinOpKind, Expr};
use rowan::ast::AstNode;

pub(super) struct ListReader<'r> {
    pub(super) source: &'r Source<'r>,
    pub(super) leaves: &'r [OptionLeaf],
    pub(super) storage: &'r RelPath,
    pub(super) person: &'r Person,
    pub(super) all: &'r mut Declaration,
}

/// What the elements of one list share.
struct ElementContext {
    storage: RelPath,
    home: Option<DeclaredHome>,
    kind: DeclaredKind,
    first_name: FirstName,
    authority: Authority,
    origin: String,
}

/// Whether the live path has the stored path's first name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstName {
    Kept,
    Removed,
}

pub(super) fn read(
    leaves: &[OptionLeaf],
    source: &Source<'_>,
    storage: &RelPath,
    person: &Person,
    all: &mut Declaration,
) -> Result<(), String> {
    let mut reader = ListReader { source, leaves, storage, person, all };
    leaves.iter().try_for_each(|leaf| reader.leaf(leaf))
}

impl ListReader<'_> {
    fn leaf(&mut self, leaf: &OptionLeaf) -> Result<(), String> {
        if leaf.option == Choice::HostKeys {
            self.host_keys(&leaf.value);
            return Ok(());
        }
        let (key, user, list) = match leaf.below.as_slice() {
            [key, list] => (key, None, list),
            [key, users, user, list] if users.is("users") => (key, Some(user), list),
            _ => return Ok(()),
        };
        let kind = match list {
            list if list.is("directories") => DeclaredKind::Directory,
            list if list.is("files") => DeclaredKind::File,
            Segment::Known(_) => return Ok(()),
            Segment::Computed(_) => {
                self.unread(&leaf.value, &self.origin(leaf));
                return Ok(());
            }
        };
        let origin = self.origin(leaf);
        if !self.is_enabled(leaf, &origin) {
            return Ok(());
        }
        match self.shared(leaf, (key, user), kind)? {
            Some(shared) => self.list(&leaf.value, &shared),
            None => self.unread(&leaf.value, &origin),
        }
        Ok(())
    }

    /// False if the storage area is turned off.
    fn is_enabled(&mut self, leaf: &OptionLeaf, origin: &str) -> bool {
        let Some(value) = self.setting(leaf, "enable") else { return true };
        let enabled = boolean(value);
        let note = match enabled {
            Some(true) => return true,
            Some(false) => ImportNote::remark(format!("{origin} is left out: it has enable = false")),
            None => {
                let place = self.source.place(value.syntax().text_range());
                ImportNote::warning(format!(
                    "{place}: whether {origin} is enabled is not known; it is taken as enabled"
                ))
            }
        };
        self.all.notes.push(note);
        enabled.is_none()
    }

    /// What the elements of the list share; `None` if that cannot be read without evaluating.
    fn shared(
        &mut self,
        leaf: &OptionLeaf,
        (key, user): (&Segment, Option<&Segment>),
        kind: DeclaredKind,
    ) -> Result<Option<ElementContext>, String> {
        let home = match user {
            _ if leaf.option == Choice::Home => Some(self.home_manager(leaf)?),
            Some(user) => match self.home_of_entry(leaf, user) {
                Some(home) => Some(home),
                None => return Ok(None),
            },
            None => None,
        };
        let Some(storage) = self.storage_of(leaf, key, home.as_ref()) else { return Ok(None) };
        self.all.storage(&storage);
        let home = home.map(|home| DeclaredHome {
            stored: if leaf.option == Choice::Home { storage.clone() } else { storage.join_path(&home.dir) },
            ..home
        });
        let removed = self.setting(leaf, "removePrefixDirectory").and_then(boolean) == Some(true);
        Ok(Some(ElementContext {
            storage,
            home,
            kind,
            first_name: if removed { FirstName::Removed } else { FirstName::Kept },
            authority: if leaf.option == Choice::Preservation { Authority::Configuration } else { Authority::Storage },
            origin: self.origin(leaf),
        }))
    }

    /// The attribute path and its location.
    pub(super) fn origin(&self, leaf: &OptionLeaf) -> String {
        let mut path: Vec<String> = Vec::new();
        if let Some(user) = &leaf.user {
            path.push(format!("home-manager.users.{}", user.shown()));
        }
        path.push(leaf.option.name());
        path.extend(leaf.below.iter().map(Segment::shown));
        format!("{} ({})", path.join("."), self.source.place(leaf.value.syntax().text_range()))
    }

    /// A setting of the same storage area.
    pub(super) fn setting(&self, leaf: &OptionLeaf, name: &str) -> Option<&'_ Expr> {
        let same = |other: &&OptionLeaf| {
            other.option == leaf.option
                && other.user == leaf.user
                && matches!(other.below.as_slice(), [key, last] if Some(key) == leaf.below.first() && last.is(name))
        };
        self.leaves.iter().find(same).map(|leaf| &leaf.value)
    }

    pub(super) fn unread(&mut self, expr: &Expr, what: &str) {
        self.all.notes.push(self.source.unread(expr.syntax().text_range(), what));
    }

    fn list(&mut self, expr: &Expr, shared: &ElementContext) {
        if let Some(inner) = content(expr) {
            return inner.iter().for_each(|inner| self.list(inner, shared));
        }
        match expr {
            Expr::List(list) => list.items().for_each(|item| self.element(&item, shared)),
            Expr::BinOp(op) if op.operator() == Some(BinOpKind::Concat) => {
                for side in [op.lhs(), op.rhs()].into_iter().flatten() {
                    self.list(&side, shared);
                }
            }
            other => self.unread(other, &shared.origin),
        }
    }

    fn element(&mut self, item: &Expr, shared: &ElementContext) {
        if let Expr::Paren(paren) = item
            && let Some(inner) = paren.expr()
        {
            return self.element(&inner, shared);
        }
        if let Some(path) = self.literal(item, shared) {
            return self.entry(&path, ElementAttributes::default(), shared);
        }
        let Expr::AttrSet(set) = item else { return self.unread(item, &shared.origin) };
        let mut path = None;
        let mut own = ElementAttributes::default();
        let mut unread = Vec::new();
        for attribute in attributes(set) {
            let Ok((names, pair)) = attribute else { continue };
            let (Some(name), Some(value)) = (names.first(), pair.value()) else { continue };
            let slot = match name {
                Segment::Known(name) => match (name.as_str(), names.len()) {
                    ("directory", 1) if shared.kind == DeclaredKind::Directory => &mut path,
                    ("file", 1) if shared.kind == DeclaredKind::File => &mut path,
                    ("user", 1) => &mut own.owner,
                    ("group", 1) => &mut own.group,
                    ("mode", 1) => &mut own.mode,
                    ("persistentStoragePath" | "parentDirectory" | "parent", _) => {
                        unread.push(pair);
                        continue;
                    }
                    _ => continue,
                },
                Segment::Computed(_) => {
                    unread.push(pair);
                    continue;
                }
            };
            *slot = self.literal(&value, shared);
            if slot.is_none() {
                unread.push(pair);
            }
        }
        let inherits = attributes(set).into_iter().any(|attribute| attribute.is_err());
        match path {
            Some(path) => {
                for pair in unread {
                    let what = format!("a setting of {path} in {}", shared.origin);
                    self.all.notes.push(self.source.unread(pair.syntax().text_range(), &what));
                }
                if inherits {
                    self.unread(item, &format!("what {path} inherits in {}", shared.origin));
                }
                self.entry(&path, own, shared);
            }
            None => self.unread(item, &shared.origin),
        }
    }

    /// A string that is completely known.
    fn literal(&self, expr: &Expr, shared: &ElementContext) -> Option<String> {
        string(expr)?.iter().map(|part| self.text(part, shared.home.as_ref())).collect()
    }

    fn entry(&mut self, path: &str, own: ElementAttributes, shared: &ElementContext) {
        let Some(below) = self.all.path(path, &shared.origin) else { return };
        let seen = match shared.first_name {
            FirstName::Kept => below.clone(),
            FirstName::Removed => below.names().skip(1).fold(RelPath::root(), |path, name| path.join(&name)),
        };
        // A path that repeats the whole home is already absolute.
        let (live, stored) = match &shared.home {
            Some(home) => match below.strip_prefix(&home.dir).filter(|_| path.starts_with('/')) {
                Some(inner) => (below.clone(), home.stored.join_path(&inner)),
                None => (home.dir.join_path(&seen), home.stored.join_path(&below)),
            },
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
            home: shared.home.clone(),
            origin: shared.origin.clone(),
        });
    }
}

/// The attributes of an element besides its path.
#[derive(Default)]
struct ElementAttributes {
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
}
