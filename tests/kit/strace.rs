//! Reads what `strace -ff -y -xx` wrote: each thread's calls that succeeded, in order.

use std::path::Path;

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    args: Vec<String>,
    result: String,
}

/// The calls that make, open, dress or move something.
const CALLS: &str = "openat,openat2,mkdirat,mknodat,symlinkat,linkat,renameat,renameat2,fchmod,fchmodat,\
    fchown,fchownat,fsetxattr,setxattr,lsetxattr,fremovexattr,removexattr,lremovexattr,utimensat,\
    ?fchmodat2,?open,?creat,?mkdir,?mknod,?symlink,?link,?rename,?chmod,?chown,?lchown";

/// The words before a command line that make strace watch it into `log`.`tid`.
pub(crate) fn watching(log: &Path) -> Vec<String> {
    let log = log.to_str().unwrap();
    let trace = format!("trace={CALLS}");
    let words = ["strace", "-ff", "-y", "-xx", "-s", "70000", "-e", &trace, "-o", log];
    words.map(str::to_string).to_vec()
}

/// The words that end the process at the `n`th of such calls, before it is made.
pub(crate) fn killing(call: &str, n: u64) -> Vec<String> {
    let inject = format!("inject={call}:signal=KILL:when={n}");
    ["strace", "-f", "-qqq", "-o", "/dev/null", "-e", &inject].map(str::to_string).to_vec()
}

/// Every thread's calls.
pub(crate) fn read(log: &Path) -> Vec<Vec<Call>> {
    let stem = format!("{}.", log.file_name().unwrap().to_str().unwrap());
    let files = std::fs::read_dir(log.parent().unwrap()).unwrap().map(|e| e.unwrap().path());
    let logs = files.filter(|f| f.file_name().unwrap().to_str().unwrap().starts_with(&stem));
    logs.map(|f| std::fs::read_to_string(f).unwrap().lines().filter_map(parse).collect()).collect()
}

fn parse(line: &str) -> Option<Call> {
    // Every string is in hex, so the only brackets are those of the call itself and of structures.
    let (name, rest) = line.split_once('(')?;
    let (args, result) = rest.rsplit_once(") = ")?;
    (!result.starts_with('-')).then(|| Call {
        name: name.to_string(),
        args: args.split(", ").map(str::to_string).collect(),
        result: result.to_string(),
    })
}

impl Call {
    /// An argument as it stands there: flags, a mode, a number.
    pub(crate) fn arg(&self, n: usize) -> &str {
        self.args.get(n).map_or("", String::as_str)
    }

    /// An argument that is an octal mode; 0 for another one.
    pub(crate) fn mode(&self, n: usize) -> u32 {
        u32::from_str_radix(self.arg(n), 8).unwrap_or(0)
    }

    /// The bytes of an argument in quotes.
    pub(crate) fn bytes(&self, n: usize) -> Vec<u8> {
        hex(self.arg(n).trim_matches('"'))
    }

    /// The path of the descriptor that is argument `n`.
    pub(crate) fn path(&self, n: usize) -> Vec<u8> {
        annotation(self.arg(n))
    }

    /// The number of the descriptor that came back, and its path.
    pub(crate) fn opened(&self) -> (&str, Vec<u8>) {
        (self.result.split('<').next().unwrap_or(""), annotation(&self.result))
    }

    /// Directory and name, arguments `n` and the next, as one path.
    pub(crate) fn joined(&self, n: usize) -> Vec<u8> {
        let name = self.bytes(n + 1);
        if name.starts_with(b"/") { name } else { [self.path(n), name].join(&b'/') }
    }
}

fn annotation(text: &str) -> Vec<u8> {
    hex(text.split_once('<').map_or("", |(_, path)| path.trim_end_matches('>')))
}

fn hex(text: &str) -> Vec<u8> {
    text.split("\\x").filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}
