//! Nix's JSON, as `nix eval --json` prints it: which schema a file holds, and what it declares.
//!
//! The evaluator's own paths are used as they are; the key of a storage area is only
//! a label. Keys that are not known are ignored.

mod combined;
mod entry;
mod fields;
mod home_manager;
mod impermanence;
mod machine;
mod preservation;

#[cfg(test)]
mod tests;

use super::declared::Declaration;
use super::person::Person;
use fields::Object;
use serde_json::Value;

/// A file and its content.
#[derive(Debug)]
pub struct JsonFile {
    /// Its name in messages.
    pub shown: String,
    /// Its content.
    pub text: Vec<u8>,
}

/// The schema of a file.
enum Shape {
    /// What `plan nix-expr` extracts.
    Combined,
    Impermanence,
    /// `home.persistence` as it was up to 2025: paths below the home.
    HomeManager,
    Preservation,
    Users,
    Groups,
    HostKeys,
    /// `{}` or `[]`.
    Nothing,
}

const KNOWN: &str = "known are the output of `persistcp plan nix-expr`, environment.persistence, \
home.persistence, preservation.preserveAt, users.users, users.groups and services.openssh.hostKeys";

/// Reads all files into one declaration. The error names the file and the place in it.
pub(super) fn read(files: &[JsonFile], person: &Person) -> Result<Declaration, String> {
    let mut parsed = Vec::new();
    for file in files {
        let value: Value = serde_json::from_slice(&file.text).map_err(|error| {
            format!("{}: not JSON: {error}\n  it must be what `nix eval --json` printed, whole", file.shown)
        })?;
        let Some(shape) = shape(&value) else {
            return Err(format!("{}: this JSON has no shape that can be imported; {KNOWN}", file.shown));
        };
        parsed.push((file, shape, value));
    }
    let mut all = Declaration::default();
    // Users first: an entry without a group gets its user's, whichever file says it.
    for (file, shape, value) in &parsed {
        let read = match shape {
            Shape::Combined => combined::machine(value, &mut all),
            Shape::Users => machine::users(value, &mut all),
            Shape::Groups => machine::groups(value, &mut all),
            _ => Ok(()),
        };
        read.map_err(|error| format!("{}: {error}", file.shown))?;
    }
    for (file, shape, value) in &parsed {
        let read = match shape {
            Shape::Combined => combined::storages(value, person, &mut all),
            Shape::Impermanence => impermanence::read(value, &impermanence::OptionSource::guess(value), &mut all),
            Shape::HomeManager => home_manager::read(value, person, "home.persistence", &mut all),
            Shape::Preservation => preservation::read(value, &mut all),
            Shape::HostKeys => machine::host_keys(value, &mut all),
            Shape::Users | Shape::Groups | Shape::Nothing => Ok(()),
        };
        read.map_err(|error| format!("{}: {error}", file.shown))?;
    }
    Ok(all)
}

fn shape(value: &Value) -> Option<Shape> {
    if let Value::Array(items) = value {
        let keys = items.iter().all(|item| item.get("path").is_some_and(Value::is_string));
        return keys.then_some(if items.is_empty() { Shape::Nothing } else { Shape::HostKeys });
    }
    let object = value.as_object()?;
    if object.contains_key(combined::MARK) {
        return Some(Shape::Combined);
    }
    if object.is_empty() {
        return Some(Shape::Nothing);
    }
    let values: Option<Vec<&Object>> = object.values().map(Value::as_object).collect();
    let values = values?;
    let all = |test: &dyn Fn(&Object) -> bool| values.iter().all(|v| test(v));
    let any = |test: &dyn Fn(&Object) -> bool| values.iter().any(|v| test(v));
    if all(&|v| v.contains_key("directories") || v.contains_key("files") || v.contains_key("users")) {
        return Some(if any(&preservation::recognises) {
            Shape::Preservation
        } else if !any(&|v| v.contains_key("users")) && any(&home_manager::recognises) {
            Shape::HomeManager
        } else {
            Shape::Impermanence
        });
    }
    if all(&|v| v.contains_key("uid") || (v.contains_key("home") && v.contains_key("group"))) {
        return Some(Shape::Users);
    }
    all(&|v| v.contains_key("gid")).then_some(Shape::Groups)
}
