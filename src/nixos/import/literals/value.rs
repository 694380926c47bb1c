//! Strings and names as far as they are known, and attributes of sets.

use super::scope::Term;
use rnix::TextRange;

/// A part of a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StringPart {
    Literal(String),
    /// What only an evaluator knows, by its own name.
    Interpolated(String),
}

/// One name of an attribute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Known(String),
    Computed(Vec<StringPart>),
}

impl Segment {
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Known(known) if known == name)
    }

    /// As Nix writes it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Known(name) => crate::nixos::import::declared::attribute(name),
            Self::Computed(parts) => format!("\"{}\"", shown(parts)),
        }
    }
}

/// A string as Nix writes it, without its quotes.
pub(super) fn shown(parts: &[StringPart]) -> String {
    let text = |part: &StringPart| match part {
        StringPart::Literal(text) => text.clone(),
        StringPart::Interpolated(text) => format!("${{{text}}}"),
    };
    parts.iter().map(text).collect()
}

/// The text of parts without an interpolation.
pub(super) fn whole(parts: &[StringPart]) -> Option<String> {
    parts.iter().map(|part| if let StringPart::Literal(text) = part { Some(text.as_str()) } else { None }).collect()
}

/// An attribute of a set, whether it is written or inherited.
pub(super) struct Attribute {
    pub(super) names: Vec<Segment>,
    pub(super) value: Term,
    /// Of the whole pair.
    pub(super) range: TextRange,
}
