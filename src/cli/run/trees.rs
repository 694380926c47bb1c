//! What `persistcp copy SRC… DST` means: the mapping, and which journal is its own.

use super::job::TreesSubject;
use crate::cli::exit::Exit;
use crate::cli::trees_name::PREFIX;
use crate::cli::words::note;
use crate::engine::events::note::Note;
use crate::engine::journal::{Location, STATE_DIR, was_target};
use crate::engine::mapping::given::TreesError;
use crate::engine::mapping::model::Mapping;
use crate::engine::mapping::trees::{NamedTrees, TreesMapping, patterns};
use crate::engine::namesake;
use crate::sys::stat::stat_fd;
use crate::sys::{at, effective_ids, mounts};
use std::path::{Path, PathBuf};

/// The mapping of trees that are named on the command line; an error comes with its exit status.
pub(super) fn mapping(subject: &TreesSubject, sources_needed: bool) -> Result<Mapping, (String, Exit)> {
    let TreesSubject { sources, destination, exclude, state } = subject;
    let named = NamedTrees { sources, destination, exclude, sources_needed };
    let found = named.mapping().map_err(|error| {
        let exit = match error {
            TreesError::Source(..) | TreesError::Destination(..) => Exit::Refused,
            _ => Exit::Usage,
        };
        (error.to_string(), exit)
    })?;
    let mut mapping = with_journal(found, state.as_deref()).map_err(|why| (why, Exit::Refused))?;
    leave_out_journals(&mut mapping).map_err(|error| (error.to_string(), Exit::Usage))?;
    Ok(mapping)
}

/// A source that was a target itself has the state of that copy at its top.
fn leave_out_journals(mapping: &mut Mapping) -> Result<(), TreesError> {
    for target in &mut mapping.targets {
        let top = mapping.source.join(target.from.as_path());
        // What cannot be looked at is for the copy to report.
        if at::open_dir(&top).and_then(was_target).unwrap_or(false) {
            target.exclude.push(format!("/{STATE_DIR}/"));
            target.excluded = patterns(&target.exclude)?;
            mapping.notes.push(note::words(&Note::JournalLeftOut(top.join(STATE_DIR))));
        }
    }
    Ok(())
}

/// Names the journal and its place. It is that of this command, or of one that copied the same trees
/// from where they were mounted then. Its paths begin with the destination's name if that receives what
/// is in a source: under another one nothing would be known of what is there, so that is refused.
fn with_journal(found: TreesMapping, state: Option<&Path>) -> Result<Mapping, String> {
    let TreesMapping { mut mapping, directory, key } = found;
    let homes = match state {
        Some(state) => vec![state.to_path_buf()],
        None => homes(&directory),
    };
    let usual = homes.first().cloned().unwrap_or_else(|| directory.join(STATE_DIR));
    let known = homes.into_iter().find_map(|home| {
        let name = name(&mapping, &home, &key);
        let is_there = match Location::new(home.clone(), &name).exists() {
            Ok(is_there) => is_there,
            // Preflight says what is wrong with the usual one; another user's elsewhere is not ours.
            Err(_) => home == usual,
        };
        let name = if is_there { Some(name) } else { namesake::find(&home, PREFIX, &mapping) };
        name.map(|name| (name, home))
    });
    if known.is_none()
        && directory.join(STATE_DIR) == usual
        && let Some(then) = namesake::renamed(&usual, PREFIX, &mapping)
    {
        let shown = directory.display();
        return Err(format!(
            "{shown} has a copy of this source from when it was named {then}, and its journal knows it by that name; rename \
             it to {then} or mount it there again"
        ));
    }
    let (name, home) = known.unwrap_or_else(|| (name(&mapping, &usual, &key), usual));
    (mapping.name, mapping.state) = (name, Some(home));
    Ok(mapping)
}

/// Where the journal may be, the usual place first: at the top of a file system that is ours, so that it
/// goes where that is mounted; on the disk of the running system, and on others' file systems, in the
/// directory of the copies.
fn homes(directory: &Path) -> Vec<PathBuf> {
    let inside = directory.join(STATE_DIR);
    let there = at::dir_handle(directory).or_else(|_| at::dir_handle(directory.parent().unwrap_or(directory)));
    let mount = there.and_then(mounts::of).ok().flatten();
    let Some(point) = mount.map(|mount| mount.point).filter(|point| point != Path::new("/")) else {
        return vec![inside];
    };
    let top = point.join(STATE_DIR);
    let is_ours = effective_ids().0 == 0
        || at::dir_handle(&point).and_then(stat_fd).is_ok_and(|stat| stat.uid == effective_ids().0);
    if is_ours { vec![top, inside] } else { vec![inside, top] }
}

/// A name that says what is copied, and the same one for the same sources and destination, wherever the
/// destination's file system is mounted.
fn name(mapping: &Mapping, home: &Path, key: &[u8]) -> String {
    let root = mapping.root.strip_prefix(home.parent().unwrap_or(home)).unwrap_or(&mapping.root);
    let mut hasher = blake3::Hasher::new();
    hasher.update(key).update(root.as_os_str().as_encoded_bytes());
    for target in &mapping.targets {
        hasher.update(b"\0").update(target.to.as_bytes());
    }
    let to = mapping.targets.first().and_then(|target| target.to.last());
    let plain = |byte: &u8| if byte.is_ascii_alphanumeric() || b"._-".contains(byte) { char::from(*byte) } else { '_' };
    let shown: String = to.iter().flat_map(|name| name.as_bytes().iter().take(40).map(plain)).collect();
    format!("{PREFIX}{shown}-{}", &hasher.finalize().to_hex()[..8])
}
