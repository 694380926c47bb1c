//! What only an evaluator would know of storage keys and homes, taken from the command line.

use super::leaves::OptionLeaf;
use super::lists::ListReader;
use super::route::Choice;
use super::value::{Segment, StringPart, string, whole};
use crate::base::path::RelPath;
use crate::nixos::import::declared::DeclaredHome;
use crate::nixos::import::note::ImportNote;
use crate::nixos::import::person::Person;
use rowan::ast::AstNode;

impl ListReader<'_> {
    pub(super) fn home_of(&self, user: &str) -> DeclaredHome {
        let named = self.person.user.as_deref() == Some(user);
        let dir = self.person.dir.clone().filter(|_| named).unwrap_or_else(|| Person::usual_home(user));
        DeclaredHome { dir, stored: RelPath::root(), user: Some(user.to_string()), group: None, mode: None }
    }

    /// The home of an entry of `users.NAME`: as given there, or on the command line. `None` if only an
    /// evaluator knows it.
    pub(super) fn home_of_entry(&mut self, leaf: &OptionLeaf, user: &Segment) -> Option<DeclaredHome> {
        let name = self.user(user)?;
        let said = self.leaves.iter().find(|other| {
            other.option == leaf.option
                && matches!(other.below.as_slice(), [key, users, name, home]
                    if Some(key) == leaf.below.first() && users.is("users") && name == user && home.is("home"))
        });
        let Some(said) = said else {
            let home = self.home_of(&name);
            self.assumed_home(&home);
            return Some(home);
        };
        let text = whole(&string(&said.value)?)?;
        let dir = RelPath::new(text.as_bytes()).ok()?;
        Some(DeclaredHome { dir, ..self.home_of(&name) })
    }

    /// Notes once that a home is only assumed.
    pub(super) fn assumed_home(&mut self, home: &DeclaredHome) {
        let DeclaredHome { dir, user: Some(user), .. } = home else { return };
        if self.person.dir.is_some() && self.person.user.as_ref() == Some(user) {
            return;
        }
        let note =
            ImportNote::remark(format!("the home of {user} is taken to be {dir}; --user and --home say otherwise"));
        if !self.all.notes.contains(&note) {
            self.all.notes.push(note);
        }
    }

    /// A user's name; a computed one can only be the one from the command line.
    pub(super) fn user(&self, user: &Segment) -> Option<String> {
        match user {
            Segment::Known(name) => Some(name.clone()),
            Segment::Computed(_) => self.person.user.clone(),
        }
    }

    pub(super) fn home_manager(&mut self, leaf: &OptionLeaf) -> Result<DeclaredHome, String> {
        match leaf.user.as_ref().map_or_else(|| self.person.user.clone(), |user| self.user(user)) {
            Some(user) => {
                let home = self.home_of(&user);
                self.assumed_home(&home);
                Ok(home)
            }
            None => Err(format!(
                "{}: whose home this is does not stand in the file\n  name the user with --user NAME, and the home \
                 with --home DIR if it is not /home/NAME",
                self.origin(leaf)
            )),
        }
    }

    /// The storage path of a key. For home.persistence it is where the home itself is.
    pub(super) fn storage_of(
        &mut self,
        leaf: &OptionLeaf,
        key: &Segment,
        home: Option<&DeclaredHome>,
    ) -> Option<RelPath> {
        let segment = match self.setting(leaf, "persistentStoragePath") {
            Some(value) => {
                let parts =
                    string(value).unwrap_or_else(|| vec![StringPart::Interpolated(value.syntax().text().to_string())]);
                whole(&parts).map_or(Segment::Computed(parts), Segment::Known)
            }
            None => key.clone(),
        };
        let of_home = home.filter(|_| leaf.option == Choice::Home);
        let known = match &segment {
            Segment::Known(text) => Some(text.clone()),
            Segment::Computed(parts) => parts.iter().map(|part| self.text(part, home)).collect(),
        };
        match (known, &segment) {
            (Some(text), _) => {
                let path = RelPath::new(text.as_bytes()).ok()?;
                // Only the first version has these, and its key is the home's own place.
                let old = ["allowOther", "removePrefixDirectory", "defaultDirectoryMethod"];
                let first_version = old.iter().any(|name| self.setting(leaf, name).is_some());
                Some(match of_home {
                    Some(home) if !first_version && !path.ends_with(&home.dir) => path.join_path(&home.dir),
                    _ => path,
                })
            }
            (None, Segment::Computed(parts)) => {
                let path = self.computed(parts, home)?;
                Some(of_home.map_or_else(|| path.clone(), |home| completed(&path, &home.dir)))
            }
            (None, Segment::Known(_)) => None,
        }
    }

    /// `--storage` replaces the beginning of the key; a literal tail follows unless the given path ends with
    /// it. The user's name at the end of a home's key is the home's own.
    pub(super) fn computed(&self, parts: &[StringPart], home: Option<&DeclaredHome>) -> Option<RelPath> {
        let texts: Vec<Option<String>> = parts.iter().map(|part| self.text(part, home)).collect();
        let (first, rest) = texts.split_first()?;
        let tail: Option<String> = rest.iter().cloned().collect();
        match (first, tail) {
            (None, Some(tail)) => {
                let tail = RelPath::new(tail.as_bytes()).ok()?;
                let tail = match home {
                    Some(home) => tail.strip_suffix(&RelPath::new(home.dir.last()?.as_bytes()).ok()?).unwrap_or(tail),
                    None => tail,
                };
                Some(if self.storage.ends_with(&tail) { self.storage.clone() } else { self.storage.join_path(&tail) })
            }
            _ => Some(self.storage.clone()),
        }
    }

    /// The text of a part of a string, if it is known: home-manager's own names are.
    pub(super) fn text(&self, part: &StringPart, home: Option<&DeclaredHome>) -> Option<String> {
        match part {
            StringPart::Literal(text) => Some(text.clone()),
            StringPart::Interpolated(text) => match (text.trim(), home) {
                ("config.home.username", Some(home)) => home.user.clone(),
                ("config.home.homeDirectory", Some(home)) => Some(home.dir.to_string()),
                _ => None,
            },
        }
    }
}

/// The storage path with the home at its end, unless it already ends with it: /persist, /persist/home
/// and /persist/home/sinh all keep /home/sinh in the last.
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
