//! The findings as entries to paste: into the plan, and into Nix.

use super::finding::{Finding, FindingKind};
use super::outcome::Audit;
use crate::base::path::{RelPath, escape, is_unprintable};
use crate::engine::mapping::model::{EntryKind, Target};
use crate::nixos::homes;
use crate::nixos::known_paths::written_first;
use crate::nixos::nix_text::string as nix_string;
use crate::plan::spelling::{literal, quoted};
use std::fmt::{Result, Write};

/// Entries for the plan's targets (TOML), then for impermanence (Nix).
#[must_use]
pub fn suggest(audit: &Audit) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    write_all(&mut out, audit).ok();
    out
}

/// What to add to one target.
struct SuggestedTarget<'a> {
    target: &'a Target,
    directories: Vec<&'a Finding>,
    files: Vec<&'a Finding>,
}

fn write_all(out: &mut String, audit: &Audit) -> Result {
    if audit.findings.is_empty() {
        return writeln!(out, "# nothing to add: what looks like state is declared");
    }
    let mut shares: Vec<SuggestedTarget<'_>> = Vec::new();
    let mut by_hand = Vec::new();
    for finding in &audit.findings {
        let writable = std::str::from_utf8(finding.path.as_bytes()).is_ok_and(|text| !text.contains(is_unprintable));
        let Some(target) = home_of(&audit.plan.targets, &finding.path).filter(|_| writable) else {
            by_hand.push(finding);
            continue;
        };
        if finding.what == FindingKind::Files || written_first(&finding.path).is_some() {
            by_hand.push(finding);
            continue;
        }
        let at = shares.iter().position(|share| std::ptr::eq(share.target, target)).unwrap_or_else(|| {
            shares.push(SuggestedTarget { target, directories: Vec::new(), files: Vec::new() });
            shares.len() - 1
        });
        match finding.what {
            FindingKind::Directory => shares[at].directories.push(finding),
            FindingKind::File | FindingKind::Files => shares[at].files.push(finding),
        }
    }
    writeln!(out, "# For the plan: each list goes into the target that it names.")?;
    shares.iter().try_for_each(|share| toml(out, share))?;
    if !shares.is_empty() {
        writeln!(out, "\n# For impermanence, in the NixOS configuration:")?;
    }
    shares.iter().try_for_each(|share| nix(out, audit, share))?;
    if !by_hand.is_empty() {
        writeln!(out, "\n# By hand:")?;
    }
    for finding in by_hand {
        let why = match finding.what {
            FindingKind::Files => finding.advice.as_str(),
            _ if written_first(&finding.path).is_some() => finding.advice.as_str(),
            _ if home_of(&audit.plan.targets, &finding.path).is_none() => {
                "no [[target]] of the plan reaches it: add one"
            }
            _ => "its name cannot be written there: declare its directory",
        };
        writeln!(out, "#   {}: {why}", finding.path)?;
    }
    Ok(())
}

/// The target whose `from` is nearest above `path`; a map takes one tree and no entries.
fn home_of<'p>(targets: &'p [Target], path: &RelPath) -> Option<&'p Target> {
    targets
        .iter()
        .filter(|target| target.entries.iter().all(|entry| entry.kind != EntryKind::Tree))
        .filter(|target| path.strip_prefix(&target.from).is_some_and(|below| !below.is_root()))
        .max_by_key(|target| target.from.depth())
}

/// The path below `from`: absolute if that is the root, as people write it.
fn written(target: &Target, path: &RelPath) -> String {
    let below = path.strip_prefix(&target.from).unwrap_or_default();
    let below = String::from_utf8_lossy(below.as_bytes()).into_owned();
    if target.from.is_root() { format!("/{below}") } else { below }
}

fn toml(out: &mut String, share: &SuggestedTarget<'_>) -> Result {
    for (key, list) in [("directories", &share.directories), ("files", &share.files)] {
        if list.is_empty() {
            continue;
        }
        writeln!(out, "\n# target {}: add to {key}", share.target.name)?;
        for finding in list {
            let path = quoted(&literal(&written(share.target, &finding.path)));
            writeln!(out, "  {{ path = {path}, need = \"{}\" }},", finding.severity.need().word())?;
        }
    }
    Ok(())
}

fn nix(out: &mut String, audit: &Audit, share: &SuggestedTarget<'_>) -> Result {
    let Target { name, from, to, .. } = share.target;
    // impermanence puts the whole path below the storage.
    let Some(storage) = to.strip_suffix(from) else {
        return writeln!(out, "# target {name}: {to} does not end in {from}, which impermanence cannot express");
    };
    let user = user_of(audit, share.target);
    // Outside a home the module wants the whole path.
    let path = |finding: &Finding| match &user {
        Some(_) => written(share.target, &finding.path),
        None => format!("/{}", String::from_utf8_lossy(finding.path.as_bytes())),
    };
    writeln!(out, "environment.persistence.{} = {{", nix_string(&storage.to_string()))?;
    if let Some(user) = &user {
        writeln!(out, "  users.{} = {{", nix_string(user))?;
    }
    let indent = if user.is_some() { "    " } else { "  " };
    if !share.directories.is_empty() {
        writeln!(out, "{indent}directories = [")?;
        for finding in &share.directories {
            let entry = directory(audit, &path(finding), finding, user.is_some());
            writeln!(out, "{indent}  {entry}")?;
        }
        writeln!(out, "{indent}];")?;
    }
    if !share.files.is_empty() {
        writeln!(out, "{indent}files = [")?;
        for finding in &share.files {
            writeln!(out, "{indent}  {}", nix_string(&path(finding)))?;
        }
        writeln!(out, "{indent}];")?;
    }
    if user.is_some() {
        writeln!(out, "  }};")?;
    }
    writeln!(out, "}};")
}

/// The user whose home the target is.
fn user_of(audit: &Audit, target: &Target) -> Option<String> {
    if let Some(home) = homes::elsewhere(target) {
        let name = audit.accounts.user(target.parents.uid).map(str::to_string);
        return name.or_else(|| home.last().map(|name| escape(name.as_bytes()).into_owned()));
    }
    let (home, below) = homes::split(&target.from)?;
    home.last().filter(|_| below.is_root()).map(|name| escape(name.as_bytes()).into_owned())
}

fn directory(audit: &Audit, path: &str, finding: &Finding, in_users: bool) -> String {
    let (uid, gid, mode) = finding.attrs;
    let mut rest = String::new();
    if !in_users {
        // Numbers without a name are left to the user to find out.
        for (key, id, name) in [("user", uid, audit.accounts.user(uid)), ("group", gid, audit.accounts.group(gid))] {
            if let Some(name) = name.filter(|_| id != 0) {
                write!(rest, " {key} = {};", nix_string(name)).ok();
            }
        }
    }
    if mode != 0o755 {
        write!(rest, " mode = \"{mode:04o}\";").ok();
    }
    let path = nix_string(path);
    if rest.is_empty() { path } else { format!("{{ directory = {path};{rest} }}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_glob_characters_means_itself() {
        assert_eq!(literal("a/b c"), "a/b c");
        assert_eq!(literal("a/b*[x]{y}?"), "a/b[*][[]x][{]y[}][?]");
        let glob = globset::Glob::new(&literal("b*[x]{y}?\\")).expect("a glob").compile_matcher();
        assert!(glob.is_match("b*[x]{y}?\\") && !glob.is_match("bz[x]{y}?\\"));
    }

    #[test]
    fn strings_of_nix_and_toml() {
        assert_eq!(nix_string("a\"${b}\\"), "\"a\\\"\\${b}\\\\\"");
        assert_eq!(quoted("a\"\\"), "\"a\\\"\\\\\"");
    }
}
