//! The fields of an object, by what they must be; an error says where one is not that.

use serde_json::{Map, Value};

pub(super) type Object = Map<String, Value>;

/// The value as an object; the error says where it is not.
pub(super) fn object<'v>(value: &'v Value, place: &str) -> Result<&'v Object, String> {
    value.as_object().ok_or_else(|| format!("{place} is not an object"))
}

/// The list at `key`; missing and null are empty.
pub(super) fn list<'v>(object: &'v Object, key: &str, place: &str) -> Result<&'v [Value], String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{place}.{key} is not a list")),
    }
}

/// The object at `key`; missing and null are empty.
pub(super) fn inner<'v>(object: &'v Object, key: &str, place: &str) -> Result<Option<&'v Object>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(inner)) => Ok(Some(inner)),
        Some(_) => Err(format!("{place}.{key} is not an object")),
    }
}

/// The text at `key`; missing, null and empty are `None`.
pub(super) fn text<'v>(object: &'v Object, key: &str, place: &str) -> Result<Option<&'v str>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(format!("{place}.{key} is not a string")),
    }
}

/// The text at `key`, which must be there.
pub(super) fn needed<'v>(object: &'v Object, key: &str, place: &str) -> Result<&'v str, String> {
    text(object, key, place)?.ok_or_else(|| format!("{place} has no `{key}`"))
}
