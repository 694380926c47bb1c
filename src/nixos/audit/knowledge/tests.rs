use super::{By, Knowledge, rules};
use crate::base::path::{Name, RelPath};
use crate::nixos::known_paths::{Sort, all};

fn say(path: &str) -> Option<(String, By)> {
    let knowledge = Knowledge::new(std::collections::BTreeMap::new(), &[]);
    let mut active = knowledge.start();
    let names: Vec<Name> = RelPath::new(path.as_bytes()).expect("a path").names().collect();
    let (last, above) = names.split_last().expect("a name");
    for name in above {
        active = knowledge.step(&active, name, true).below;
    }
    let matched = knowledge.step(&active, last, false).matched?;
    Some((knowledge.rule(matched.rule).at.to_string(), matched.by))
}

#[test]
fn the_narrowest_rule_wins() {
    let by = |path: &str| say(path).map(|(at, by)| format!("{at} {by:?}"));
    assert_eq!(by("/etc/shadow").as_deref(), Some("/etc/shadow Name"));
    assert_eq!(by("/etc/ssh/ssh_host_rsa_key").as_deref(), Some("/etc/ssh/ssh_host_* Glob"));
    assert_eq!(by("/etc/other").as_deref(), Some("/etc/* Anything"));
    assert_eq!(by("/home/a/.ssh").as_deref(), Some("~/.ssh Name"));
    assert_eq!(by("/root/.ssh").as_deref(), Some("~/.ssh Name"));
    assert_eq!(by("/home/a/.hidden").as_deref(), Some("~/.* Anything"));
    assert_eq!(by("/home/a/novel").as_deref(), Some("~/[!.]* Anything"));
    assert_eq!(by("/home/a/.config/kdeglobalrc").as_deref(), Some("~/.config/k*rc Glob"));
    assert_eq!(by("/a/b/c"), None);
}

#[test]
fn no_pattern_stands_in_the_table_twice() {
    let mut seen = std::collections::BTreeSet::new();
    for rule in rules() {
        assert!(seen.insert(rule.at.to_string()), "{} twice", rule.at);
        assert!(rule.at.starts_with(['/', '~']) || rule.at.starts_with("**/"), "{}", rule.at);
        assert!(!rule.why.contains('|') && !rule.why.ends_with('.'), "{}: {}", rule.at, rule.why);
    }
    for part in all().filter(|known| matches!(known.sort, Sort::Part(_))) {
        assert!(seen.insert(part.at.to_string()), "{} twice", part.at);
        assert!(part.advice.is_none(), "advice for {}, which is no rule", part.at);
    }
}
