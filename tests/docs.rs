//! What the documentation says and a test can check.

use crate::kit::run::plain;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
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

/// The Markdown files: of the project, of `docs/` and of the examples.
fn pages() -> Vec<(String, String)> {
    let dirs = [".", "docs", "examples/emberroot"];
    let paths = dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|entry| entry.unwrap().path());
    let pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())).collect()
}

/// What stands in backquotes, outside fenced code.
fn spans(text: &str) -> Vec<&str> {
    let prose = text.split("\n```").step_by(2);
    prose.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

/// The lines of fenced code.
fn code_lines(text: &str) -> Vec<&str> {
    text.split("\n```").skip(1).step_by(2).flat_map(str::lines).collect()
}

/// The text of every Rust file below `dir`.
fn source_text(dir: &str) -> String {
    let mut files = Vec::new();
    rust_files(Path::new(dir), &mut files);
    files.iter().map(|file| std::fs::read_to_string(&file[1..]).unwrap()).collect()
}

/// The number of a table row's cells; a pipe that belongs to a cell is escaped.
fn cells(row: &str) -> usize {
    row.trim_end().trim_matches('|').replace("\\|", "").matches('|').count() + 1
}

#[test]
fn every_row_of_a_table_has_its_columns() {
    let (mut tables, mut wrong) = (0, Vec::new());
    for (page, text) in pages() {
        let lines: Vec<_> = text.lines().collect();
        for block in lines.chunk_by(|a, b| a.starts_with('|') == b.starts_with('|')) {
            let [head, rule, rows @ ..] = block else {
                wrong
                    .extend(block.iter().filter(|row| row.starts_with('|')).map(|row| format!("{page}: alone: {row}")));
                continue;
            };
            if !head.starts_with('|') {
                continue;
            }
            tables += 1;
            if rule.contains(|c: char| !"|-: ".contains(c)) {
                wrong.push(format!("{page}: no head: {head}"));
            }
            let odd = rows.iter().chain([rule]).filter(|row| cells(row) != cells(head));
            wrong.extend(odd.map(|row| format!("{page}: {} cells: {row}", cells(row))));
        }
    }
    assert!(tables > 50, "only {tables} tables were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The options of `persistcp` and its commands, by the command.
fn options() -> BTreeMap<&'static str, BTreeSet<String>> {
    let commands = [
        "",
        "audit",
        "check",
        "copy",
        "report",
        "verify",
        "plan check",
        "plan show",
        "plan export",
        "plan import",
        "plan nix-expr",
        "completions",
        "man",
    ];
    let options = commands.map(|command| {
        let args: Vec<_> = command.split_whitespace().chain(["--help"]).map(OsStr::new).collect();
        let help = plain(&args).exits(0).stdout;
        let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let words = lines.flat_map(|line| line.split_whitespace().take(2)).map(|word| word.trim_end_matches(','));
        (command, words.filter(|word| word.starts_with("--")).map(str::to_string).collect())
    });
    BTreeMap::from(options)
}

/// The options in `text`, by their names.
fn options_in(text: &str) -> impl Iterator<Item = &str> {
    let name = |rest: &'_ str| rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
    text.match_indices("--").map(move |(at, _)| &text[at..at + 2 + name(&text[at + 2..])]).filter(|word| word.len() > 3)
}

#[test]
fn every_option_is_documented_and_every_documented_one_exists() {
    let (options, pages) = (options(), pages());
    let all: BTreeSet<_> = options.values().flatten().map(String::as_str).collect();
    let prose: String =
        pages.iter().filter(|(page, _)| !page.contains("CHANGELOG")).map(|(_, text)| &text[..]).collect();
    let named: BTreeSet<_> = options_in(&prose).collect();
    let missing: Vec<_> = all.difference(&named).filter(|option| !["--help", "--version"].contains(option)).collect();
    assert!(missing.is_empty(), "nowhere in README or docs/: {missing:?}");

    let (mut commands, mut wrong) = (0, Vec::new());
    for (page, text) in &pages {
        for line in spans(text).into_iter().chain(code_lines(text)) {
            let Some(line) = line.strip_prefix("… ").or_else(|| line.split_once("persistcp ").map(|(_, rest)| rest))
            else {
                continue;
            };
            let line = line.split(['|', '>', '&', ';', ')', '#']).next().unwrap_or_default();
            let words: Vec<_> = line.split_whitespace().take_while(|word| !word.starts_with('-')).collect();
            let known = (0..=2.min(words.len())).rev().find_map(|n| options.get(&words[..n].join(" ")[..]));
            commands += 1;
            let unknown = options_in(line).filter(|option| !known.is_some_and(|known| known.contains(*option)));
            wrong.extend(unknown.map(|option| format!("{page}: {option} in `{line}`")));
        }
    }
    assert!(commands > 40, "only {commands} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_exit_status_is_in_the_readme() {
    let source = std::fs::read_to_string("src/cli/exit.rs").unwrap();
    let statuses = source.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "));
    let statuses: Vec<_> = statuses.map(|(_, number)| number).collect();
    let readme = std::fs::read_to_string("README.md").unwrap();
    let said = readme.split("Exit status: ").nth(1).unwrap().split("`--report").next().unwrap();
    let said: Vec<_> = said.split("; ").map(|part| part.split(' ').next().unwrap()).collect();
    assert_eq!(said, statuses);
}

/// The words in backquotes in the first column of the table of `page` that begins with `head`.
fn first_column(page: &str, head: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let table = text.split(head).nth(1).unwrap_or_else(|| panic!("{page} has no {head}"));
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_string).collect()
}

#[test]
fn the_kinds_of_problems_and_the_operations_are_those_of_the_report() {
    let source = std::fs::read_to_string("src/engine/events/kind.rs").unwrap();
    let variants = source.split("pub enum ProblemKind {").nth(1).unwrap().split('}').next().unwrap();
    let names = variants.lines().map(str::trim).filter(|line| line.starts_with(char::is_uppercase));
    let kebab = |name: &str| {
        let words = name.trim_end_matches(',').chars();
        let text = words.flat_map(|c| c.is_uppercase().then_some('-').into_iter().chain(c.to_lowercase()));
        text.collect::<String>().trim_start_matches('-').to_string()
    };
    let kinds: BTreeSet<_> = names.map(kebab).collect();
    assert_eq!(first_column("docs/report.md", "| kind | meaning |\n"), kinds);

    let source = std::fs::read_to_string("src/engine/events/operation.rs").unwrap();
    let words = source.lines().filter_map(|line| line.trim().strip_suffix("\",")?.split_once(" = \""));
    let words: BTreeSet<_> = words.map(|(_, word)| word.to_string()).collect();
    assert!(words.len() > 30, "{words:?}");
    assert_eq!(first_column("docs/report.md", "| `op` | what was tried |\n"), words);
}

#[test]
fn every_script_and_variable_that_the_documentation_names_exists() {
    let code = [source_text("src"), source_text("tests")].concat();
    let scripts: Vec<_> = std::fs::read_dir("scripts").unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        for word in text.split(|c: char| !c.is_alphanumeric() && !"/_-.".contains(c)) {
            let word = word.trim_end_matches(['.', '-', '/']);
            if word.starts_with("scripts/") && !scripts.iter().any(|script| script == Path::new(word)) {
                wrong.push(format!("{page}: {word}"));
            }
            if word.starts_with("PERSISTCP_") && !code.contains(&format!("\"{word}\"")) {
                wrong.push(format!("{page}: {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_and_type_that_the_documentation_names_exists() {
    let (src, tests) = (source_text("src"), source_text("tests"));
    let is_name = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    let (mut named, mut wrong) = (0, Vec::new());
    for (page, text) in pages().into_iter().filter(|(page, _)| !page.contains("CHANGELOG")) {
        for span in spans(&text) {
            let (path, last) = span.rsplit_once("::").unwrap_or_default();
            let (last, cut) = last.strip_suffix('…').map_or((last, ""), |last| (last, "…"));
            let good = match path {
                // `Type::method`, a field or a variant.
                path if is_name(path) && is_name(last) && path.starts_with(char::is_uppercase) => {
                    let has_type =
                        ["struct", "enum", "trait"].iter().any(|word| src.contains(&format!("{word} {path}")));
                    let places = [format!("fn {last}"), format!(" {last}:"), format!(" {last},"), format!(" {last}(")];
                    has_type && places.iter().any(|place| src.contains(place))
                }
                // `group::test`, perhaps cut off.
                path if is_name(path) && last.contains('_') && is_name(last.trim_end_matches('_')) => {
                    let end = if cut.is_empty() { "(" } else { "" };
                    tests.contains(&format!("fn {last}{end}")) || src.contains(&format!("fn {last}("))
                }
                "" if is_name(span) && span.matches('_').count() > 4 => tests.contains(&format!("fn {span}(")),
                _ => continue,
            };
            named += 1;
            if !good {
                wrong.push(format!("{page}: {span}"));
            }
        }
    }
    assert!(named > 40, "only {named} names were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
