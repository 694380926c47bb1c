//! What an export gives: its text, and what is to be known about it.

/// What is to be known about an export beside its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportNote {
    /// It is in the text; this is what to know about it.
    Caveat(String),
    /// The form cannot say it: it is not in the text.
    Unsaid(String),
}

/// A plan in another form.
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

    /// True when all that the plan declares is in the text.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.notes.iter().any(|note| matches!(note, ExportNote::Unsaid(_)))
    }
}
