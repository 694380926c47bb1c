//! How values are spelled in a plan, so that it reads them back.

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

/// A basic string. TOML shares JSON's escapes, and wants one for DEL besides.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
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
        for text in ["a\"b", "back\\", "two\nlines", "\u{7f}\u{1}", "é'''"] {
            let table: toml::Table = toml::from_str(&format!("x = {}", quoted(text))).unwrap();
            assert_eq!(table["x"].as_str(), Some(text));
        }
    }
}
