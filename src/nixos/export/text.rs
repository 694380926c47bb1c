//! The result of an export: its text, and notes about it.

/// A note about an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportNote {
    /// It is in the text, but this is worth knowing.
    Caveat(String),
    /// The format cannot express it: it is not in the text.
    Unsaid(String),
}

/// A plan in another format.
#[derive(Debug)]
pub struct Export {
    /// Ends in a newline.
    pub text: String,
    /// In the order in which they were found, each once.
    pub notes: Vec<ExportNote>,
}

impl Export {
    pub(super) fn new(text: String, mut notes: Vec<ExportNote>) -> Self {
        let mut seen = Vec::new();
        notes.retain(|note| {
            let new = !seen.contains(note);
            if new {
                seen.push(note.clone());
            }
            new
        });
        Self { text, notes }
    }

    /// True when everything that the plan declares is in the text.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.notes.iter().any(|note| matches!(note, ExportNote::Unsaid(_)))
    }
}
