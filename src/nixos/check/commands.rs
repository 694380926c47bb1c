//! The commands that rows print, for a root shell. Where somebody but root can put a symlink, a command
//! opens the path first, and goes on only if the kernel says that what is open is at that path.

use super::row::Remedy;
use super::tree::SystemTree;
use crate::base::path::RelPath;
use crate::base::shell;
use crate::sys::root::real_path;
use crate::sys::stat::Kind;

/// What a command calls a file or directory.
pub(super) struct Operand {
    word: String,
    /// It is an open descriptor, which leads to one inode whatever happens to its path.
    is_open: bool,
}

impl Operand {
    pub(super) fn chown(&self, owner: &str) -> String {
        let whole = if self.is_open { "" } else { "-h " };
        format!("chown {whole}{owner} {}", self.word)
    }

    pub(super) fn chmod(&self, mode: &str) -> String {
        format!("chmod {mode} {}", self.word)
    }

    /// The same for a directory and everything in it.
    pub(super) fn inside(&self) -> String {
        // Of an open directory the link in /proc would be taken for what is meant.
        if self.is_open { format!("{}/.", self.word) } else { self.word.clone() }
    }

    pub(super) fn word(&self) -> &str {
        &self.word
    }

    /// What mount(8) needs so as not to turn a descriptor back into a path.
    pub(super) fn mount_option(&self) -> &'static str {
        if self.is_open { "-c " } else { "" }
    }
}

impl SystemTree {
    /// A command for what is at `path`.
    pub(super) fn command(&self, path: &RelPath, command: impl FnOnce(&Operand) -> String) -> Remedy {
        if self.is_roots(&path.parent().unwrap_or_default()) {
            return Remedy::Run(command(&Operand { word: self.word(path), is_open: false }));
        }
        self.unless_link([path], || guarded(&command(&operand(9)), &[(9, self.real_word(path))]))
    }

    /// A command for what is at two paths.
    pub(super) fn command_for_two(
        &self,
        (first, second): (&RelPath, &RelPath),
        command: impl FnOnce(&Operand, &Operand) -> String,
    ) -> Remedy {
        if [first, second].iter().all(|path| self.is_roots(&path.parent().unwrap_or_default())) {
            let plain = |path| Operand { word: self.word(path), is_open: false };
            return Remedy::Run(command(&plain(first), &plain(second)));
        }
        let words = || [(9, self.real_word(first)), (8, self.real_word(second))];
        self.unless_link([first, second], || guarded(&command(&operand(9), &operand(8)), &words()))
    }

    /// A command for a name in its directory, which gets the name's word.
    pub(super) fn command_by_name(&self, path: &RelPath, command: impl FnOnce(&str) -> String) -> Remedy {
        let (dir, name) = (path.parent().unwrap_or_default(), path.last());
        let (false, Some(name)) = (self.is_roots(&dir), name) else {
            return Remedy::Run(command(&self.word(path)));
        };
        let name = shell::word(&[b"./", name.as_bytes()].concat());
        self.unless_link([&dir], || format!("({} && {})", self.enter(&dir), command(&name)))
    }

    /// Makes what is not there yet, as whoever owns the directory that it is made in.
    pub(super) fn make(&self, path: &RelPath, kind: Kind) -> Remedy {
        let mut dir = path.parent().unwrap_or_default();
        let owner = loop {
            match (self.stat(&dir), dir.parent()) {
                (Ok(stat), _) => break (stat.uid, stat.gid),
                (Err(_), Some(above)) => dir = above,
                (Err(_), None) => break (0, 0),
            }
        };
        let made = |word: &dyn Fn(&RelPath) -> String, with: &str| match (kind, path.parent()) {
            (Kind::Directory, _) => format!("{with}mkdir -p {}", word(path)),
            (_, Some(parent)) if parent != dir => {
                format!("{with}mkdir -p {} && {with}touch {}", word(&parent), word(path))
            }
            _ => format!("{with}touch {}", word(path)),
        };
        if self.is_roots(&dir) {
            return Remedy::Run(made(&|path| self.word(path), ""));
        }
        let below = |path: &RelPath| {
            let below = path.strip_prefix(&dir).unwrap_or_default();
            shell::word(&[b"./", below.as_bytes()].concat())
        };
        let with = match owner {
            (0, _) => String::new(),
            (uid, gid) => format!("setpriv --reuid={uid} --regid={gid} --clear-groups "),
        };
        self.unless_link([&dir], || format!("({} && {})", self.enter(&dir), made(&below, &with)))
    }

    /// The command, unless a symlink is there already: nothing that root does should follow it.
    fn unless_link<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p RelPath>,
        command: impl FnOnce() -> String,
    ) -> Remedy {
        let link = |path: &RelPath| {
            std::iter::successors(Some(path.clone()), RelPath::parent)
                .filter(|at| self.stat(at).is_ok_and(|stat| stat.kind == Kind::Symlink))
                .last()
        };
        match paths.into_iter().find_map(link) {
            Some(at) => Remedy::Do(format!(
                "{at} is a symlink where somebody but root can put one, so no command of root's should follow it: \
                 put what it leads to in its place, and check again"
            )),
            None => Remedy::Run(command()),
        }
    }

    /// Goes into a directory, and fails if that led elsewhere.
    fn enter(&self, dir: &RelPath) -> String {
        let word = self.real_word(dir);
        // The shell's own pwd may go by the path; the program asks the kernel.
        format!("cd {word} && test \"$(env pwd -P)\" = {word}")
    }

    /// The path without symlinks in it, as the kernel gives it.
    fn real_word(&self, path: &RelPath) -> String {
        match real_path(&self.root) {
            Ok(root) if path.is_root() => shell::word(root.as_os_str().as_encoded_bytes()),
            Ok(root) => shell::word(root.join(path.as_path()).as_os_str().as_encoded_bytes()),
            Err(_) => self.word(path),
        }
    }
}

fn operand(descriptor: u8) -> Operand {
    Operand { word: format!("/proc/self/fd/{descriptor}"), is_open: true }
}

/// The command with its paths open, after it is known that they led where they say.
fn guarded(command: &str, open: &[(u8, String)]) -> String {
    let tests: String =
        open.iter().map(|(fd, word)| format!("test \"$(readlink /proc/self/fd/{fd})\" = {word} && ")).collect();
    let opened: String = open.iter().map(|(fd, word)| format!(" {fd}< {word}")).collect();
    format!("{{ {tests}{command}; }}{opened}")
}
