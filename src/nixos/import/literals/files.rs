//! The files of an import: those that were named, and those below their directories that they import by
//! a literal path.

use super::depth::too_deep;
use super::scope::Term;
use super::source::{ImportRoot, NixFile, Source};
use crate::base::path::RelPath;
use crate::sys::root::{Root, real_path};
use crate::sys::{Errno, errno_words};
use rnix::ast;
use rustix::fs::OFlags;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The most files that an import reads.
const MOST_FILES: usize = 2000;
/// The largest file that it reads, in bytes.
const LARGEST: u64 = 4 << 20;

/// A file that was read.
#[derive(Clone)]
pub(super) struct ParsedFile {
    pub(super) root: ast::Root,
    pub(super) source: Rc<Source>,
}

/// All files, by what the kernel calls them.
#[derive(Default)]
pub(super) struct NixFiles {
    read: RefCell<BTreeMap<PathBuf, Result<ParsedFile, String>>>,
}

impl ParsedFile {
    pub(super) fn term(&self) -> Option<Term> {
        Term::file(&self.root, self.source.clone())
    }
}

impl NixFiles {
    /// Parses a file that was named. The error names the line.
    pub(super) fn named(&self, file: &NixFile) -> Result<ParsedFile, String> {
        let below = file.path.as_deref().and_then(import_root).map(Rc::new);
        let source = Source { shown: file.shown.clone(), text: file.text.clone(), below, dir: RelPath::root() };
        let parsed = parse(source)?;
        let known = file.path.as_deref().and_then(identity);
        let key = known.unwrap_or_else(|| PathBuf::from(&file.shown));
        self.read.borrow_mut().insert(key, Ok(parsed.clone()));
        Ok(parsed)
    }

    /// All that were read.
    pub(super) fn all(&self) -> Vec<ParsedFile> {
        self.read.borrow().values().flatten().cloned().collect()
    }

    /// The file at a relative path that `from` names. The error is why it is not read.
    pub(super) fn imported(&self, from: &Source, text: &str) -> Result<ParsedFile, String> {
        let Some(below) = &from.below else { return Err("the file that names it has no directory".into()) };
        let path = inside(&from.dir, text).ok_or("it is outside the directory of the file that was named")?;
        let words = |errno: Errno| errno_words(errno);
        let opened = below.root.open_in(&path, OFlags::PATH).map_err(words)?;
        let is_dir = crate::sys::stat::stat_fd(&opened).map_err(words)?.kind == crate::sys::stat::Kind::Directory;
        let path = if is_dir { path.join_path(&RelPath::shown("default.nix")) } else { path };
        let opened = below.root.open_in(&path, OFlags::PATH).map_err(words)?;
        let key = real_path(&opened).map_err(words)?;
        if let Some(known) = self.read.borrow().get(&key) {
            return known.clone();
        }
        if self.read.borrow().len() >= MOST_FILES {
            return Err(format!("{MOST_FILES} files are read already"));
        }
        let parsed = below.root.read(&path, LARGEST).map_err(words).and_then(|bytes| {
            let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_string())?;
            let shown = below.shown.join(path.as_path()).display().to_string();
            let dir = path.parent().unwrap_or_default();
            parse(Source { shown, text, below: Some(below.clone()), dir })
        });
        self.read.borrow_mut().insert(key, parsed.clone());
        parsed
    }
}

fn parse(source: Source) -> Result<ParsedFile, String> {
    if let Some(line) = too_deep(&source.text) {
        return Err(format!("{}:{line}: nested too deeply to be read", source.shown));
    }
    let parse = rnix::Root::parse(&source.text);
    match parse.errors().first() {
        Some(error) => Err(source.not_nix(error)),
        None => Ok(ParsedFile { root: parse.tree(), source: Rc::new(source) }),
    }
}

fn import_root(path: &Path) -> Option<ImportRoot> {
    Some(ImportRoot { root: Root::open(dir_of(path)?).ok()?, shown: path.parent()?.to_path_buf() })
}

fn identity(path: &Path) -> Option<PathBuf> {
    let name = RelPath::new(path.file_name()?.as_bytes()).ok()?;
    real_path(&Root::open(dir_of(path)?).ok()?.open_in(&name, OFlags::PATH).ok()?).ok()
}

/// The directory that a named file is in.
fn dir_of(path: &Path) -> Option<&Path> {
    let dir = path.parent()?;
    Some(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
}

/// The path `text` from `dir`, unless it leads above the root.
fn inside(dir: &RelPath, text: &str) -> Option<RelPath> {
    let mut at = dir.clone();
    for name in text.split('/') {
        at = match name {
            "" | "." => at,
            ".." => at.parent()?,
            name => at.join(&crate::base::path::Name::new(name.as_bytes()).ok()?),
        };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_stays_below_the_named_file() {
        let from = |dir: &str, text: &str| inside(&RelPath::shown(dir), text).map(|path| path.to_string());
        assert_eq!(from("", "./a/b.nix").as_deref(), Some("/a/b.nix"));
        assert_eq!(from("a/b", "../c.nix").as_deref(), Some("/a/c.nix"));
        assert_eq!(from("a", "../../c.nix"), None);
        assert_eq!(from("", "../c.nix"), None);
    }
}
