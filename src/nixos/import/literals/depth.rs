//! How deep a text nests, before anything recurses into it.

use rnix::SyntaxKind::{self, *};
use rnix::tokenize;

/// What the parser and the walk can take on a small stack. Modules that people write stay below 60.
const DEEPEST: usize = 250;

/// The line on which the text nests too deeply. It counts open brackets, and inside each of them the
/// operators, keywords and arguments that the parser puts into one another.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let mut open = vec![Level::default()];
    let mut line = 1;
    for (kind, token) in tokenize(text) {
        let starts = line;
        line += token.bytes().filter(|byte| *byte == b'\n').count();
        let ends =
            matches!(kind, TOKEN_R_BRACE | TOKEN_R_BRACK | TOKEN_R_PAREN | TOKEN_INTERPOL_END | TOKEN_STRING_END);
        if ends && open.len() > 1 {
            open.pop();
        }
        let Some(level) = open.last_mut() else { continue };
        match kind {
            TOKEN_L_BRACE | TOKEN_L_BRACK | TOKEN_L_PAREN | TOKEN_INTERPOL_START | TOKEN_STRING_START => {
                let siblings = matches!(kind, TOKEN_L_BRACK | TOKEN_STRING_START);
                open.push(Level { siblings, ..Level::default() });
            }
            TOKEN_SEMICOLON | TOKEN_COMMA => {
                (level.operators, level.arguments, level.inherits) = (0, 0, false);
            }
            TOKEN_INHERIT => level.inherits = true,
            // The semicolon of `with` does not end what is inside it.
            TOKEN_WITH | TOKEN_ASSERT | TOKEN_LET => level.keywords += 1,
            kind if nests(kind) => {
                level.operators += 1;
                level.arguments = 0;
            }
            kind if (ends || is_atom(kind)) && !level.siblings && !level.inherits => level.arguments += 1,
            _ => {}
        }
        if open.iter().map(Level::depth).sum::<usize>() > DEEPEST {
            return Some(starts);
        }
    }
    None
}

/// One open bracket.
#[derive(Default)]
struct Level {
    /// What follows one another here is not a function with its arguments.
    siblings: bool,
    inherits: bool,
    keywords: usize,
    operators: usize,
    arguments: usize,
}

impl Level {
    fn depth(&self) -> usize {
        1 + self.keywords + self.operators + self.arguments
    }
}

fn is_atom(kind: SyntaxKind) -> bool {
    matches!(kind, TOKEN_IDENT | TOKEN_INTEGER | TOKEN_FLOAT | TOKEN_PATH_ABS | TOKEN_PATH_REL | TOKEN_URI)
}

fn nests(kind: SyntaxKind) -> bool {
    matches!(
        kind,
        TOKEN_CONCAT
            | TOKEN_UPDATE
            | TOKEN_ADD
            | TOKEN_SUB
            | TOKEN_MUL
            | TOKEN_DIV
            | TOKEN_AND_AND
            | TOKEN_OR_OR
            | TOKEN_EQUAL
            | TOKEN_IMPLICATION
            | TOKEN_INVERT
            | TOKEN_COLON
            | TOKEN_IF
            | TOKEN_ELSE
            | TOKEN_PIPE_LEFT
            | TOKEN_PIPE_RIGHT
    )
}

#[cfg(test)]
mod tests {
    use super::too_deep;

    #[test]
    fn every_way_to_nest_is_bounded_and_the_parser_takes_what_is_left() {
        let ways = [
            ("[", "]"),
            ("(", ")"),
            ("{ a = ", "; }"),
            ("[ ] ++ ", ""),
            ("x // ", ""),
            ("1 + ", ""),
            ("a: ", ""),
            ("with a; ", ""),
            ("let a = 1; in ", ""),
            ("if a then 1 else ", ""),
            ("!", ""),
            ("f ", ""),
            ("\"${", "}\""),
        ];
        for (open, close) in ways {
            let text = |n: usize| format!("\n{}1{}", open.repeat(n), close.repeat(n));
            assert_eq!(too_deep(&text(20_000)), Some(2), "{open}");
            let most = (1..260).rev().map(text).find(|text| too_deep(text).is_none()).unwrap();
            assert!(most.len() > 80 * open.len(), "{open}: {most}");
            let parse = rnix::Root::parse(&most);
            assert!(parse.errors().is_empty(), "{open}: {:?}", parse.errors());
        }
    }

    #[test]
    fn what_stands_side_by_side_does_not_nest() {
        for text in [
            format!("[ {} ]", "\"/x\" ./y z\n".repeat(50_000)),
            format!("{{ {} }}", "a.b = { c = [ f ]; };\n".repeat(50_000)),
            format!("''{}''", "${a} b ${c}\n".repeat(50_000)),
            format!("let inherit (lib) {}; in 1", "a ".repeat(5_000)),
            format!("{{ {} ... }}: 1", "a ? 1, ".repeat(5_000)),
        ] {
            assert_eq!(too_deep(&text), None, "{}", &text[..40]);
        }
    }
}
