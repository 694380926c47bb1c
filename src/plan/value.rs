//! TOML values with their spans, read one by one; every mistake is collected.

use super::diagnostic::Diagnostic;
use super::draft::{IdRef, IdValue};
use crate::base::path::{BadPath, RelPath};
use crate::engine::mapping::mode::{Mode, NoMode};
use crate::engine::mapping::model::Need;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The errors found so far.
#[derive(Default)]
pub(super) struct Errors(pub(super) Vec<Diagnostic>);

pub(super) type Value<'t> = Spanned<DeValue<'t>>;

impl Errors {
    pub(super) fn add(&mut self, span: Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.0.push(Diagnostic::new(span, message, label));
    }

    fn wrong_type<T>(&mut self, value: &Value<'_>, key: &str, expected: &str) -> Option<T> {
        let found = value.get_ref().type_str();
        self.add(value.span(), format!("`{key}` has the wrong type"), format!("expected {expected}, found {found}"));
        None
    }

    /// Reports keys that `known` does not list, and suggests the nearest.
    pub(super) fn unknown_keys(&mut self, table: &DeTable<'_>, place: &str, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            let nearest = known
                .iter()
                .map(|k| (strsim::damerau_levenshtein(k, name), *k))
                .min()
                .filter(|(distance, k)| *distance <= 1 + k.len() / 3);
            let mut error =
                Diagnostic::new(key.span(), format!("unknown key `{name}` in {place}"), "not a key of this table");
            error = match nearest {
                Some((_, near)) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("known keys: {}", known.join(", "))),
            };
            self.0.push(error);
        }
    }

    pub(super) fn string<'t>(&mut self, value: &'t Value<'_>, key: &str) -> Option<&'t str> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.wrong_type(value, key, "a string"),
        }
    }

    pub(super) fn bool(&mut self, value: &Value<'_>, key: &str) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type(value, key, "true or false"),
        }
    }

    pub(super) fn table<'t, 'i>(&mut self, value: &'t Value<'i>, key: &str) -> Option<&'t DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type(value, key, "a table"),
        }
    }

    pub(super) fn array<'t, 'i>(&mut self, value: &'t Value<'i>, key: &str) -> Vec<&'t Value<'i>> {
        match value.get_ref() {
            DeValue::Array(array) => array.iter().collect(),
            _ => self.wrong_type(value, key, "an array").unwrap_or_default(),
        }
    }

    /// An integer between 0 and the largest id; the very largest means "no id" to chown(2).
    pub(super) fn id_number(&mut self, value: &Value<'_>, key: &str) -> Option<u32> {
        let DeValue::Integer(number) = value.get_ref() else {
            return self.wrong_type(value, key, "a number");
        };
        match u32::from_str_radix(number.as_str(), number.radix()) {
            Ok(id) if id != u32::MAX => Some(id),
            _ => {
                self.add(value.span(), format!("`{key}` is not an id"), "expected 0 to 4294967294");
                None
            }
        }
    }

    /// A name, a number, or a number in quotes.
    pub(super) fn id_ref(&mut self, value: &Value<'_>, key: &str) -> Option<IdRef> {
        let span = value.span();
        if matches!(value.get_ref(), DeValue::Integer(_)) {
            return self.id_number(value, key).map(|id| IdRef { span, value: IdValue::Number(id) });
        }
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            _ => return self.wrong_type(value, key, "a name or a number"),
        };
        if text.is_empty() {
            self.add(span, format!("`{key}` is empty"), "expected a name or a number");
            return None;
        }
        let value = match text.parse::<u32>() {
            Ok(id) if id != u32::MAX => IdValue::Number(id),
            _ => IdValue::Name(text.to_string()),
        };
        Some(IdRef { span, value })
    }

    pub(super) fn mode(&mut self, value: &Value<'_>, key: &str) -> Option<Mode> {
        if matches!(value.get_ref(), DeValue::Integer(_)) {
            self.add(
                value.span(),
                format!("`{key}` must be in quotes"),
                "a bare number would be decimal; expected a string like \"0755\"",
            );
            return None;
        }
        let text = self.string(value, key)?;
        let expected = |no| match no {
            NoMode::Form => "expected octal like \"0755\" or symbolic like \"u=rwx,g=rx,o=\"",
            NoMode::Octal => "octal modes have digits 0 to 7 and are at most 7777",
        };
        let add = |no| self.add(value.span(), format!("`{key}` is not a mode"), expected(no));
        Mode::parse(text).map_err(add).ok()
    }

    /// A mode for something that has none yet: bits, or a symbolic mode that sets all of them.
    pub(super) fn new_mode(&mut self, value: &Value<'_>, key: &str) -> Option<u32> {
        let bits = self.mode(value, key)?.change().absolute();
        if bits.is_none() {
            self.add(
                value.span(),
                format!("`{key}` has nothing to be relative to"),
                "a parent that the backup does not have has no mode yet; expected octal, or u, g and o with `=`",
            );
        }
        bits
    }

    pub(super) fn need(&mut self, value: &Value<'_>, key: &str) -> Option<Need> {
        const EXPECTED: &str = "expected \"critical\", \"required\", \"recommended\" or \"optional\"";
        Some(match self.string(value, key)? {
            "critical" => Need::Critical,
            "required" => Need::Required,
            "recommended" => Need::Recommended,
            "optional" => Need::Optional,
            _ => {
                self.add(value.span(), format!("`{key}` is not a need"), EXPECTED);
                return None;
            }
        })
    }

    /// A path that may be written with or without a leading slash.
    pub(super) fn path(&mut self, value: &Value<'_>, key: &str) -> Option<RelPath> {
        let text = self.string(value, key)?;
        match RelPath::new(text.as_bytes()) {
            Ok(path) => Some(path),
            Err(bad) => {
                let label = match bad {
                    BadPath::DotDot => "`..` would leave the tree",
                    _ => "no path can hold this",
                };
                self.add(value.span(), format!("`{key}` is not a path: {bad}"), label);
                None
            }
        }
    }

    /// A path that must be written absolute and must not be the root.
    pub(super) fn absolute(&mut self, value: &Value<'_>, key: &str) -> Option<RelPath> {
        let text = self.string(value, key)?;
        if !text.starts_with('/') {
            let label = if text.is_empty() { "it is empty" } else { "it is relative" };
            self.add(value.span(), format!("`{key}` must be an absolute path below the root"), label);
            return None;
        }
        let path = self.path(value, key)?;
        if path.is_root() {
            self.add(value.span(), format!("`{key}` cannot be the root itself"), "expected a directory below it");
            return None;
        }
        Some(path)
    }
}
