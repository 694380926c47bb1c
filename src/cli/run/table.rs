//! What goes where, for people.

use super::job::JobSubject;
use crate::base::path::escape;
use crate::engine::mapping::model::Mapping;
use crate::plan;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// As the plan's table, or a line for each tree.
pub(super) fn table(subject: &JobSubject, mapping: &Mapping) -> String {
    match subject {
        JobSubject::Plan { .. } => plan::table(mapping),
        JobSubject::Trees(_) => trees(mapping),
    }
}

fn trees(mapping: &Mapping) -> String {
    let shown = |path: &Path| escape(path.as_os_str().as_bytes()).into_owned();
    let line = |(src, dst): (&Path, &Path)| {
        format!("{} -> {}\n", shown(&mapping.source.join(src)).trim_end_matches('/'), shown(&mapping.root.join(dst)))
    };
    let mut out: String = mapping.targets.iter().map(|t| line((t.from.as_path(), t.to.as_path()))).collect();
    for pattern in mapping.targets.first().iter().flat_map(|target| &target.exclude) {
        out.push_str(&format!("  exclude {}\n", escape(pattern.as_bytes())));
    }
    out
}
