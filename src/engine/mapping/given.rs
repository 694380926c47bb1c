//! What a path on a command line means: the source or the destination of a copy.

use crate::base::path::{BadPath, Name, RelPath};
use crate::sys::root::real_path;
use crate::sys::stat::{Kind, stat_at, stat_fd};
use crate::sys::{Errno, at, errno_words, leads_nowhere};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why there is no such mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreesError {
    /// A source that cannot be looked at.
    #[error("the source {0} cannot be read: {1}")]
    Source(PathBuf, String),
    /// `SRC/` of something that is no directory.
    #[error("{0} is no directory, and a slash at the end asks for what is in one; leave the slash out")]
    NoDirectory(PathBuf),
    /// The destination, or the directory that it is to be made in.
    #[error("the destination {0} cannot be opened: {1}; only its last name is made")]
    Destination(PathBuf, String),
    /// Several sources, or a directory, onto something that is no directory.
    #[error("the destination {0} is no directory; only one file can take its place")]
    OntoFile(PathBuf),
    /// It has no name in a directory of its own.
    #[error("the destination is the root directory; name a directory in it")]
    OntoRoot,
    /// Two sources with one destination.
    #[error("{0} and {1} would both become {2}; copy one of them elsewhere")]
    Collision(PathBuf, PathBuf, PathBuf),
    /// What is in a source goes where another one goes: no record would say which of them a name is from.
    #[error(
        "what is in {0} would be merged with {1} in {2}; copy each into a directory of its own: leave the slash out, or \
         run one command for each"
    )]
    Merged(PathBuf, PathBuf, PathBuf),
    /// A source that is another one, or inside it: what it has goes to one place.
    #[error(
        "the source {0} is inside the source {1}; copy only one of them, or run one command for each with another DST"
    )]
    Nested(PathBuf, PathBuf),
    /// A pattern that means nothing.
    #[error("--exclude {0}: {1}")]
    Pattern(String, String),
    /// A path that no file can have.
    #[error("{0}: {1}")]
    Path(PathBuf, BadPath),
    /// A relative path, and no current directory.
    #[error("the current directory is not known: {0}")]
    Current(String),
}

/// Where the destination is, and what it is.
#[derive(Debug)]
pub struct DestinationPlace {
    /// The directory that it is in, without symlinks.
    pub parent: PathBuf,
    /// Its name there.
    pub name: Name,
    /// What is there.
    pub kind: Option<Kind>,
    /// A slash at its end asks for a directory.
    pub asks_directory: bool,
    /// It is where a file system is mounted.
    pub is_mount_point: bool,
}

impl DestinationPlace {
    /// Looks at `path`, of which all but the last name must exist.
    pub fn of(path: &Path) -> Result<Self, TreesError> {
        let failed = |errno| TreesError::Destination(path.into(), errno_words(errno));
        let text = path.as_os_str().as_bytes();
        let asks_directory = text.ends_with(b"/") || names_directory(text);
        match at::dir_handle(path) {
            Ok(held) => {
                let real = real_path(&held).map_err(failed)?;
                let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
                    return Err(TreesError::OntoRoot);
                };
                let name = Name::new(name.as_bytes()).map_err(|bad| TreesError::Path(path.into(), bad))?;
                let is_mount_point = stat_fd(&held).map_err(failed)?.mount_root;
                Ok(Self { parent: parent.into(), name, kind: Some(Kind::Directory), asks_directory, is_mount_point })
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let (parent, name) = parent_and_name(path).map_err(failed)?;
                let parent_path = real_path(&parent).map_err(failed)?;
                let kind = match stat_at(&parent, &name) {
                    Ok(stat) => Some(stat.kind),
                    Err(Errno::NOENT) => None,
                    Err(errno) => return Err(failed(errno)),
                };
                Ok(Self { parent: parent_path, name, kind, asks_directory, is_mount_point: false })
            }
            Err(errno) => Err(failed(errno)),
        }
    }

    /// The destination itself, without symlinks.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.parent.join(OsStr::from_bytes(self.name.as_bytes()))
    }

    /// The directory that the destinations' paths begin at, and its path from there on. What keeps its name
    /// below a mount point gets paths that do not depend on where that is; what is in a directory (`contents`)
    /// becomes the mount point itself, which needs a name.
    #[must_use]
    pub fn root(&self, contents: bool) -> (PathBuf, RelPath) {
        if self.is_mount_point && !contents {
            (self.path(), RelPath::root())
        } else {
            (self.parent.clone(), RelPath::root().join(&self.name))
        }
    }

    /// The directory for what is copied, or the directory that a single file is put into.
    #[must_use]
    pub fn directory(&self, single_file: bool) -> PathBuf {
        if single_file { self.parent.clone() } else { self.path() }
    }
}

/// The directory that holds the last name of `path`, and that name.
fn parent_and_name(path: &Path) -> Result<(OwnedFd, Name), Errno> {
    let (Some(parent), Some(last)) = (path.parent(), path.file_name()) else { return Err(Errno::NOENT) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Ok((at::dir_handle(parent)?, Name::new(last.as_bytes()).map_err(|_| Errno::NOENT)?))
}

/// True for `.`, `..` and what ends in one of them.
fn names_directory(text: &[u8]) -> bool {
    let last = text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    last == b"." || last == b".."
}

/// A source as it was typed, and what it is.
#[derive(Clone, Debug)]
pub(super) struct GivenTree {
    /// As it was typed.
    pub(super) shown: PathBuf,
    /// The same from the root directory on, not looked up.
    pub(super) lexical: RelPath,
    /// Where it is, without symlinks above it, from the root directory on.
    pub(super) real: RelPath,
    /// What it is; `None` if it is not there and need not be.
    pub(super) kind: Option<Kind>,
    /// What is in it is meant.
    pub(super) contents: bool,
}

impl GivenTree {
    /// What `path` means.
    pub(super) fn of(path: &Path, needed: bool) -> Result<Self, TreesError> {
        let unread = |errno| TreesError::Source(path.into(), errno_words(errno));
        let text = path.as_os_str().as_bytes();
        let contents = text.ends_with(b"/") || names_directory(text);
        let absolute = std::path::absolute(path).map_err(|error| TreesError::Current(error.to_string()))?;
        let lexical = || RelPath::new(absolute.as_os_str().as_bytes()).unwrap_or_default();
        let relative = |path: &Path| RelPath::new(path.as_os_str().as_bytes()).unwrap_or_default();
        let found = if contents {
            at::dir_handle(path).and_then(|held| Ok((relative(&real_path(&held)?), Kind::Directory)))
        } else {
            parent_and_name(path).and_then(|(parent, name)| {
                let kind = stat_at(&parent, &name)?.kind;
                Ok((relative(&real_path(&parent)?).join(&name), kind))
            })
        };
        let (real, kind) = match found {
            Ok((real, kind)) => (real, Some(kind)),
            Err(Errno::NOTDIR) if contents => return Err(TreesError::NoDirectory(path.into())),
            Err(errno) if !needed && leads_nowhere(errno) => (lexical(), None),
            Err(errno) => return Err(unread(errno)),
        };
        Ok(Self { shown: path.into(), lexical: lexical(), real, kind, contents })
    }
}
