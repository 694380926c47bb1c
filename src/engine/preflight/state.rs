//! Where the journal is.

use super::allow::{Allow, Refusals};
use super::place::{TargetPlace, places};
use crate::engine::events::refusal::Refusal;
use crate::engine::journal::{Location, STATE_DIR};
use crate::engine::mapping::model::Mapping;
use crate::sys::root::real_path;
use crate::sys::{Errno, at};
use std::path::PathBuf;

/// The journal's place, for runs that only read it.
pub fn journal_of(plan: &Mapping, allow: &Allow) -> Result<Location, Refusals> {
    let mut refusals = Vec::new();
    let places = places(plan, &mut refusals);
    if refusals.is_empty() || allow.state.is_some() {
        location(plan, allow, &places).map_err(|refusal| vec![refusal])
    } else {
        // Another place may have another journal, or none.
        Err(refusals)
    }
}

/// Where the journal is: `--state`, or the usual place.
pub(super) fn location(plan: &Mapping, allow: &Allow, places: &[Option<TargetPlace>]) -> Result<Location, Refusal> {
    let directory = match &allow.state {
        Some(state) => state.clone(),
        None => usual_state(plan, places)?,
    };
    Ok(Location::new(directory, &plan.name))
}

/// Where the mapping has it; otherwise `.persistcp` at the top of the first target's file system, if that
/// is below the root, or at the root.
pub(super) fn usual_state(plan: &Mapping, places: &[Option<TargetPlace>]) -> Result<PathBuf, Refusal> {
    if let Some(state) = &plan.state {
        return Ok(state.clone());
    }
    let root = match at::dir_handle(&plan.root) {
        Ok(fd) => real_path(&fd),
        // A missing root was refused, or was opened when its places were checked.
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(plan.root.clone()),
        Err(errno) => Err(errno),
    };
    // Another place would mean another journal, which knows nothing of what was copied.
    let root = root.map_err(|errno| Refusal::RootUnknown(plan.root.clone(), errno))?;
    let first = places.iter().flatten().next();
    let point = first.and_then(|p| p.mount.as_ref()).map(|m| m.point.clone());
    let above = point.filter(|point| point.starts_with(&root)).unwrap_or(root);
    Ok(above.join(STATE_DIR))
}
