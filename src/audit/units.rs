//! Services that say where their state is: `StateDirectory=`, `ConfigurationDirectory=`
//! and `LogsDirectory=` of the unit files in the backup (systemd.exec(5)).

use crate::path::{Name, RelPath};
use crate::sys::dir::read_batches;
use crate::sys::root::Root;
use rustix::fs::OFlags;
use std::collections::{BTreeMap, BTreeSet};

/// A unit file is shorter than that.
const LIMIT: u64 = 256 << 10;

/// Where unit files are; symlinks on the way stay inside the backup.
const DIRECTORIES: [&str; 4] =
    ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system", "run/current-system/sw/lib/systemd/system"];

/// The directories that units call theirs, with the units' names.
#[derive(Debug, Default)]
pub(super) struct Units {
    pub(super) directories: BTreeMap<RelPath, Vec<String>>,
    /// Unit files that were read.
    pub(super) files: usize,
}

/// What one unit's files say together.
#[derive(Default)]
struct Unit {
    dynamic_user: bool,
    directories: BTreeSet<(&'static str, String)>,
}

impl Units {
    pub(super) fn read(source: &Root) -> Self {
        let mut units: BTreeMap<String, Unit> = BTreeMap::new();
        let mut files = 0;
        let mut take = |name: &str, path: &RelPath| {
            if let Ok(bytes) = source.read(path, LIMIT) {
                files += 1;
                units.entry(name.to_string()).or_default().learn(&String::from_utf8_lossy(&bytes));
            }
        };
        for dir in DIRECTORIES.iter().filter_map(|dir| RelPath::new(dir.as_bytes()).ok()) {
            for name in names(source, &dir, |name| name.ends_with(".service") || name.ends_with(".service.d")) {
                let Ok(component) = Name::new(name.as_bytes()) else { continue };
                let path = dir.join(&component);
                match name.strip_suffix(".d") {
                    None => take(&name, &path),
                    Some(unit) => {
                        for drop_in in names(source, &path, |name| name.ends_with(".conf")) {
                            Name::new(drop_in.as_bytes()).iter().for_each(|n| take(unit, &path.join(n)));
                        }
                    }
                }
            }
        }
        // NixOS keeps each unit in a store path of its own; those of older generations are there as well.
        for name in names(source, &store(), |name| name.contains("-unit-") && name.ends_with(".service")) {
            if let Some((_, unit)) = name.split_once("-unit-")
                && let (Ok(dir), Ok(file)) = (Name::new(name.as_bytes()), Name::new(unit.as_bytes()))
            {
                take(unit, &store().join(&dir).join(&file));
            }
        }
        let mut found = Self { files, ..Self::default() };
        for (name, unit) in &units {
            for path in unit.paths() {
                let names = found.directories.entry(path).or_default();
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        found
    }
}

fn store() -> RelPath {
    RelPath::new(b"nix/store").unwrap_or_default()
}

/// Names in a directory that may be missing. A name that is not UTF-8 is no unit's.
fn names(source: &Root, dir: &RelPath, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(fd) = source.open_in(dir, OFlags::RDONLY | OFlags::DIRECTORY) {
        let read = read_batches(&fd, 4096, |batch| {
            let texts = batch.iter().filter_map(|entry| std::str::from_utf8(entry.name.as_bytes()).ok());
            found.extend(texts.filter(|name| wanted(name)).map(str::to_string));
            true
        });
        // What the units say is a help; the walk reports what cannot be read.
        read.ok();
    }
    found.sort();
    found
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
                // An empty value takes back what was said before.
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
        // The whole of a base is nobody's.
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
