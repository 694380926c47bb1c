//! Services that declare where their state is: `StateDirectory=`, `ConfigurationDirectory=` and
//! `LogsDirectory=` of the unit files in the backup (systemd.exec(5)).

use super::listing;
use crate::base::path::{Name, RelPath, escape};
use crate::sys::root::Root;
use crate::sys::{Errno, errno_words, leads_nowhere};
use rustix::fs::OFlags;
use std::collections::{BTreeMap, BTreeSet};

/// No unit file is longer.
const LIMIT: u64 = 256 << 10;

/// Where unit files are; symlinks on the way stay inside the backup.
const DIRECTORIES: [&str; 4] =
    ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system", "run/current-system/sw/lib/systemd/system"];

/// The directories that units declare, with the units' names.
#[derive(Debug, Default)]
pub(in crate::nixos) struct Units {
    pub(in crate::nixos) directories: BTreeMap<RelPath, Vec<String>>,
    /// Unit files that were read.
    pub(super) files: usize,
    /// What could not be read, and why.
    pub(super) unread: Vec<(RelPath, String)>,
}

/// What one unit's files say together.
#[derive(Default)]
struct Unit {
    dynamic_user: bool,
    directories: BTreeSet<(&'static str, String)>,
}

impl Units {
    pub(in crate::nixos) fn read(source: &Root) -> Self {
        let mut reader = UnitReader { source, units: BTreeMap::new(), found: Self::default() };
        for dir in DIRECTORIES.iter().filter_map(|dir| RelPath::new(dir.as_bytes()).ok()) {
            for name in reader.names(&dir, |name| name.ends_with(".service") || name.ends_with(".service.d")) {
                let path = dir.join(&name);
                let text = String::from_utf8_lossy(name.as_bytes()).into_owned();
                match text.strip_suffix(".d") {
                    None => reader.take(&text, &path),
                    Some(unit) => {
                        for drop_in in reader.names(&path, |name| name.ends_with(".conf")) {
                            reader.take(unit, &path.join(&drop_in));
                        }
                    }
                }
            }
        }
        // NixOS keeps each unit in its own store path; those of older generations are there as well.
        let store = RelPath::new(b"nix/store").unwrap_or_default();
        for name in reader.names(&store, |name| name.contains("-unit-") && name.ends_with(".service")) {
            let text = String::from_utf8_lossy(name.as_bytes()).into_owned();
            if let Some((_, unit)) = text.split_once("-unit-")
                && let Ok(file) = Name::new(unit.as_bytes())
            {
                reader.take(unit, &store.join(&name).join(&file));
            }
        }
        let UnitReader { units, mut found, .. } = reader;
        for (name, unit) in &units {
            for path in unit.paths() {
                found.directories.entry(path).or_default().push(escape(name.as_bytes()).into_owned());
            }
        }
        found
    }
}

struct UnitReader<'a> {
    source: &'a Root,
    units: BTreeMap<String, Unit>,
    found: Units,
}

impl UnitReader<'_> {
    fn take(&mut self, unit: &str, path: &RelPath) {
        match self.source.read(path, LIMIT) {
            Ok(bytes) => {
                self.found.files += 1;
                self.units.entry(unit.to_string()).or_default().learn(&String::from_utf8_lossy(&bytes));
            }
            // A masked unit is a link to /dev/null.
            Err(errno) if leads_nowhere(errno) || errno == Errno::INVAL => {}
            Err(errno) => self.found.unread.push((path.clone(), errno_words(errno))),
        }
    }

    /// Names in a directory that may be missing, sorted. A name that is not UTF-8 is not a unit's.
    fn names(&mut self, dir: &RelPath, wanted: fn(&str) -> bool) -> Vec<Name> {
        let fd = match self.source.open_in(dir, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(errno) if leads_nowhere(errno) => return Vec::new(),
            Err(errno) => return self.unread(dir, errno),
        };
        listing::names(&fd, wanted).unwrap_or_else(|errno| self.unread(dir, errno))
    }

    fn unread(&mut self, dir: &RelPath, errno: Errno) -> Vec<Name> {
        self.found.unread.push((dir.clone(), errno_words(errno)));
        Vec::new()
    }
}

impl Unit {
    fn learn(&mut self, text: &str) {
        for line in text.replace("\\\n", " ").lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            let base = match key.trim() {
                "StateDirectory" => "var/lib",
                "ConfigurationDirectory" => "etc",
                "LogsDirectory" => "var/log",
                "DynamicUser" => {
                    self.dynamic_user = ["yes", "true", "1", "on"].contains(&value.trim());
                    continue;
                }
                _ => continue,
            };
            if value.trim().is_empty() {
                // An empty value resets what was set before.
                self.directories.retain(|(of, _)| *of != base);
            }
            for word in value.split_whitespace() {
                // "name:alias", and specifiers that only systemd can expand.
                let name = word.split(':').next().unwrap_or_default();
                let known: Vec<&str> = name.split('/').take_while(|part| !part.contains('%')).collect();
                if !known.is_empty() {
                    self.directories.insert((base, known.join("/")));
                }
            }
        }
    }

    fn paths(&self) -> Vec<RelPath> {
        let mut paths = Vec::new();
        for (base, name) in &self.directories {
            if self.dynamic_user && *base != "etc" {
                paths.extend(RelPath::new(format!("{base}/private/{name}").as_bytes()).ok());
            }
            paths.extend(RelPath::new(format!("{base}/{name}").as_bytes()).ok());
        }
        // No unit owns a base directory as a whole.
        paths.retain(|path| path.depth() > 1 && path.as_bytes() != b"var/lib" && path.as_bytes() != b"var/log");
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let mut unit = Unit::default();
        unit.learn(text);
        unit.paths().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn directories_of_a_unit() {
        assert_eq!(paths("[Service]\nStateDirectory=a b/c\n"), ["/var/lib/a", "/var/lib/b/c"]);
        assert_eq!(paths("StateDirectory=a:alias\nDynamicUser=yes"), ["/var/lib/private/a", "/var/lib/a"]);
        assert_eq!(paths("StateDirectory=x/%i\nLogsDirectory=%p"), ["/var/lib/x"]);
        assert_eq!(paths("StateDirectory=a\nStateDirectory=\nConfigurationDirectory=b \\\n c"), ["/etc/b", "/etc/c"]);
        assert_eq!(paths("CacheDirectory=a\nStateDirectory=."), Vec::<String>::new());
    }
}
