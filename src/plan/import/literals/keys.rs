//! What only an evaluator knows of storage keys and homes, put in from the command line.

use super::leaves::Leaf;
use super::lists::Reader;
use super::route::Choice;
use super::value::{Part, Segment, string, whole};
use crate::path::RelPath;
use crate::plan::import::Person;
use crate::plan::import::declared::Home;
use crate::plan::import::note::Note;

impl Reader<'_> {
    pub(super) fn home_of(&self, user: &str) -> Home {
        let named = self.person.user.as_deref() == Some(user);
        let dir = self.person.dir.clone().filter(|_| named).unwrap_or_else(|| Person::usual_home(user));
        Home { dir, stored: RelPath::root(), user: Some(user.to_string()), group: None, mode: None }
    }

    /// Says once that a home is only assumed.
    pub(super) fn assumed_home(&mut self, home: Option<&Home>) {
        let Some(Home { dir, user: Some(user), .. }) = home else { return };
        if self.person.dir.is_some() && self.person.user.as_ref() == Some(user) {
            return;
        }
        let note = Note::remark(format!("the home of {user} is taken to be {dir}; --user and --home say otherwise"));
        if !self.all.notes.contains(&note) {
            self.all.notes.push(note);
        }
    }

    /// A user's name; a computed one can only be the one that was given.
    pub(super) fn user(&self, user: &Segment) -> Option<String> {
        match user {
            Segment::Known(name) => Some(name.clone()),
            Segment::Computed(_) => self.person.user.clone(),
        }
    }

    pub(super) fn home_manager(&self, leaf: &Leaf) -> Result<Home, String> {
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
    pub(super) fn storage_of(&mut self, leaf: &Leaf, key: &Segment, home: Option<&Home>) -> Option<RelPath> {
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
    pub(super) fn computed(&self, parts: &[Part], home: Option<&Home>) -> Option<RelPath> {
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
    pub(super) fn text(&self, part: &Part, home: Option<&Home>) -> Option<String> {
        match part {
            Part::Literal(text) => Some(text.clone()),
            Part::Interpolated(text) => match (text.trim(), home) {
                ("config.home.username", Some(home)) => home.user.clone(),
                ("config.home.homeDirectory", Some(home)) => Some(home.dir.to_string()),
                _ => None,
            },
        }
    }
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
