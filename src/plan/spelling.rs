//! How values are spelled in a plan, so that it reads them back.

use crate::base::path::is_unprintable;

/// A path as a glob that matches only itself. A component without special characters is not matched
/// at all; a class of one character stands for any other.
pub(crate) fn literal(path: &str) -> String {
    let component = |name: &str| {
        if !name.contains(['*', '?', '[', '{', '}']) && !name.ends_with('\\') {
            return name.to_string();
        }
        // A lone closing bracket is literal.
        let one = |c: char| if "*?[{}\\".contains(c) { format!("[{c}]") } else { c.to_string() };
        name.chars().map(one).collect()
    };
    path.split('/').map(component).collect::<Vec<String>>().join("/")
}

/// A gitignore pattern of only the path `below` what it is anchored at.
pub(crate) fn anchored(below: &str) -> String {
    let text = literal(below);
    match text.strip_suffix(' ') {
        // A space at the end would be cut off.
        Some(rest) => format!("/{rest}[ ]"),
        None => format!("/{text}"),
    }
}

/// The only path that `pattern` matches, if each of its special characters is escaped: by [`literal`],
/// or with backslashes.
pub(crate) fn meant(pattern: &str) -> Option<String> {
    let component = |name: &str| {
        if !name.contains(['*', '?', '[', '{']) {
            return Some(name.to_string());
        }
        let mut out = String::new();
        let mut chars = name.chars();
        while let Some(c) = chars.next() {
            out.push(match c {
                // `[!` and `[^` begin a negated class; `[]]` is a class of the bracket.
                '[' => {
                    let one = chars.next().filter(|c| !"!^]".contains(*c))?;
                    chars.next().filter(|c| *c == ']')?;
                    one
                }
                '\\' => chars.next()?,
                '*' | '?' | '{' => return None,
                c => c,
            });
        }
        Some(out)
    };
    let path: Option<Vec<String>> = pattern.split('/').map(component).collect();
    path.map(|names| names.join("/"))
}

/// A file's stem as the plan's name: what a name cannot have becomes a dash.
pub(crate) fn name(stem: &str) -> String {
    let one = |(at, c): (usize, char)| match c {
        '.' if at == 0 => '-',
        c if c.is_ascii_alphanumeric() || "._-".contains(c) => c,
        _ => '-',
    };
    stem.chars().enumerate().map(one).collect()
}

/// A basic string. TOML shares JSON's escapes; other unprintable characters are escaped as well.
pub(crate) fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    // JSON only escapes those below U+0020, and TOML demands an escape for DEL.
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
            assert_eq!(meant(&pattern).as_deref(), Some(name), "{pattern:?}");
            for other in ["a", "ab", "x", "q", "qx", "e*", "tail", "b"] {
                assert!(!glob.is_match(other), "{pattern:?} should not match {other:?}");
            }
        }
        assert_eq!(literal("back\\slash/plain!"), "back\\slash/plain!");
    }

    #[test]
    fn what_can_match_several_names_means_none_of_them() {
        for pattern in ["*", "a?", "[ab]", "[!a]", "[^a]", "[]]", "{a,b}", "x/[a-c]", "[", "*\\"] {
            assert_eq!(meant(pattern), None, "{pattern}");
        }
        assert_eq!(meant("srv/\\*/[x]").as_deref(), Some("srv/*/x"));
    }

    #[test]
    fn a_files_stem_becomes_a_name() {
        assert_eq!((name("x+y").as_str(), name(".a b").as_str(), name("plan.v2").as_str()), ("x-y", "-a-b", "plan.v2"));
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
