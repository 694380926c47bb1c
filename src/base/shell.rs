//! Words and command lines that can be pasted into a shell.

use super::path::is_unprintable;

/// One word of a command. Bytes that are not plain text, or that a terminal does not show as
/// themselves, are written for bash and zsh: `$'…'`.
#[must_use]
pub fn word(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(is_unprintable) => quote(text),
        _ => {
            let escaped: String = bytes
                .iter()
                .map(|b| match b {
                    b'\\' | b'\'' => format!("\\{}", char::from(*b)),
                    0x20..=0x7e => char::from(*b).to_string(),
                    _ => format!("\\x{b:02x}"),
                })
                .collect();
            format!("$'{escaped}'")
        }
    }
}

/// One word as a shell reads it back.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The same for a script for any POSIX shell: always in quotes; anything that is not printable UTF-8 is
/// written in octal, so that the whole is text that shows what it does.
pub(crate) fn posix_word(bytes: &[u8]) -> String {
    let mut out = String::new();
    // A newline is kept as it is: a shell drops one at the end of a command's output.
    let coded = |c: char| is_unprintable(c) && c != '\n';
    for chunk in bytes.utf8_chunks() {
        for part in runs(chunk.valid(), coded) {
            if part.contains(coded) {
                out.push_str(&octal(part.as_bytes()));
            } else {
                out.push_str(&format!("'{}'", part.replace('\'', "'\\''")));
            }
        }
        if !chunk.invalid().is_empty() {
            out.push_str(&octal(chunk.invalid()));
        }
    }
    if out.is_empty() { "''".into() } else { out }
}

fn octal(bytes: &[u8]) -> String {
    let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("\"$(printf '{octal}')\"")
}

/// Splits `text` where the result of `is` changes.
fn runs(text: &str, is: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = is(rest.chars().next()?);
        let end = rest.find(|c| is(c) != first).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::{posix_word, quote, word};

    #[test]
    fn a_shell_reads_any_bytes_back() {
        let reordered = "a\u{202e}b'\u{2028}\n".as_bytes();
        for bytes in
            [b"".as_slice(), b"a b", b"it's", b"$x`y`\\\n", b"\xff", b"a\xfe'\xffb\n", b"-n", b"caf\xc3\xa9", reordered]
        {
            assert!(!posix_word(bytes).contains(['\u{202e}', '\u{2028}']));
            let script = format!("printf '%s.' {}", posix_word(bytes));
            let out = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
            assert_eq!(out.stdout, [bytes, b"."].concat(), "{script}");
        }
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quote("--plan"), "--plan");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), "'it'\\''s'");
    }

    #[test]
    fn bytes_survive_a_shell() {
        let bytes = b"\xff\n'a\\ b\xe2\x80\xaeb";
        assert_eq!(word(b"/plain"), "/plain");
        assert_eq!(word(b"a b"), "'a b'");
        assert_eq!(word("x\u{202e}".as_bytes()), "$'x\\xe2\\x80\\xae'");
        let out = std::process::Command::new("bash").arg("-c").arg(format!("printf %s {}", word(bytes))).output();
        assert_eq!(out.expect("bash").stdout, bytes);
    }
}
