//! What the names of journals and reports of `persistcp copy` begin with.

/// So that they are told from those of plans.
pub(super) const PREFIX: &str = "copy-";

/// True for the name of what was copied without a plan.
pub(super) fn is_of_trees(name: &str) -> bool {
    name.starts_with(PREFIX)
}
