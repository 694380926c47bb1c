//! Patterns of gitignore(5) as filter rules of rsync(1).
//!
//! In gitignore the last match counts, in rsync the first: so the rules are in reverse order. A pattern
//! with a slash is anchored in gitignore; in rsync only if it begins with the slash.

/// The rules for `patterns`, and the patterns that rsync cannot express.
pub(super) fn rules(patterns: &[String]) -> (Vec<String>, Vec<&str>) {
    let mut rules = Vec::new();
    let mut foreign = Vec::new();
    for pattern in patterns.iter().rev() {
        let pattern = pattern.as_str();
        let (sign, body) = match pattern.strip_prefix('!') {
            Some(body) => ('+', body),
            None => ('-', pattern),
        };
        // Braces and escapes exist only in the plan; a trailing space counts only for rsync.
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
        // It matches any number of directories, including none.
        Some((head, tail)) => vec![format!("{head}/{tail}"), anchored.clone()],
        None => vec![anchored],
    }
}

#[cfg(test)]
#[path = "../../../tests/kit/skip.rs"]
mod skip;

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

    const FILES: [&str; 13] = [
        "a/b/x",
        "a/b/y.log",
        "a/x",
        "b/x",
        "cache/z",
        "d/cache/z",
        "keep.log",
        "k.log",
        "a/c/b/x",
        "a/c/d/b/x",
        "x/a/b/q",
        "cache.d/z",
        "d/cache.d",
    ];

    /// What gitignore's rules leave of `FILES`; nothing below an excluded directory comes back.
    fn kept(patterns: &[String]) -> Vec<String> {
        let mut builder = ignore::gitignore::GitignoreBuilder::new("");
        for pattern in patterns {
            builder.add_line(None, pattern).expect("a pattern");
        }
        let built = builder.build().expect("patterns");
        let left_out = |file: &str| {
            let dirs = file.match_indices('/').map(|(at, _)| (&file[..at], true));
            dirs.chain([(file, false)]).any(|(path, is_dir)| built.matched(path, is_dir).is_ignore())
        };
        FILES.iter().filter(|file| !left_out(file)).map(|file| file.to_string()).collect()
    }

    #[test]
    fn rsync_itself_agrees_with_gitignore() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (from, to) = (scratch.path().join("from/"), scratch.path().join("to/"));
        for file in FILES {
            let path = from.join(file);
            std::fs::DirBuilder::new().recursive(true).create(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        for set in [
            &["a/b"][..],
            &["/a/b"],
            &["a/**/b"],
            &["**/b"],
            &["**/a/b"],
            &["a/**"],
            &["a/*"],
            &["cache/"],
            &["cache*"],
            &["*.log", "!keep.log"],
            &["a/*", "!a/b"],
            &["/d/cache*"],
            &["a/?/b/"],
            &["[ab]/x"],
            &["x"],
            &["d/cache.d/"],
        ] {
            let patterns: Vec<String> = set.iter().map(|p| p.to_string()).collect();
            let filters = rules(&patterns).0.into_iter().map(|rule| format!("--filter={rule}"));
            let mut rsync = std::process::Command::new("rsync");
            rsync.args(["-rn", "--out-format=%n"]).args(filters).arg(&from).arg(&to);
            let Ok(out) = rsync.output() else { return skip::skip("the program rsync") };
            let listed = String::from_utf8_lossy(&out.stdout).into_owned();
            let mut found: Vec<&str> = listed.lines().filter(|line| !line.ends_with('/')).collect();
            let mut wanted = kept(&patterns);
            wanted.sort();
            found.sort_unstable();
            assert_eq!(found, wanted, "{set:?}: {}", String::from_utf8_lossy(&out.stderr));
        }
    }

    #[test]
    fn what_rsync_cannot_say_is_named() {
        let patterns = ["{a,b}".to_string(), "ok".to_string(), "\\#x".to_string()];
        assert_eq!(rules(&patterns).1, ["{a,b}", "\\#x"]);
    }
}
