//! A type's name means one thing in the whole crate.

use crate::layers::source_texts;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeMap;

/// Calls `found` with the name of each type and trait that `tokens` declare, however deep.
/// Associated types are none.
fn declared(tokens: TokenStream, associated: bool, found: &mut dyn FnMut(String)) {
    let mut words = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                let declares = match words.last().map(String::as_str) {
                    Some("struct" | "enum" | "trait") => true,
                    Some("type") => !associated,
                    _ => false,
                };
                if declares {
                    found(word.clone());
                }
                words.push(word);
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let has = |word: &str| words.iter().any(|other| other == word);
                let associated = !has("fn") && (has("impl") || has("trait"));
                words.clear();
                declared(group.stream(), associated, found);
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => words.clear(),
            _ => {}
        }
    }
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in source_texts() {
        declared(text.parse().unwrap(), false, &mut |name| names.entry(name).or_default().push(file.clone()));
    }
    assert!(names.len() > 300, "only {} types were found", names.len());
    let shared: Vec<_> = names.iter().filter(|(_, files)| files.len() > 1).collect();
    assert!(shared.is_empty(), "{shared:#?}");
}

#[test]
fn declarations_are_found() {
    let text = "pub struct A<T>(T); enum B { C } trait D { type E; } impl D for A<B> { type E = u8; }
        fn f() -> impl Fn() { struct G; type H = u8; } type I = (); mod inner { pub(super) struct J { k: u8 } }";
    let mut names = Vec::new();
    declared(text.parse().unwrap(), false, &mut |name| names.push(name));
    assert_eq!(names, ["A", "B", "D", "G", "H", "I", "J"]);
}
