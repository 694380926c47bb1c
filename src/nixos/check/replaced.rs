//! Files that programs replace by renaming a new one over them: under a bind mount that fails with
//! EBUSY, so their directories should be kept instead.

use super::context::CheckContext;
use super::row::CheckRow;
use crate::base::path::RelPath;
use crate::engine::mapping::model::EntryKind;
use crate::nixos::known_paths::{Replacer, replacer, written_first};

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    const ID: &str = "replaced-file";
    let files = context.tree.entries().filter(|entry| entry.kind == EntryKind::File);
    // Account files have a row of their own, which fails.
    let files = files.filter(|entry| written_first(&entry.src).is_none());
    let found = files.filter_map(|entry| replacer(&entry.src).map(|who| (entry, who)));
    found
        .map(|(entry, who)| {
            let program = who.program;
            let why = format!("programs replace it by a rename ({program}): under a bind mount that fails with EBUSY");
            CheckRow::warn(ID, &entry.dst, why).advise(advice(&entry.src, who))
        })
        .collect()
}

fn advice(live: &RelPath, who: Replacer) -> String {
    let (program, directory) = (who.program, live.parent().unwrap_or_default());
    let link = "make the live path a symlink to the storage (method = \"symlink\") instead of a mount";
    // Keeping a whole /etc, home or ~/.config is not a solution.
    let narrow = live.depth() > 2 && !is_wide(&directory);
    match who.keeps_link {
        Some(true) if narrow => {
            format!("declare the directory \"{directory}\" instead of the file, or {link}: {program} writes through it")
        }
        _ if narrow => format!("declare the directory \"{directory}\" instead of the file"),
        Some(true) => format!("{link}: {program} writes through it"),
        Some(false) => format!(
            "let {program} use a file in a directory of its own (zsh: HISTFILE) and declare that: it replaces a symlink \
             as well"
        ),
        None => link.into(),
    }
}

/// A directory that is shared by many programs.
fn is_wide(path: &RelPath) -> bool {
    let home = path.depth() == 2 && path.names().next().is_some_and(|name| name.as_bytes() == b"home");
    home || [&b"/.config"[..], b"/.local", b"/.local/share", b"/.local/state"]
        .iter()
        .any(|end| path.as_bytes().ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nixos::check::tree::rel;

    #[test]
    fn a_path_ends_at_a_component() {
        assert!(replacer(&rel("home/u/.gitconfig")).is_some());
        assert!(replacer(&rel("home/u/my.gitconfig")).is_none());
        assert!(replacer(&rel("etc/shadow")).is_some());
        assert!(replacer(&rel("srv/etc/shadow")).is_none());
    }
}
