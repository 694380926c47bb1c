//! The temporary name beside an entry that is to be replaced.

use crate::base::path::Name;

/// The temporary name for `name` until its content is durable. It is derived from the name, so
/// the next attempt finds and removes what a crash left.
pub(crate) fn temporary_name(name: &Name) -> Name {
    let hash = blake3::hash(name.as_bytes()).to_hex();
    // 30 bytes of letters, digits, dots and dashes are always a valid name.
    Name::new(format!(".persistcp-{}.tmp", &hash[..16]).as_bytes()).unwrap_or_else(|_| name.clone())
}

/// True for a name that [`temporary_name`] may give.
pub(crate) fn is_temporary(name: &Name) -> bool {
    let hash = name.as_bytes().strip_prefix(b".persistcp-").and_then(|rest| rest.strip_suffix(b".tmp"));
    hash.is_some_and(|hash| hash.len() == 16 && hash.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_is_recognised_and_nothing_else_is() {
        let name = |text: &str| Name::new(text.as_bytes()).expect("valid");
        assert!(is_temporary(&temporary_name(&name("id_ed25519"))));
        assert!(!is_temporary(&name(".persistcp-0123456789abcdeF.tmp")));
        assert!(!is_temporary(&name(".persistcp-0123456789abcdef")));
        assert!(!is_temporary(&name(".persistcp")));
    }
}
