//! What only an evaluator knows and the command line says instead: one computed storage, one computed
//! user. A second one that is computed otherwise has no value that could be known.

use super::value::{StringPart, shown, whole};
use crate::base::path::RelPath;
use crate::nixos::import::note::ImportNote;
use crate::nixos::import::person::Person;

/// Whose modules: each side has its own `config`, so one path may be computed in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    System,
    Home,
}

pub(super) struct Assumptions<'a> {
    storage: Option<&'a RelPath>,
    pub(super) person: &'a Person,
    /// The computed key that `--storage` stands for, and what its beginning is then.
    storages: [Option<(String, RelPath)>; 2],
    user: Option<String>,
    pub(super) notes: Vec<ImportNote>,
}

impl<'a> Assumptions<'a> {
    pub(super) fn new(storage: Option<&'a RelPath>, person: &'a Person) -> Self {
        Self { storage, person, storages: [None, None], user: None, notes: Vec::new() }
    }

    /// The path of a computed key. `tails` are the literal ends of the keys that begin alike: if the given
    /// path ends with one of them, it is the path of that key, else that of the common beginning.
    pub(super) fn storage(&mut self, side: Side, parts: &[StringPart], tails: &[RelPath]) -> Result<RelPath, String> {
        let (beginning, tail) = split(parts);
        let taken = &mut self.storages[usize::from(side == Side::Home)];
        let base = match (taken.as_ref(), self.storage) {
            (Some((first, base)), _) if *first == beginning => base.clone(),
            (Some((first, base)), _) => {
                return Err(format!(
                    "the storage \"{beginning}\" is computed, and --storage already stands for \"{first}\", taken to be \
                     {base}"
                ));
            }
            (None, None) => {
                return Err(format!("the storage \"{}\" is computed; give its path with --storage PATH", shown(parts)));
            }
            (None, Some(given)) => {
                let longest = tails.iter().filter(|tail| !tail.is_root()).filter_map(|tail| given.strip_suffix(tail));
                let base = longest.min_by_key(RelPath::depth).unwrap_or_else(|| given.clone());
                self.notes
                    .push(ImportNote::remark(format!("\"{beginning}\" is taken to be {base}, as --storage says")));
                *taken = Some((beginning, base.clone()));
                base
            }
        };
        Ok(base.join_path(&tail))
    }

    /// The name of a computed user.
    pub(super) fn user(&mut self, parts: &[StringPart]) -> Result<String, String> {
        let computed = shown(parts);
        let Some(given) = &self.person.user else {
            return Err(format!("the user \"{computed}\" is computed; name the user with --user NAME"));
        };
        match &self.user {
            Some(first) if *first != computed => {
                Err(format!("the user \"{computed}\" is computed, and --user already stands for \"{first}\""))
            }
            Some(_) => Ok(given.clone()),
            None => {
                self.notes.push(ImportNote::remark(format!("\"{computed}\" is taken to be {given}, as --user says")));
                self.user = Some(computed);
                Ok(given.clone())
            }
        }
    }
}

/// The computed beginning of a key, and a literal end that a path can be joined with. A key that is
/// computed in its middle is computed as a whole.
pub(super) fn split(parts: &[StringPart]) -> (String, RelPath) {
    if let [StringPart::Interpolated(_), rest @ ..] = parts
        && let Some(text) = whole(rest)
        && (text.is_empty() || text.starts_with('/'))
        && let Ok(tail) = RelPath::new(text.as_bytes())
    {
        return (shown(&parts[..1]), tail);
    }
    (shown(parts), RelPath::root())
}
