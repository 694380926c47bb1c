//! Nix's own lexical rules: strings, attribute names, comments.

use crate::base::path::escape;

/// A string literal with the value `text`.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            // Every dollar, not only before a brace: `$$` would deprive the next one of its meaning.
            '"' | '\\' | '$' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            // Nix turns a carriage return into a newline.
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An attribute's name, quoted if the grammar requires it.
pub(crate) fn name(text: &str) -> String {
    const KEYWORDS: [&str; 10] = ["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"];
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-'".contains(&b));
    if first && rest && !KEYWORDS.contains(&text) { text.to_string() } else { string(text) }
}

/// A comment of one line, whatever `text` holds.
pub(crate) fn comment(text: &str) -> String {
    format!("# {}", escape(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rnix::ast::{self, InterpolPart};
    use rowan::ast::AstNode;

    fn value(node: &ast::Str) -> String {
        let parts = node.normalized_parts();
        let text = parts.into_iter().map(|part| match part {
            InterpolPart::Literal(text) => text,
            InterpolPart::Interpolation(_) => panic!("an interpolation: {node}"),
        });
        text.collect()
    }

    fn parsed(text: &str) -> rnix::SyntaxNode {
        let root = rnix::Root::parse(text);
        assert_eq!(root.errors(), [], "{text}");
        root.syntax()
    }

    /// Texts with many characters that are special in Nix.
    fn hostile() -> impl Strategy<Value = String> {
        let bits = prop_oneof![
            Just("${".to_string()),
            Just("$".to_string()),
            Just("\\".to_string()),
            Just("\"".to_string()),
            Just("''".to_string()),
            Just("\r\n".to_string()),
            Just("*/ # /* ".to_string()),
            "[^\\x00]{0,3}",
        ];
        proptest::collection::vec(bits, 0..8).prop_map(|bits| bits.concat())
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_literal(text in hostile()) {
            let root = parsed(&string(&text));
            let found: Vec<String> = root.descendants().filter_map(ast::Str::cast).map(|s| value(&s)).collect();
            prop_assert_eq!(found, [text]);
        }

        #[test]
        fn any_name_is_one_attribute(text in hostile()) {
            let root = parsed(&format!("{{ {} = 1; }}", name(&text)));
            let key = root.descendants().find_map(ast::Attr::cast).expect("a key");
            let found = match key {
                ast::Attr::Ident(ident) => ident.to_string(),
                ast::Attr::Str(text) => value(&text),
                ast::Attr::Dynamic(key) => panic!("{key}"),
            };
            prop_assert_eq!(found, text);
        }

        #[test]
        fn a_comment_never_ends_early(text in hostile()) {
            let root = parsed(&format!("{}\n1", comment(&text)));
            prop_assert_eq!(root.descendants().count(), parsed("1").descendants().count());
        }
    }

    #[test]
    fn plain_names_stay_plain() {
        assert_eq!(name("sinh"), "sinh");
        assert_eq!(name("with"), "\"with\"");
        assert_eq!(name("a.b"), "\"a.b\"");
    }
}
