//! What the documentation names must be there.

use std::path::{Path, PathBuf};

/// Every Rust file below `dir`, as it is below the project's own directory.
fn rust_files(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(format!("/{}", path.to_str().unwrap()));
        }
    }
}

/// Names of Rust files in backquotes, with the line that has them.
fn named(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().zip(1..);
    let quoted = lines.flat_map(|(line, n)| line.split('`').skip(1).step_by(2).map(move |word| (n, word)));
    quoted.filter(|(_, word)| word.ends_with(".rs") && !word.contains([' ', '*', '{'])).collect()
}

#[test]
fn every_source_file_that_the_documentation_names_exists() {
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches"] {
        rust_files(Path::new(dir), &mut files);
    }
    let in_dir = |dir| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<PathBuf> = in_dir("docs").chain(in_dir(".")).collect();
    let (mut looked, mut missing) = (0, Vec::new());
    for path in texts.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        for (line, name) in named(&std::fs::read_to_string(path).unwrap()) {
            looked += 1;
            if !files.iter().any(|file| file.ends_with(&format!("/{name}"))) {
                missing.push(format!("{}:{line}: {name}", path.display()));
            }
        }
    }
    assert!(looked > 50, "only {looked} names were found");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn names_in_backquotes_are_found() {
    assert_eq!(named("a `b.rs` c\n`d/e.rs`, `src/{f}.rs`, `g h.rs`"), [(1, "b.rs"), (2, "d/e.rs")]);
}
