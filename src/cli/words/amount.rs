//! Numbers with what they count.

use crate::base::human::count;

/// `1 entry`, `2 entries`.
pub(in crate::cli) fn entries(n: u64) -> String {
    if n == 1 { "1 entry".into() } else { format!("{} entries", count(n)) }
}
