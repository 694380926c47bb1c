//! The source's layers: an import goes down the list or stays in its layer, and neither
//! folders nor files import each other in a circle.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// From the top. `src/lib.rs` says what each of them knows.
const LAYERS: [&str; 6] = ["cli", "nixos", "plan", "engine", "sys", "base"];

/// A module's path below the crate.
type Module = Vec<String>;

/// An import: whose, what, and whether test code alone has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    from: Module,
    to: Module,
    in_test: bool,
}

/// Modules by the path of their file below `src/`.
#[derive(Debug, Default)]
struct Source {
    files: BTreeMap<Module, String>,
    imports: BTreeSet<Import>,
}

/// What a file tells.
#[derive(Debug, Default)]
struct Found {
    /// Paths, absolute below the crate, and whether in test code.
    paths: BTreeSet<(Module, bool)>,
    /// Modules that are compiled for tests alone.
    test_modules: BTreeSet<Module>,
}

fn module_of(file: &str) -> Module {
    let mut module: Module = file.trim_end_matches(".rs").split('/').map(str::to_string).collect();
    if module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    module
}

impl Source {
    /// Reads texts by the path of their file below `src/`.
    fn new(texts: &[(String, String)]) -> Self {
        let files: BTreeMap<_, _> = texts.iter().map(|(file, _)| (module_of(file), file.clone())).collect();
        let mut found = BTreeMap::new();
        for (file, text) in texts {
            let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("{file}: {e}"));
            let mut of = Found::default();
            Reader { files: &files, found: &mut of }.read(tokens, &module_of(file), false);
            found.insert(module_of(file), of);
        }
        let tests: BTreeSet<Module> = found.values().flat_map(|of| of.test_modules.clone()).collect();
        let mut imports = BTreeSet::new();
        for (from, of) in &found {
            let all_test = (1..=from.len()).any(|n| tests.contains(&from[..n]));
            for (path, in_test) in &of.paths {
                let to = (1..=path.len()).rev().map(|n| &path[..n]).find(|to| files.contains_key(*to));
                if let Some(to) = to.filter(|to| to != from) {
                    imports.insert(Import { from: from.clone(), to: to.to_vec(), in_test: *in_test || all_test });
                }
            }
        }
        Self { files, imports }
    }

    fn name(&self, module: &Module) -> &str {
        &self.files[module]
    }

    /// Imports that go up, in words.
    fn upward(&self) -> Vec<String> {
        let layer = |module: &Module| LAYERS.iter().position(|layer| *layer == module[0]);
        let up = |import: &&Import| layer(&import.from).zip(layer(&import.to)).is_some_and(|(from, to)| to < from);
        let words = |import: &Import| format!("{} imports {}", self.name(&import.from), import.to.join("::"));
        self.imports.iter().filter(up).map(words).collect()
    }

    /// Files that import each other in a circle.
    fn file_cycles(&self) -> Vec<BTreeSet<String>> {
        cycles(self.built().map(|i| (self.name(&i.from).to_string(), self.name(&i.to).to_string())))
    }

    /// What lies side by side in a folder, files and folders with all that is in them, and imports
    /// each other in a circle.
    fn folder_cycles(&self) -> Vec<BTreeSet<String>> {
        let beside = |import: &Import| {
            let common = import.from.iter().zip(&import.to).take_while(|(from, to)| from == to).count();
            let part = |module: &Module| match module.len() {
                // The folder's own file is beside what is in it.
                len if len == common => self.name(module).to_string(),
                _ => module[..=common].join("/"),
            };
            (part(&import.from), part(&import.to))
        };
        cycles(self.built().map(beside))
    }

    /// The imports of what is built; test code may look at anything in its layer.
    fn built(&self) -> impl Iterator<Item = &Import> {
        self.imports.iter().filter(|import| !import.in_test)
    }
}

/// Finds the paths of a file.
struct Reader<'a> {
    files: &'a BTreeMap<Module, String>,
    found: &'a mut Found,
}

impl Reader<'_> {
    fn read(&mut self, tokens: TokenStream, module: &Module, in_test: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let (mut at, mut for_test) = (0, false);
        while let Some(token) = tokens.get(at) {
            at += 1;
            let TokenTree::Ident(ident) = token else {
                match token {
                    TokenTree::Group(group) => {
                        match group.delimiter() {
                            Delimiter::Bracket => for_test |= is_cfg_test(&group.stream()),
                            Delimiter::Brace => for_test = false,
                            _ => {}
                        }
                        self.read(group.stream(), module, in_test);
                    }
                    TokenTree::Punct(punct) if punct.as_char() == ';' => for_test = false,
                    _ => {}
                }
                continue;
            };
            match ident.to_string().as_str() {
                // `pub(in crate::sys)` imports nothing.
                "pub" if matches!(tokens.get(at), Some(TokenTree::Group(_))) => at += 1,
                "mod" => {
                    let Some(TokenTree::Ident(name)) = tokens.get(at) else { continue };
                    let inner = [&module[..], &[name.to_string()]].concat();
                    at += 1;
                    match tokens.get(at) {
                        Some(TokenTree::Group(group)) => self.read(group.stream(), &inner, in_test || for_test),
                        _ if for_test => drop(self.found.test_modules.insert(inner)),
                        _ => {}
                    }
                    at += 1;
                    for_test = false;
                }
                "use" => {
                    let end = tokens[at..].iter().position(|token| is_punct(token, ';')).map_or(at, |n| at + n);
                    let mut paths = Vec::new();
                    tree(&tokens[at..end], &[], &mut paths);
                    paths.into_iter().for_each(|path| self.add(path, module, in_test));
                    at = end;
                }
                first => {
                    let mut path = vec![first.to_string()];
                    while let [a, b, TokenTree::Ident(next), ..] = &tokens[at..]
                        && is_punct(a, ':')
                        && is_punct(b, ':')
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    // `file::name` as well: a folder's mod.rs needs no `use` for what it declares.
                    if path.len() > 1 {
                        self.add(path, module, in_test);
                    }
                }
            }
        }
    }

    /// Takes a path as it is written in `module`, if it leads into the crate.
    fn add(&mut self, mut path: Vec<String>, module: &Module, in_test: bool) {
        let mut base = module.clone();
        match path[0].as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                while path.get(1).is_some_and(|next| next == "super") {
                    base.pop();
                    path.remove(0);
                }
                base.pop();
            }
            child if self.files.contains_key(&[&module[..], &[child.to_string()]].concat()) => {
                base.push(path[0].clone())
            }
            _ => return,
        }
        base.extend(path.into_iter().skip(1));
        self.found.paths.insert((base, in_test));
    }
}

fn is_cfg_test(attribute: &TokenStream) -> bool {
    attribute.to_string().replace(' ', "") == "cfg(test)"
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

/// The paths of a use tree, each below `prefix`.
fn tree(tokens: &[TokenTree], prefix: &[String], paths: &mut Vec<Vec<String>>) {
    for branch in tokens.split(|token| is_punct(token, ',')) {
        let mut path = prefix.to_vec();
        for token in branch {
            match token {
                TokenTree::Ident(ident) if ident == "as" => break,
                // `{self}` is what is before it.
                TokenTree::Ident(ident) if ident == "self" && !path.is_empty() => {}
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Group(group) => {
                    let inner: Vec<_> = group.stream().into_iter().collect();
                    tree(&inner, &path, paths);
                    path.clear();
                }
                _ => {}
            }
        }
        if !path.is_empty() {
            paths.push(path);
        }
    }
}

/// Sets of names of which each leads to each other.
fn cycles(edges: impl Iterator<Item = (String, String)>) -> Vec<BTreeSet<String>> {
    let mut reach: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in edges {
        reach.entry(from).or_default().insert(to);
    }
    // Until nothing is new: whatever is reached from what is reached.
    loop {
        let mut next = reach.clone();
        for set in next.values_mut() {
            let more: Vec<_> = set.iter().filter_map(|to| reach.get(to)).flatten().cloned().collect();
            set.extend(more);
        }
        if next == reach {
            break;
        }
        reach = next;
    }
    let mutual = |a: &String| -> BTreeSet<String> {
        reach[a].iter().filter(|b| reach.get(*b).is_some_and(|back| back.contains(a))).cloned().collect()
    };
    let found: BTreeSet<_> = reach.keys().map(mutual).filter(|set| set.len() > 1).collect();
    found.into_iter().collect()
}

/// The files of `src/`.
fn texts(dir: &Path, below: &str, texts: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            self::texts(&entry.path(), &format!("{name}/"), texts);
        } else if name.ends_with(".rs") && !["lib.rs", "main.rs"].contains(&&name[..]) {
            texts.push((name, std::fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

fn src() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every module's file below `src/`, and its text.
pub(crate) fn source_texts() -> Vec<(String, String)> {
    let mut files = Vec::new();
    texts(&src(), "", &mut files);
    files
}

fn source() -> Source {
    Source::new(&source_texts())
}

/// Functions of rustix that a file calls or imports outside its tests, which come last.
fn rustix_calls(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\n").next().unwrap_or_default();
    // A function is called by its module, a type's own by the type.
    let is_function = |path: &&str| path.rsplit("::").take(2).all(|name| name.starts_with(char::is_lowercase));
    let called = text.match_indices("rustix::").map(|(at, _)| &text[at..]).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && !"_:{, \n}".contains(c)).unwrap_or(rest.len());
        rest[end..].starts_with(['(', ';']).then_some(&rest[..end])
    });
    let names = called.flat_map(|path| path.split(['{', '}', ',']).map(str::trim).filter(|name| !name.is_empty()));
    names.filter(|name| !name.ends_with("::")).filter(is_function).map(str::to_string).collect()
}

#[test]
fn what_is_below_the_plan_knows_nothing_of_nixos() {
    let below =
        source_texts().into_iter().filter(|(file, _)| ["engine/", "sys/", "base/"].iter().any(|l| file.starts_with(l)));
    let named: Vec<_> = below.filter(|(_, text)| text.to_lowercase().contains("nixos")).map(|(file, _)| file).collect();
    assert!(named.is_empty(), "{named:?}");
}

#[test]
fn sys_alone_calls_rustix() {
    let above = source_texts().into_iter().filter(|(file, _)| !file.starts_with("sys/"));
    let calls: Vec<_> = above
        .flat_map(|(file, text)| rustix_calls(&text).into_iter().map(move |call| format!("{file}: {call}")))
        .collect();
    assert!(calls.is_empty(), "{}", calls.join("\n"));
}

#[test]
fn calls_of_rustix_are_found() {
    let text = "use rustix::fs::{Mode, openat};\nuse rustix::fd::AsFd;\nfn f() { rustix::fs::open(1); }
        fn g(a: rustix::fs::OFlags) { rustix::fs::OFlags::from_bits(a) }";
    assert_eq!(rustix_calls(text), ["openat", "rustix::fs::open"]);
}

#[test]
fn the_list_of_layers_is_that_of_the_crate() {
    let lib = std::fs::read_to_string(src().join("lib.rs")).unwrap();
    let named: Vec<_> =
        lib.lines().filter_map(|line| line.strip_prefix("//! | [`")?.split_once('`').map(|(name, _)| name)).collect();
    assert_eq!(named, LAYERS, "the table in src/lib.rs");
    let entries = std::fs::read_dir(src()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<_> = entries.collect();
    let expected = LAYERS.into_iter().chain(["lib.rs", "main.rs"]).map(str::to_string).collect();
    assert_eq!(there, expected, "whatever is in src/ belongs to a layer");
}

#[test]
fn no_import_goes_up() {
    let upward = source().upward();
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn nothing_imports_each_other_in_a_circle() {
    let source = source();
    assert_eq!(source.file_cycles(), [], "files");
    assert_eq!(source.folder_cycles(), [], "files and folders");
}

/// Types ask for data everywhere but in `Told`, which is for words from outside the engine or from a
/// record.
#[test]
fn the_engine_puts_no_words_of_its_own_into_told() {
    let told = |(file, text): &(String, String)| {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let makes = ["Told(format!", "Told(\""].iter().any(|words| code.contains(words));
        (file.starts_with("engine/") && makes).then(|| file.clone())
    };
    let files: Vec<String> = source_texts().iter().filter_map(told).collect();
    assert_eq!(files, [""; 0]);
}

/// A source of three files, the second with `more`.
fn planted(more: &str) -> Source {
    let texts = [
        ("engine/mod.rs", "pub mod copy; pub mod tree; use crate::base::path::{self, Name as N};"),
        (
            "engine/copy/mod.rs",
            &format!("// use crate::cli;\n//! `crate::cli`\nconst S: &str = \"crate::cli\";\n{more}"),
        ),
        ("engine/tree.rs", "pub(in crate::engine) fn f() { super::copy::run() }"),
        ("base/path.rs", "pub struct Name;"),
        ("sys/mod.rs", ""),
        ("cli/mod.rs", ""),
    ];
    Source::new(&texts.map(|(file, text)| (file.to_string(), text.to_string())))
}

#[test]
fn a_planted_upward_import_is_found_wherever_it_is() {
    assert_eq!(planted("use crate::{base::path, sys};").upward(), [""; 0]);
    for more in [
        "use crate::cli::run;",
        "use crate::{sys, cli::{self, run}};",
        "use super::super::cli as c;",
        "pub(crate) use crate::cli;",
        "fn f() { g(crate::cli::run()) }",
        "fn f() { assert_eq!(crate::cli::run(), 1); }",
        "#[cfg(test)] mod tests { use crate::cli::run; }",
        "mod inner { use super::super::super::cli; }",
    ] {
        assert_eq!(planted(more).upward(), ["engine/copy/mod.rs imports cli"], "{more}");
    }
}

#[test]
fn planted_circles_are_found() {
    let set = |names: [&str; 2]| BTreeSet::from(names.map(str::to_string));
    let none = planted("use crate::sys;\n#[cfg(test)] mod tests { use super::super::tree; }");
    assert!(none.folder_cycles().is_empty() && none.file_cycles().is_empty(), "test code may import what imports it");
    let circle = planted("use super::tree::f;");
    assert_eq!(circle.folder_cycles(), [set(["engine/copy", "engine/tree"])]);
    assert_eq!(circle.file_cycles(), [set(["engine/copy/mod.rs", "engine/tree.rs"])]);
}

#[test]
fn a_circle_with_the_file_of_the_own_folder_is_found_however_it_is_written() {
    for child in ["use super::Job;", "fn f(job: &super::Job) {}", "use super::*;", "use crate::engine::copy::Job;"] {
        for parent in ["pub use dir::Dir;", "fn f() { dir::run() }", "fn f() -> self::dir::Dir {}", "use dir as d;"] {
            let texts = [("engine/copy/mod.rs", &format!("mod dir; {parent}")[..]), ("engine/copy/dir.rs", child)];
            let source = Source::new(&texts.map(|(file, text)| (file.to_string(), text.to_string())));
            let found = [BTreeSet::from(["engine/copy/dir.rs", "engine/copy/mod.rs"].map(str::to_string))];
            assert_eq!(source.file_cycles(), found, "{parent} and {child}");
        }
    }
}

#[test]
fn folders_in_a_circle_are_found_where_no_files_are() {
    let texts = [
        ("engine/journal/epoch/seal.rs", "use crate::engine::journal::row;"),
        ("engine/journal/epoch/gate.rs", ""),
        ("engine/journal/row.rs", "use super::epoch::gate;"),
    ];
    let source = Source::new(&texts.map(|(file, text)| (file.to_string(), text.to_string())));
    assert!(source.file_cycles().is_empty());
    let found = ["engine/journal/epoch", "engine/journal/row"].map(str::to_string);
    assert_eq!(source.folder_cycles(), [BTreeSet::from(found)]);
}
