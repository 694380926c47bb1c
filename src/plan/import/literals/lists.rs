//! Reads the lists that were found, and puts a path in place of computed storage keys.

use super::Source;
use super::leaves::Leaf;
use super::route::Choice;
use super::value::{Part, Segment, attributes, boolean, content, string, whole};
use crate::path::RelPath;
use crate::plan::import::Person;
use crate::plan::import::declared::{Authority, Declaration, Entry, Home, HostKey, Kind, Told};
use crate::plan::import::note::Note;
use rnix::ast::{BinOpKind, Expr};
use rowan::ast::AstNode;

struct Reader<'r> {
    source: &'r Source<'r>,
    leaves: &'r [Leaf],
    storage: &'r RelPath,
    person: &'r Person,
    all: &'r mut Declaration,
}

/// What the elements of one list share.
struct Shared {
    storage: RelPath,
    home: Option<Home>,
    kind: Kind,
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
    leaves: &[Leaf],
    source: &Source<'_>,
    storage: &RelPath,
    person: &Person,
    all: &mut Declaration,
) -> Result<(), String> {
    let mut reader = Reader { source, leaves, storage, person, all };
    leaves.iter().try_for_each(|leaf| reader.leaf(leaf))
}

impl Reader<'_> {
    fn leaf(&mut self, leaf: &Leaf) -> Result<(), String> {
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
            list if list.is("directories") => Kind::Directory,
            list if list.is("files") => Kind::File,
            Segment::Known(_) => return Ok(()),
            Segment::Computed(_) => {
                self.unread(&leaf.value, &self.origin(leaf));
                return Ok(());
            }
        };
        let origin = self.origin(leaf);
        match self.setting(leaf, "enable") {
            Some(value) => match boolean(value) {
                Some(true) => {}
                Some(false) => {
                    self.all.notes.push(Note::remark(format!("{origin} is left out: it has enable = false")));
                    return Ok(());
                }
                None => {
                    let place = self.source.place(value.syntax().text_range());
                    let text = format!("{place}: whether {origin} is enabled is not known; it is taken as enabled");
                    self.all.notes.push(Note::warning(text));
                }
            },
            None => {}
        }
        let home = if leaf.option == Choice::Home {
            Some(self.home_manager(leaf)?)
        } else {
            match user {
                Some(user) => match self.user(user) {
                    Some(user) => Some(self.home_of(&user)),
                    None => {
                        self.unread(&leaf.value, &origin);
                        return Ok(());
                    }
                },
                None => None,
            }
        };
        let Some(storage) = self.storage_of(leaf, key, home.as_ref()) else {
            self.unread(&leaf.value, &origin);
            return Ok(());
        };
        self.all.storage(&storage);
        let home = home.map(|home| Home {
            stored: if leaf.option == Choice::Home { storage.clone() } else { storage.join_path(&home.dir) },
            ..home
        });
        let removed = self.setting(leaf, "removePrefixDirectory").and_then(boolean) == Some(true);
        let shared = Shared {
            storage,
            home,
            kind,
            first_name: if removed { FirstName::Removed } else { FirstName::Kept },
            authority: if leaf.option == Choice::Preservation { Authority::Configuration } else { Authority::Storage },
            origin,
        };
        self.list(&leaf.value, &shared);
        Ok(())
    }

    /// The attribute path and where it stands.
    fn origin(&self, leaf: &Leaf) -> String {
        let mut path: Vec<String> = Vec::new();
        if let Some(user) = &leaf.user {
            path.push(format!("home-manager.users.{}", user.shown()));
        }
        path.push(leaf.option.name());
        path.extend(leaf.below.iter().map(Segment::shown));
        format!("{} ({})", path.join("."), self.source.place(leaf.value.syntax().text_range()))
    }

    /// A setting of the same storage area.
    fn setting(&self, leaf: &Leaf, name: &str) -> Option<&'_ Expr> {
        let same = |other: &&Leaf| {
            other.option == leaf.option
                && other.user == leaf.user
                && matches!(other.below.as_slice(), [key, last] if Some(key) == leaf.below.first() && last.is(name))
        };
        self.leaves.iter().find(same).map(|leaf| &leaf.value)
    }

    fn home_of(&self, user: &str) -> Home {
        let named = self.person.user.as_deref() == Some(user);
        let dir = self.person.dir.clone().filter(|_| named).unwrap_or_else(|| Person::usual_home(user));
        Home { dir, stored: RelPath::root(), user: Some(user.to_string()), group: None, mode: None }
    }

    /// A user's name; a computed one can only be the one that was given.
    fn user(&self, user: &Segment) -> Option<String> {
        match user {
            Segment::Known(name) => Some(name.clone()),
            Segment::Computed(_) => self.person.user.clone(),
        }
    }

    fn home_manager(&self, leaf: &Leaf) -> Result<Home, String> {
        match leaf.user.as_ref().map_or_else(|| self.person.user.clone(), |user| self.user(user)) {
            Some(user) => Ok(self.home_of(&user)),
            None => Err(format!(
                "{}: whose home this is does not stand in the file\n  name the user with --user NAME, and the home \
                 with --home DIR if it is not /home/NAME",
                self.origin(leaf)
            )),
        }
    }

    /// The storage path of a key. For home.persistence it is where the home itself lies.
    fn storage_of(&mut self, leaf: &Leaf, key: &Segment, home: Option<&Home>) -> Option<RelPath> {
        let set = self.setting(leaf, "persistentStoragePath").map(string);
        let segment = match set {
            Some(parts) => {
                let parts = parts?;
                whole(&parts).map_or(Segment::Computed(parts), Segment::Known)
            }
            None => key.clone(),
        };
        let of_home = home.filter(|_| leaf.option == Choice::Home);
        match &segment {
            Segment::Known(text) => {
                let path = RelPath::new(text.as_bytes()).ok()?;
                Some(match of_home {
                    Some(home) if !path.ends_with(&home.dir) => path.join_path(&home.dir),
                    _ => path,
                })
            }
            Segment::Computed(parts) => {
                let path = self.computed(parts, home)?;
                Some(match of_home {
                    Some(home) => completed(&path, &home.dir),
                    None => path,
                })
            }
        }
    }

    /// `--storage` stands for what leads the key; a literal tail follows unless the given
    /// path ends with it. The user's name at the end of a home's key is the home's own.
    fn computed(&self, parts: &[Part], home: Option<&Home>) -> Option<RelPath> {
        let texts: Vec<Option<String>> = parts.iter().map(|part| self.text(part, home)).collect();
        let (first, rest) = texts.split_first()?;
        let tail: Option<String> = rest.iter().cloned().collect();
        match (first, tail) {
            (Some(first), Some(tail)) => RelPath::new(format!("{first}{tail}").as_bytes()).ok(),
            (None, Some(tail)) => {
                let tail = RelPath::new(tail.as_bytes()).ok()?;
                let tail = match home {
                    Some(home) => tail.strip_suffix(&RelPath::new(home.dir.last()?.as_bytes()).ok()?).unwrap_or(tail),
                    None => tail,
                };
                Some(if self.storage.ends_with(&tail) { self.storage.clone() } else { self.storage.join_path(&tail) })
            }
            (_, None) => Some(self.storage.clone()),
        }
    }

    /// What a part of a string is, as far as it is known: home-manager's own names are.
    fn text(&self, part: &Part, home: Option<&Home>) -> Option<String> {
        match part {
            Part::Literal(text) => Some(text.clone()),
            Part::Interpolated(text) => match (text.trim(), home) {
                ("config.home.username", Some(home)) => home.user.clone(),
                ("config.home.homeDirectory", Some(home)) => Some(home.dir.to_string()),
                _ => None,
            },
        }
    }

    fn unread(&mut self, expr: &Expr, what: &str) {
        self.all.notes.push(self.source.unread(expr.syntax().text_range(), what));
    }

    fn list(&mut self, expr: &Expr, shared: &Shared) {
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

    fn element(&mut self, item: &Expr, shared: &Shared) {
        if let Expr::Paren(paren) = item
            && let Some(inner) = paren.expr()
        {
            return self.element(&inner, shared);
        }
        if let Some(path) = self.literal(item, shared) {
            return self.entry(&path, Attributes::default(), shared);
        }
        let Expr::AttrSet(set) = item else { return self.unread(item, &shared.origin) };
        let mut path = None;
        let mut own = Attributes::default();
        let mut unread = Vec::new();
        for attribute in attributes(set) {
            let Ok((names, pair)) = attribute else { continue };
            let (Some(name), Some(value)) = (names.first(), pair.value()) else { continue };
            let slot = match name {
                Segment::Known(name) => match (name.as_str(), names.len()) {
                    ("directory", 1) if shared.kind == Kind::Directory => &mut path,
                    ("file", 1) if shared.kind == Kind::File => &mut path,
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

    /// A string that is known whole.
    fn literal(&self, expr: &Expr, shared: &Shared) -> Option<String> {
        string(expr)?.iter().map(|part| self.text(part, shared.home.as_ref())).collect()
    }

    fn entry(&mut self, path: &str, own: Attributes, shared: &Shared) {
        let Some(below) = self.all.path(path, &shared.origin) else { return };
        let seen = match shared.first_name {
            FirstName::Kept => below.clone(),
            FirstName::Removed => below.names().skip(1).fold(RelPath::root(), |path, name| path.join(&name)),
        };
        // A path that names the whole home again is absolute already.
        let (live, stored) = match &shared.home {
            Some(home) => match below.strip_prefix(&home.dir).filter(|_| path.starts_with('/')) {
                Some(inner) => (below.clone(), home.stored.join_path(&inner)),
                None => (home.dir.join_path(&seen), home.stored.join_path(&below)),
            },
            None => (below.clone(), shared.storage.join_path(&below)),
        };
        let mode = self.all.mode(own.mode.as_deref(), &format!("{}: {path}", shared.origin));
        self.all.entries.push(Entry {
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

    fn host_keys(&mut self, expr: &Expr) {
        if let Some(inner) = content(expr) {
            return inner.iter().for_each(|inner| self.host_keys(inner));
        }
        let what = Choice::HostKeys.name();
        match expr {
            Expr::List(list) => {
                for item in list.items() {
                    let path = match &item {
                        Expr::AttrSet(set) => attributes(set)
                            .into_iter()
                            .flatten()
                            .find(|(names, _)| matches!(names.as_slice(), [name] if name.is("path"))),
                        _ => None,
                    };
                    let parts = path.and_then(|(_, pair)| pair.value()).and_then(|value| string(&value));
                    let path = parts.and_then(|parts| match whole(&parts) {
                        Some(text) => RelPath::new(text.as_bytes()).ok(),
                        None => self.host_key(&parts),
                    });
                    match path {
                        Some(path) => {
                            let origin = format!("{what} ({})", self.source.place(expr.syntax().text_range()));
                            self.all.host_keys.push(HostKey { path, origin });
                        }
                        None => self.unread(&item, &what),
                    }
                }
            }
            Expr::BinOp(op) if op.operator() == Some(BinOpKind::Concat) => {
                [op.lhs(), op.rhs()].iter().flatten().for_each(|side| self.host_keys(side));
            }
            other => self.unread(other, &what),
        }
    }

    /// One interpolation in front, as in the storage's key: the same path stands for it.
    fn host_key(&self, parts: &[Part]) -> Option<RelPath> {
        match parts {
            [Part::Interpolated(base), Part::Literal(tail)] => {
                let tail = RelPath::new(tail.as_bytes()).ok()?;
                // A storage whose key begins with the same expression gives what follows its end.
                let keys = self.leaves.iter().filter_map(|leaf| match leaf.below.first()? {
                    Segment::Computed(parts) => match parts.as_slice() {
                        [Part::Interpolated(same), Part::Literal(end)] if same == base => {
                            let end = RelPath::new(end.as_bytes()).ok()?;
                            let storage = self.computed(parts, None)?;
                            Some(storage.join_path(&tail.strip_prefix(&end)?))
                        }
                        _ => None,
                    },
                    Segment::Known(_) => None,
                });
                keys.into_iter().next().or_else(|| Some(self.storage.join_path(&tail)))
            }
            _ => None,
        }
    }
}

/// What an element says besides its path.
#[derive(Default)]
struct Attributes {
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
}

/// The storage path with the home at its end, as far as it does not end with it already:
/// /persist, /persist/home and /persist/home/sinh all keep /home/sinh in the last.
fn completed(storage: &RelPath, home: &RelPath) -> RelPath {
    let mut head = RelPath::root();
    let mut longest = RelPath::root();
    for name in home.names() {
        head = head.join(&name);
        if storage.ends_with(&head) {
            longest = head.clone();
        }
    }
    storage.strip_suffix(&longest).unwrap_or_default().join_path(home)
}
