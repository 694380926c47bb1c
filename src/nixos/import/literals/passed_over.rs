//! What tells of persistence where the walk did not go.

use super::evaluate::Evaluator;
use super::finder::Found;
use super::value::Segment;
use crate::nixos::import::note::ImportNote;
use rnix::ast;
use rowan::ast::AstNode;

/// Names that only the supported options have.
const TELLING: [&str; 3] = ["persistence", "preserveAt", "hostKeys"];

/// Notes each attribute with an option's name that was neither read nor noted, in every file.
pub(super) fn look(evaluator: &Evaluator<'_>, found: &mut Found) {
    for file in evaluator.files.all() {
        let Some(top) = file.term() else { continue };
        for node in file.root.syntax().descendants() {
            let Some(pair) = ast::AttrpathValue::cast(node) else { continue };
            let range = pair.syntax().text_range();
            let names: Vec<Segment> = match pair.attrpath() {
                Some(path) => path.attrs().map(|attr| evaluator.segment(&attr, &top.scope)).collect(),
                None => continue,
            };
            let telling = names.iter().any(|name| TELLING.iter().any(|telling| name.is(telling)));
            let settled = found
                .settled
                .iter()
                .any(|(shown, settled)| *shown == file.source.shown && settled.contains_range(range));
            if telling && !settled {
                found.settled.push((file.source.shown.clone(), range));
                let note: ImportNote = file.source.unread(range, &super::finder::shown(&names));
                found.notes.push(note);
            }
        }
    }
}
