//! What the reader of an imported plan must know.

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteWeight {
    /// Only a comment in the plan.
    Remark,
    /// Also printed on stderr.
    Warning,
    /// Something is not in the plan as declared: the exit status says so.
    NotInPlan,
}

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportNote {
    /// How much it matters.
    pub weight: NoteWeight,
    /// The note, in one line.
    pub text: String,
    /// The Nix expression that it is about, or its beginning.
    pub quoted: Option<String>,
}

impl ImportNote {
    /// The note in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let quoted = self.quoted.iter().map(|text| format!(": `{text}`"));
        let line = format!("{}{}", self.text, quoted.collect::<String>());
        crate::base::path::escape(line.as_bytes()).into_owned()
    }

    pub(super) fn remark(text: impl Into<String>) -> Self {
        Self { weight: NoteWeight::Remark, text: text.into(), quoted: None }
    }

    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self { weight: NoteWeight::Warning, text: text.into(), quoted: None }
    }

    pub(super) fn lost(text: impl Into<String>) -> Self {
        Self { weight: NoteWeight::NotInPlan, text: text.into(), quoted: None }
    }

    pub(super) fn quoting(self, expression: impl Into<String>) -> Self {
        Self { quoted: Some(expression.into()), ..self }
    }
}
