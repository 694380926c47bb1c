//! Patterns of gitignore(5) as filter rules of rsync(1).
//!
//! In gitignore the last match counts, in rsync the first: the rules come in
//! reverse. A pattern with a slash is anchored in gitignore, and in rsync only
//! when the slash leads.

/// The rules for `patterns`, and the patterns that rsync cannot be told.
pub(super) fn rules(patterns: &[String]) -> (Vec<String>, Vec<&str>) {
    let mut rules = Vec::new();
    let mut foreign = Vec::new();
    for pattern in patterns.iter().rev() {
        let pattern = pattern.as_str();
        let (sign, body) = match pattern.strip_prefix('!') {
            Some(body) => ('+', body),
            None => ('-', pattern),
        };
        // Braces and escapes are the plan's own; a space at the end counts for rsync alone.
        if body.contains(['{', '}', '\\', '\n', '\r']) || body.ends_with(' ') {
            foreign.push(pattern);
        } else if !body.is_empty() && !pattern.starts_with('#') {
            rules.extend(forms(body).into_iter().map(|body| format!("{sign} {body}")));
        }
    }
    foreign.reverse();
    (rules, foreign)
}

/// The patterns that together match what `body` matches.
fn forms(body: &str) -> Vec<String> {
    let inner = body.strip_suffix('/').unwrap_or(body);
    if let Some(anywhere) = body.strip_prefix("**/") {
        return vec![anywhere.to_string()];
    }
    if !inner.contains('/') {
        return vec![body.to_string()];
    }
    let anchored = format!("/{}", body.trim_start_matches('/'));
    match anchored.split_once("/**/") {
        // It matches no directory as well as some.
        Some((head, tail)) => vec![format!("{head}/{tail}"), anchored.clone()],
        None => vec![anchored],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pattern_means_the_same_to_rsync() {
        let rules_of = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|p| p.to_string()).collect();
            rules(&patterns).0
        };
        assert_eq!(rules_of(&["*.sock"]), ["- *.sock"]);
        assert_eq!(rules_of(&["cache/"]), ["- cache/"]);
        assert_eq!(rules_of(&["a/b"]), ["- /a/b"]);
        assert_eq!(rules_of(&["/a"]), ["- /a"]);
        assert_eq!(rules_of(&["**/a/b"]), ["- a/b"]);
        assert_eq!(rules_of(&["a/**/b"]), ["- /a/b", "- /a/**/b"]);
        assert_eq!(rules_of(&["*.log", "!keep.log"]), ["+ keep.log", "- *.log"]);
        assert_eq!(rules_of(&["# a remark", ""]), [""; 0]);
    }

    #[test]
    fn what_rsync_cannot_say_is_named() {
        let patterns = ["{a,b}".to_string(), "ok".to_string(), "\\#x".to_string()];
        assert_eq!(rules(&patterns).1, ["{a,b}", "\\#x"]);
    }
}
