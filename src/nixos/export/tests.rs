//! Whole expressions from hostile plans.

use super::{ExportNote, Form};
use crate::plan::{Overrides, Plan};
use proptest::prelude::*;
use rnix::ast::{self, InterpolPart};
use rowan::ast::AstNode;
use std::path::Path;

/// Names without meaning as globs or special paths.
fn name() -> impl Strategy<Value = String> {
    let bits = prop_oneof![Just("${".to_string()), Just("\\".to_string()), Just("''".to_string()), "[^\\x00/]{1,4}"];
    proptest::collection::vec(bits, 1..4).prop_map(|bits| bits.concat().replace(['*', '?', '[', '{'], "$"))
}

/// All string literals of an expression, without their quotes and escapes.
fn literals(text: &str) -> Vec<String> {
    let root = rnix::Root::parse(text);
    assert_eq!(root.errors(), [], "{text}");
    let strings = root.syntax().descendants().filter_map(ast::Str::cast);
    let value = |string: ast::Str| {
        let parts = string.normalized_parts().into_iter();
        parts.map(|part| match part {
            InterpolPart::Literal(text) => text,
            InterpolPart::Interpolation(_) => panic!("an interpolation in {text}"),
        })
    };
    strings.map(|string| value(string).collect()).collect()
}

fn plan(dirs: &[String], user: &str) -> Option<Plan> {
    let list = |prefix: &str| {
        let paths = dirs.iter().map(|dir| toml::Value::String(format!("{prefix}{dir}")).to_string());
        paths.collect::<Vec<_>>().join(", ")
    };
    let text = format!(
        "version = 1\nname = \"t\"\n[[target]]\nname = \"s\"\nto = \"/persist/system\"\ndirectories = [{}]\n\
         [[target]]\nname = \"h\"\nfrom = {from}\nto = {to}\ndirectories = [{}]\n",
        list("/srv/"),
        list("x"),
        from = toml::Value::String(format!("/home/{user}")),
        to = toml::Value::String(format!("/persist/home/{user}")),
    );
    Plan::parse(Path::new("t.toml"), &text).ok()
}

proptest! {
    #[test]
    fn every_declared_path_stands_in_the_expression_as_it_is(dir in name(), user in name()) {
        prop_assume!(![".", ".."].contains(&dir.as_str()) && ![".", ".."].contains(&user.as_str()));
        let plan = plan(std::slice::from_ref(&dir), &user);
        prop_assume!(plan.is_some());
        let Some(plan) = plan else { return Ok(()) };
        for form in [Form::Impermanence, Form::Preservation] {
            let export = plan.export(&Overrides::default(), form).expect("no source is needed");
            prop_assert!(export.is_whole(), "{:?}", export.notes);
            let found = literals(&export.text);
            for wanted in [format!("/srv/{dir}"), format!("x{dir}"), "/persist".into(), "/persist/system".into()] {
                prop_assert!(found.contains(&wanted), "{wanted:?} is not in {}", export.text);
            }
        }
    }
}

#[test]
fn what_an_exclude_leaves_out_is_told_once() {
    let text =
        "version = 1\n[[target]]\nname = \"s\"\nto = \"/p\"\nfiles = [\"/etc/a\"]\nexclude = [\"*.x\", \"*.x\"]\n";
    let plan = Plan::parse(Path::new("t.toml"), text).expect("a good plan");
    let export = plan.export(&Overrides::default(), Form::Impermanence).expect("no source is needed");
    let told = export.notes.iter().filter(|note| matches!(note, ExportNote::Caveat(text) if text.contains("*.x")));
    assert_eq!(told.count(), 1);
}
