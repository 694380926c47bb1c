//! Words and command lines fit to be pasted into a shell.

/// The command that runs the same job again; `--restart` is left out, because it
/// would throw away what is done.
#[must_use]
pub fn this_command() -> String {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    words.filter(|word| word != "--restart").map(|word| quote(&word)).collect::<Vec<_>>().join(" ")
}

/// One word of a command. Bytes that are not plain text are written as bash and zsh
/// read them: `$'…'`.
#[must_use]
pub fn word(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => quote(text),
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

/// The same for a script that any POSIX shell runs: always in quotes; what is not UTF-8 is
/// written in octal, so that the whole stays text.
pub(crate) fn posix_word(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        if !chunk.valid().is_empty() {
            out.push_str(&format!("'{}'", chunk.valid().replace('\'', "'\\''")));
        }
        if !chunk.invalid().is_empty() {
            let octal: String = chunk.invalid().iter().map(|byte| format!("\\{byte:03o}")).collect();
            out.push_str(&format!("\"$(printf '{octal}')\""));
        }
    }
    if out.is_empty() { "''".into() } else { out }
}

#[cfg(test)]
mod tests {
    use super::{posix_word, quote, word};

    #[test]
    fn a_shell_reads_any_bytes_back() {
        for bytes in [b"".as_slice(), b"a b", b"it's", b"$x`y`\\\n", b"\xff", b"a\xfe'\xffb\n", b"-n", b"caf\xc3\xa9"] {
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
        let bytes = b"\xff\n'a\\ b";
        assert_eq!(word(b"/plain"), "/plain");
        assert_eq!(word(b"a b"), "'a b'");
        let out = std::process::Command::new("bash").arg("-c").arg(format!("printf %s {}", word(bytes))).output();
        assert_eq!(out.expect("bash").stdout, bytes);
    }
}
