//! The files that give names numbers: NixOS's maps, passwd and group. A damaged one is not used at
//! all.

use crate::base::crash_damage::CrashDamage;
use std::collections::BTreeMap;

/// Names of one file.
pub(crate) type IdNames = BTreeMap<String, u32>;

/// One JSON object `{"name": id}`, as update-users-groups.pl writes it.
pub(crate) fn parse_map(bytes: &[u8]) -> Result<IdNames, String> {
    let lost = "its content is lost, and NixOS activation would fail on it: restore it from the running machine";
    refuse_crash_damage(bytes, lost)?;
    let pairs: Pairs =
        serde_json::from_slice(bytes).map_err(|e| format!("is not a map of names to numbers ({e}): {lost}"))?;
    let mut names = IdNames::new();
    let mut seen = BTreeMap::new();
    for (name, id) in pairs.0 {
        check_id(&name, id)?;
        if let Some(other) = seen.insert(id, name.clone()) {
            return Err(format!("gives the number {id} to both `{other}` and `{name}`: fix it by hand"));
        }
        if names.insert(name.clone(), id).is_some() {
            return Err(format!("has `{name}` twice: fix it by hand"));
        }
    }
    Ok(names)
}

/// Refuses a file that a crash has emptied.
fn refuse_crash_damage(bytes: &[u8], advice: &str) -> Result<(), String> {
    CrashDamage::of(bytes).map_or(Ok(()), |blank| Err(format!("{}: {advice}", blank.words())))
}

/// The largest number means "leave it" to chown(2).
fn check_id(name: &str, id: u32) -> Result<(), String> {
    if id == u32::MAX {
        Err(format!("gives `{name}` the number {id}, which is not an id: fix it by hand"))
    } else {
        Ok(())
    }
}

/// A JSON object as a list, so that a repeated name is seen.
struct Pairs(Vec<(String, u32)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;
        impl<'de> serde::de::Visitor<'de> for NamesVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of names and ids")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(NamesVisitor)
    }
}

/// passwd(5) or group(5): the name is the first field, the number the third, which must not be the
/// last: a line that was cut off inside its number must not give another one.
pub(crate) fn parse_table(bytes: &[u8]) -> Result<IdNames, String> {
    refuse_crash_damage(bytes, "restore it from the running machine")?;
    let mut names = IdNames::new();
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        // Comments, and the NIS lines that include other databases.
        if line.is_empty() || line.starts_with(['#', '+', '-']) {
            continue;
        }
        let mut fields = line.split(':');
        let (name, id) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok()));
        match (name, id, fields.next()) {
            (Some(name), Some(id), Some(_)) if !name.is_empty() => {
                check_id(name, id)?;
                names.entry(name.to_string()).or_insert(id);
            }
            _ => return Err(format!("has a damaged line {}: fix it by hand", number + 1)),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_map;
    use proptest::prelude::*;
    use proptest::sample::Index;

    #[test]
    fn maps_as_nixos_writes_them() {
        let names = parse_map(br#"{"colord":997,"sinh":1000}"#).expect("a good map");
        assert_eq!(names.get("colord"), Some(&997));
    }

    #[test]
    fn damaged_maps_say_how() {
        for (bytes, word) in [
            (&b""[..], "empty"),
            (&[0; 100][..], "zeros"),
            (br#"{"a":1"#, "not a map"),
            (br#"["a"]"#, "not a map"),
            (br#"{"a":-1}"#, "not a map"),
            (br#"{"a":1,"b":1}"#, "both `a` and `b`"),
            (br#"{"a":1,"a":2}"#, "twice"),
            (br#"{"a":4294967295}"#, "not an id"),
        ] {
            let error = parse_map(bytes).expect_err("damaged");
            assert!(error.contains(word), "{error} should say {word}");
        }
    }

    #[test]
    fn passwd_lines() {
        let names = parse_table(b"# c\nroot:x:0:0::/root:/bin/sh\n+::::\n\nsinh:x:1000:100::/home/sinh:\n");
        assert_eq!(names.expect("good").get("sinh"), Some(&1000));
        assert!(parse_table(b"root:x:zero:0\n").expect_err("bad").contains("line 1"));
        for (bytes, word) in
            [(&b""[..], "empty"), (&[0; 64], "zeros"), (b"sinh:x:10", "line 1"), (b"a:x:4294967295:", "not an id")]
        {
            let error = parse_table(bytes).expect_err("damaged");
            assert!(error.contains(word), "{error} should say {word}");
        }
    }

    /// Usual names, and hostile ones.
    fn names() -> impl Strategy<Value = IdNames> {
        let name = prop_oneof!["[a-z_][a-z0-9_-]{0,14}", "[^\\pC\\pZ:\"\\\\]{1,9}"];
        btree_map(name, 0..u32::MAX, 1..20)
    }

    /// Each number once: a map that gives one twice is damaged.
    fn distinct() -> impl Strategy<Value = IdNames> {
        names().prop_map(|names| {
            let by_id: BTreeMap<u32, String> = names.into_iter().map(|(name, id)| (id, name)).collect();
            by_id.into_iter().map(|(id, name)| (name, id)).collect()
        })
    }

    proptest! {
        #[test]
        fn parsers_never_panic(bytes: Vec<u8>, text in "[a-z0-9:{}\",\\n+#-]*") {
            for bytes in [&bytes, text.as_bytes()] {
                for parse in [parse_map, parse_table] {
                    prop_assert!(parse(bytes).map_or(true, |names| names.values().all(|id| *id != u32::MAX)));
                }
            }
        }

        #[test]
        fn a_good_map_gives_exactly_its_pairs(names in distinct()) {
            prop_assert_eq!(parse_map(serde_json::json!(names).to_string().as_bytes()), Ok(names));
        }

        #[test]
        fn a_map_that_lost_its_end_or_a_part_is_an_error(names in distinct(), at: Index, length in 1_usize..50) {
            let mut bytes = serde_json::json!(names).to_string().into_bytes();
            let at = at.index(bytes.len());
            prop_assert!(parse_map(&bytes[..at]).is_err());
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(0);
            prop_assert!(parse_map(&bytes).is_err());
        }

        #[test]
        fn a_good_table_gives_exactly_its_pairs(names in names(), passwd: bool) {
            // A `+` or `-` in front includes another database, a `#` is a comment.
            let names: IdNames = names.into_iter().filter(|(name, _)| !name.starts_with(['+', '-', '#'])).collect();
            let rest = if passwd { ":100::/home:/bin/sh" } else { ":a,b" };
            let text: String = names.iter().map(|(name, id)| format!("{name}:x:{id}{rest}\n")).collect();
            prop_assert_eq!(parse_table(format!("#\n{text}").as_bytes()), Ok(names));
        }

        #[test]
        fn a_table_that_lost_its_end_gives_no_wrong_number(names in names(), at: Index) {
            let text: String = names.iter().map(|(name, id)| format!("{name}:x:{id}:\n")).collect();
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            if let Ok(found) = parse_table(&bytes[..at]) {
                prop_assert!(found.iter().all(|(name, id)| names.get(name) == Some(id)), "{:?}", found);
            }
            // From the middle of a line on, nothing but zeros.
            bytes[at..].fill(0);
            prop_assert!(parse_table(&bytes).is_err());
        }
    }
}
