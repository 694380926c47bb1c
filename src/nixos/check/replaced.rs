//! Files that programs replace by renaming a new one over them: under a bind mount that
//! fails with EBUSY, so the directory should be kept instead.

use super::context::Context;
use super::row::Row;
use crate::base::path::RelPath;
use crate::engine::mapping::model::EntryKind;

/// The end of a live path, and who replaces it.
const REPLACED: [(&str, &str); 19] = [
    ("etc/passwd", "NixOS's activation"),
    ("etc/group", "NixOS's activation"),
    ("etc/shadow", "passwd"),
    ("etc/subuid", "NixOS's activation"),
    ("etc/subgid", "NixOS's activation"),
    ("etc/resolv.conf", "resolvconf, NetworkManager"),
    ("etc/hostname", "hostnamed"),
    ("etc/adjtime", "hwclock, timedated"),
    (".config/fish/fish_variables", "fish"),
    (".local/share/fish/fish_history", "fish"),
    (".config/monitors.xml", "GNOME"),
    (".config/mimeapps.list", "xdg-mime, file managers"),
    (".config/user-dirs.dirs", "xdg-user-dirs-update"),
    (".gitconfig", "git config"),
    (".zsh_history", "zsh"),
    (".bash_history", "bash"),
    (".python_history", "python"),
    (".ssh/known_hosts", "ssh, ssh-keygen -R"),
    (".viminfo", "vim"),
];

pub(super) fn check(context: &Context) -> Vec<Row> {
    const ID: &str = "replaced-file";
    let files = context.entries().filter(|entry| entry.kind == EntryKind::File);
    let found = files.filter_map(|entry| who(&entry.src).map(|who| (entry, who)));
    found
        .map(|(entry, who)| {
            let why = format!("programs replace it by a rename ({who}): under a bind mount that fails with EBUSY");
            let directory = entry.src.parent().unwrap_or_default();
            // A whole /etc, home or ~/.config is no answer.
            let advice = if entry.src.depth() > 2 && !is_wide(&directory) {
                format!("declare the directory \"{directory}\" instead of the file")
            } else {
                "make the live path a symlink to the storage (method = \"symlink\") instead of a mount".into()
            };
            Row::warn(ID, &entry.dst, why).advise(advice)
        })
        .collect()
}

/// A directory that holds what belongs to everybody.
fn is_wide(path: &RelPath) -> bool {
    let home = path.depth() == 2 && path.names().next().is_some_and(|name| name.as_bytes() == b"home");
    home || [&b"/.config"[..], b"/.local", b"/.local/share", b"/.local/state"]
        .iter()
        .any(|end| path.as_bytes().ends_with(end))
}

fn who(live: &RelPath) -> Option<&'static str> {
    let ends = |end: &str| {
        let path = live.as_bytes();
        path.strip_suffix(end.as_bytes()).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
    };
    // What is below /etc is so by its whole path.
    let fits = |end: &str| if end.starts_with("etc/") { live.as_bytes() == end.as_bytes() } else { ends(end) };
    REPLACED.iter().find(|(end, _)| fits(end)).map(|(_, who)| *who)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nixos::check::context::rel;

    #[test]
    fn a_path_ends_at_a_component() {
        assert!(who(&rel("home/sinh/.gitconfig")).is_some());
        assert!(who(&rel("home/sinh/my.gitconfig")).is_none());
        assert!(who(&rel("etc/shadow")).is_some());
        assert!(who(&rel("srv/etc/shadow")).is_none());
    }
}
