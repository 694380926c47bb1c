//! Whose home is meant.

use crate::base::path::RelPath;

/// The user whose home is meant if the configuration does not say.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// The name.
    pub user: Option<String>,
    /// The home.
    pub dir: Option<RelPath>,
}

impl Person {
    /// The home that was named, or the usual one of the user.
    pub(super) fn home(&self) -> Option<RelPath> {
        self.dir.clone().or_else(|| self.user.as_deref().map(Self::usual_home))
    }

    /// `/home/NAME`, and `/root` for root.
    pub(super) fn usual_home(name: &str) -> RelPath {
        let text = if name == "root" { "root".to_string() } else { format!("home/{name}") };
        RelPath::new(text.as_bytes()).unwrap_or_default()
    }
}
