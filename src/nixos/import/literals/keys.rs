//! Where a storage area is, and whose home an entry is in.

use super::assumptions::{Side, split};
use super::finder::OptionLeaf;
use super::lists::ListReader;
use super::machine;
use super::route::Choice;
use super::value::{Segment, StringPart, whole};
use crate::base::path::RelPath;
use crate::nixos::import::declared::DeclaredHome;
use crate::nixos::import::note::ImportNote;
use crate::nixos::import::person::Person;

/// Options of a storage area that only impermanence's first version has.
const FIRST_VERSION: [&str; 3] = ["allowOther", "removePrefixDirectory", "defaultDirectoryMethod"];

impl ListReader<'_> {
    /// The home of a user, by the attribute that the configuration knows the user by.
    fn home_of(&mut self, attribute: &str) -> Result<DeclaredHome, String> {
        let name = self.all.account(attribute).to_string();
        let named = self.assumptions.person.user.as_deref() == Some(&name);
        let said = self.assumptions.person.dir.clone().filter(|_| named);
        let declared = || self.all.users.get(&name).and_then(|user| user.home.clone());
        let dir = match said.or_else(declared) {
            Some(dir) => dir,
            None if machine::computes_home(&self.found.own, attribute) => {
                return Err(format!("the home of {name} is computed; give it with --user {name} --home DIR"));
            }
            None => {
                let dir = Person::usual_home(&name);
                let note = format!("the home of {name} is taken to be {dir}; --user and --home say otherwise");
                self.note_once(ImportNote::remark(note));
                dir
            }
        };
        let user = Some(attribute.to_string());
        Ok(DeclaredHome { dir, stored: RelPath::root(), user, group: None, mode: None })
    }

    /// The home of an entry of `users.NAME`: as given there, or else the user's.
    pub(super) fn home_of_entry(&mut self, leaf: &OptionLeaf, user: &Segment) -> Result<DeclaredHome, String> {
        let name = self.user(user)?;
        let setting = |name: &str| {
            self.found.leaves.iter().find(|other| {
                other.path.option == leaf.path.option
                    && matches!(other.path.below.as_slice(), [key, users, of, last]
                        if Some(key) == leaf.path.below.first() && users.is("users") && of == user && last.is(name))
            })
        };
        let text = |leaf: &OptionLeaf| self.evaluator.string(&leaf.value).and_then(|parts| whole(&parts));
        let account = match setting("username").map(|leaf| text(leaf).ok_or("its username is computed")) {
            Some(name) => name?,
            None => name,
        };
        match setting("home") {
            Some(said) => {
                let home = text(said).and_then(|text| RelPath::new(text.as_bytes()).ok());
                let dir = home.ok_or("its home is computed")?;
                Ok(DeclaredHome { dir, stored: RelPath::root(), user: Some(account), group: None, mode: None })
            }
            None => self.home_of(&account),
        }
    }

    /// A user's name.
    fn user(&mut self, user: &Segment) -> Result<String, String> {
        match user {
            Segment::Known(name) => Ok(name.clone()),
            Segment::Computed(parts) => self.assumptions.user(parts),
        }
    }

    /// The home of a home-manager module.
    pub(super) fn home_manager(&mut self, leaf: &OptionLeaf) -> Result<DeclaredHome, String> {
        let name = match &leaf.path.user {
            Some(user) => self.user(user)?,
            None => match &self.assumptions.person.user {
                Some(name) => name.clone(),
                None => return Err("the file does not say whose home it is; name the user with --user NAME".into()),
            },
        };
        self.home_of(&name)
    }

    /// The storage path of a key. For home.persistence it is where the home itself is.
    pub(super) fn storage_of(
        &mut self,
        leaf: &OptionLeaf,
        key: &Segment,
        home: Option<&DeclaredHome>,
    ) -> Result<RelPath, String> {
        let of_home = home.filter(|_| leaf.path.option == Choice::Home);
        let parts = self.key(leaf, key)?;
        let parts: Vec<StringPart> = parts.iter().map(|part| self.of_person(part, home)).collect();
        let Some(text) = whole(&parts) else { return self.computed(leaf, &parts, of_home) };
        if !text.starts_with('/') {
            return Err(format!("\"{text}\" is a label, and these files do not say its persistentStoragePath"));
        }
        let path = RelPath::new(text.as_bytes()).map_err(|why| format!("\"{text}\" cannot stand in a plan: {why}"))?;
        let first_version = FIRST_VERSION.iter().any(|name| self.setting(leaf, name).is_some());
        Ok(match of_home {
            Some(home) if !first_version && !path.ends_with(&home.dir) => path.join_path(&home.dir),
            _ => path,
        })
    }

    /// What the storage's path is written as: `persistentStoragePath`, which all files must agree on, or the
    /// key itself.
    fn key(&self, leaf: &OptionLeaf, key: &Segment) -> Result<Vec<StringPart>, String> {
        let mut said: Vec<Vec<StringPart>> = Vec::new();
        for value in self.settings(leaf, "persistentStoragePath") {
            let shown = || vec![StringPart::Interpolated(self.evaluator.identity(&self.evaluator.head(value)))];
            let parts = self.evaluator.string(value).unwrap_or_else(shown);
            if !said.contains(&parts) {
                said.push(parts);
            }
        }
        match (said.as_slice(), key) {
            ([], Segment::Known(text)) => Ok(vec![StringPart::Literal(text.clone())]),
            ([], Segment::Computed(parts)) => Ok(parts.clone()),
            ([only], _) => Ok(only.clone()),
            (several, _) => {
                let shown: Vec<String> = several.iter().map(|parts| super::value::shown(parts)).collect();
                Err(format!("its persistentStoragePath is said to be {}", shown.join(" and ")))
            }
        }
    }

    fn computed(
        &mut self,
        leaf: &OptionLeaf,
        parts: &[StringPart],
        of_home: Option<&DeclaredHome>,
    ) -> Result<RelPath, String> {
        let Some(home) = of_home else {
            let tails = self.tails(leaf, parts);
            return self.assumptions.storage(Side::System, parts, &tails);
        };
        // The user's name at the end of a home's key is the home's own.
        let (beginning, tail) = split(parts);
        let name = home.dir.last().and_then(|name| RelPath::new(name.as_bytes()).ok()).unwrap_or_default();
        let rest = tail.strip_suffix(&name).unwrap_or(tail);
        let one = match parts.first() {
            Some(first) if shown_alone(first) == beginning => std::slice::from_ref(first),
            _ => parts,
        };
        let base = self.assumptions.storage(Side::Home, one, &[])?;
        let path = if base.ends_with(&rest) { base } else { base.join_path(&rest) };
        Ok(completed(&path, &home.dir))
    }

    /// The literal ends of all keys that begin with the same computed path.
    fn tails(&self, leaf: &OptionLeaf, parts: &[StringPart]) -> Vec<RelPath> {
        let (beginning, own) = split(parts);
        let others = self.found.leaves.iter().filter_map(|other| match other.path.below.first()? {
            Segment::Computed(parts) if other.path.option == leaf.path.option => Some(split(parts)),
            _ => None,
        });
        let mut tails = vec![own];
        tails.extend(others.filter(|(same, _)| *same == beginning).map(|(_, tail)| tail));
        tails
    }

    /// A part of a string with home-manager's own names filled in.
    pub(super) fn of_person(&self, part: &StringPart, home: Option<&DeclaredHome>) -> StringPart {
        if let (StringPart::Interpolated(name), Some(home)) = (part, home) {
            let text = match name.as_str() {
                "config.home.username" => home.user.clone(),
                "config.home.homeDirectory" => Some(home.dir.to_string()),
                _ => None,
            };
            if let Some(text) = text {
                return StringPart::Literal(text);
            }
        }
        part.clone()
    }
}

fn shown_alone(part: &StringPart) -> String {
    super::value::shown(std::slice::from_ref(part))
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
