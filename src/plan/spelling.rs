//! How values are spelled in a plan, so that it reads them back.

use crate::path::is_unprintable;

/// A path that the plan's globs take for nothing but itself. A component without special
/// characters is not matched at all; one class of one character stands for any other.
pub(crate) fn literal(path: &str) -> String {
    let component = |name: &str| {
        if !name.contains(['*', '?', '[', '{', '}']) && !name.ends_with('\\') {
            return name.to_string();
        }
        // A bracket alone closes nothing.
        let one = |c: char| if "*?[{}\\".contains(c) { format!("[{c}]") } else { c.to_string() };
        name.chars().map(one).collect()
    };
    path.split('/').map(component).collect::<Vec<String>>().join("/")
}

/// A basic string. TOML shares JSON's escapes; those of what is not printable otherwise are added.
pub(crate) fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    // Of these JSON writes only the ones below U+0020 as escapes, and TOML wants one for DEL.
    let escape = |c: char| if is_unprintable(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    if json.contains(is_unprintable) { json.chars().map(escape).collect() } else { json }
}

#[cfg(test)]
mod tests {
    use super::*;
    use globset::GlobBuilder;

    #[test]
    fn a_literal_path_matches_itself_and_nothing_near() {
        for name in ["a*", "[x]", "{a,b}", "q?", "e\\*", "tail\\", "]", "}", "[!a]", "[[:alpha:]]", "-[", "^{", "\n*"] {
            let pattern = literal(name);
            let glob = GlobBuilder::new(&pattern).literal_separator(true).build().unwrap().compile_matcher();
            assert!(glob.is_match(name), "{pattern:?} should match {name:?}");
            for other in ["a", "ab", "x", "q", "qx", "e*", "tail", "b"] {
                assert!(!glob.is_match(other), "{pattern:?} should not match {other:?}");
            }
        }
        assert_eq!(literal("back\\slash/plain!"), "back\\slash/plain!");
    }

    #[test]
    fn strings_are_what_toml_reads_back() {
        for text in ["a\"b", "back\\", "two\nlines", "\u{7f}\u{1}", "é'''", "\u{85}\u{202e}\u{2029}"] {
            assert!(!quoted(text).contains(is_unprintable));
            let table: toml::Table = toml::from_str(&format!("x = {}", quoted(text))).unwrap();
            assert_eq!(table["x"].as_str(), Some(text));
        }
    }
}
