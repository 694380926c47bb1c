//! Errors of a plan, each with its place in the text, shown the way rustc does.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One error.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The bytes of the text that are wrong.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What is at the span, or what was expected there.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { span, message: message.into(), label: label.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All errors of one plan, in the order of the text.
#[derive(Debug)]
pub struct Diagnostics {
    file: PathBuf,
    text: String,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Errors of the plan `file` with content `text`. Spans are cut to the text.
    #[must_use]
    pub fn new(file: &Path, text: &str, mut list: Vec<Diagnostic>) -> Self {
        for one in &mut list {
            one.span = fit(text, &one.span);
        }
        list.sort_by_key(|d| (d.span.start, d.span.end));
        Self { file: file.to_path_buf(), text: text.to_string(), list }
    }

    /// The errors.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// Every error with `file:line:column`, the line itself and what was expected.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let path = self.file.display().to_string();
        let mut out = String::new();
        for one in &self.list {
            let annotation = AnnotationKind::Primary.span(one.span.clone()).label(one.label.as_str());
            let snippet = Snippet::source(self.text.as_str()).path(path.as_str()).annotation(annotation);
            let mut group = Level::ERROR.primary_title(one.message.as_str()).element(snippet);
            if let Some(help) = &one.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        let count = self.list.len();
        out.push_str(&format!(
            "{path}: {count} error{}; nothing was read or written",
            if count == 1 { "" } else { "s" }
        ));
        out
    }
}

/// The nearest span inside `text` whose ends are at character boundaries.
fn fit(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
