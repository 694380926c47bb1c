//! Mounts and subvolumes inside the source.

use crate::base::path::RelPath;
use crate::engine::events::detail::{Detail, MountContent};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::problem::Problem;
use crate::engine::survey::weigh;
use crate::sys::filesystem::{mount_id, space};
use crate::sys::mounts;
use crate::sys::stat::Stat;
use rustix::fd::AsFd;

/// How a mount that is not entered is reported.
pub(crate) enum NotEntered {
    Problem(Box<Problem>),
    Note(Note),
}

/// Says which mount was not entered and how much it holds. `above` is the device of the directory that it covers,
/// `target` the directory that its own would be copied into.
pub(crate) fn not_entered(
    path: RelPath,
    fd: impl AsFd,
    stat: &Stat,
    (above, target): (u64, Option<impl AsFd>),
) -> NotEntered {
    // The mount that the copy itself goes to: nobody means to copy that into itself.
    if target.is_some_and(|target| mount_id(target).is_ok_and(|id| mount_id(&fd).is_ok_and(|here| here == id))) {
        return NotEntered::Note(Note::TargetNotEntered(path));
    }
    let kind = mounts::of(&fd).ok().flatten().map_or_else(|| "unknown".to_string(), |mount| mount.kind);
    if mounts::shows_running_system(stat.dev) {
        return NotEntered::Note(Note::KernelNotEntered(path, kind));
    }
    let content = if stat.dev == above {
        let (entries, bytes) = weigh(&fd, stat);
        MountContent::Bind(entries, bytes)
    } else {
        let space = space(&fd).ok().filter(|space| space.size > 0);
        MountContent::FileSystem(kind.clone(), space.map(|space| space.size.saturating_sub(space.free)))
    };
    if kind == "overlay" && is_merged_view(&path) {
        return NotEntered::Note(Note::ViewNotEntered(path, content));
    }
    NotEntered::Problem(Box::new(Problem::new(path, ProblemKind::Mount, Detail::NotEntered(content))))
}

/// A subvolume is data of the same file system, though its device number differs.
pub(super) fn subvolume_note(path: &RelPath, fd: impl AsFd, stat: &Stat) -> Note {
    let (entries, bytes) = weigh(fd, stat);
    Note::Subvolume(path.clone(), entries, bytes)
}

/// `…/overlay2/<id>/merged`: what a running container sees of layers that lie beside it.
fn is_merged_view(path: &RelPath) -> bool {
    let names: Vec<_> = path.names().collect();
    matches!(names.as_slice(), [.., store, _, last] if store.as_bytes() == b"overlay2" && last.as_bytes() == b"merged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_merged_directory_of_a_layer_is_a_view() {
        let is = |text: &str| is_merged_view(&RelPath::new(text.as_bytes()).expect("valid"));
        assert!(is("persist/docker/overlay2/0a1b/merged"));
        assert!(!is("persist/docker/overlay2/0a1b/diff"));
        assert!(!is("persist/merged"));
    }
}
