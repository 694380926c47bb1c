//! From TOML text to a [`Plan`]: every key of the format, each checked.

use super::diagnostic::{Diagnostic, Diagnostics};
use super::draft::{EntryDraft, FixupDraft, Parents, Plan, TargetDraft};
use super::value::{Errors, Value};
use super::{conflicts, expand, spelling};
use crate::base::path::RelPath;
use crate::engine::mapping::model::{EntryKind, Mapping, Need};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// The version of the format that this program reads.
const VERSION: i64 = 1;

impl Plan {
    /// Reads and checks the plan in `file`.
    pub fn read(file: &Path) -> Result<Self, Diagnostics> {
        let refuse = |why: String| {
            Diagnostics::new(file, "", vec![Diagnostic::new(0..0, format!("cannot read the plan: {why}"), "")])
        };
        let bytes = std::fs::read(file).map_err(|e| refuse(e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|e| refuse(format!("it is not UTF-8: {}", e.utf8_error())))?;
        Self::parse(file, &text)
    }

    /// Checks the plan `text`; `file` names it and anchors relative paths.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Diagnostics> {
        let (table, syntax) = DeTable::parse_recoverable(text);
        let mut errors = Errors::default();
        for error in &syntax {
            errors.add(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()), "");
        }
        let plan = plan(file, text, table.get_ref(), &mut errors);
        conflicts::of_plan(&plan, &mut errors);
        if errors.0.is_empty() { Ok(plan) } else { Err(Diagnostics::new(file, text, errors.0)) }
    }
}

fn plan(file: &Path, text: &str, table: &DeTable<'_>, errors: &mut Errors) -> Plan {
    const KEYS: [&str; 8] = ["version", "name", "source", "root", "ids", "target", "map", "fixup"];
    errors.unknown_keys(table, "the plan", &KEYS);
    version(table.get("version"), errors);
    let name = match table.get("name").map(|v| (v, errors.string(v, "name"))) {
        Some((value, Some(name))) => check_name(name, value.span(), errors),
        Some((_, None)) => String::new(),
        None => {
            let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            check_name(&spelling::name(&stem), 0..0, errors)
        }
    };
    let base = file.parent().unwrap_or(Path::new(""));
    let source = table.get("source").and_then(|v| directory(v, "source", errors)).map(|s| base.join(s));
    let root = match table.get("root").map(|v| (v, directory(v, "root", errors))) {
        Some((_, Some(root))) if root.is_absolute() => root,
        Some((value, Some(_))) => {
            errors.add(value.span(), "`root` must be an absolute path", "it is relative");
            PathBuf::from("/")
        }
        _ => PathBuf::from("/"),
    };
    let (users, groups) = ids(table.get("ids"), errors);
    let mut targets = Vec::new();
    for value in tables(table.get("target"), "target", errors) {
        targets.extend(target(value, errors));
    }
    for value in tables(table.get("map"), "map", errors) {
        targets.extend(map(value, errors));
    }
    nest(&mut targets);
    let mut fixups = Vec::new();
    for value in tables(table.get("fixup"), "fixup", errors) {
        fixups.extend(fixup(value, errors));
    }
    if targets.is_empty() && errors.0.is_empty() {
        errors.add(0..0, "the plan copies nothing", "expected at least one [[target]] or [[map]]");
    }
    Plan { file: file.to_path_buf(), text: text.to_string(), name, source, root, users, groups, targets, fixups }
}

/// A storage inside a mapped tree, such as /nix/persist beside a map of /nix, is filled by its own entries
/// alone.
fn nest(targets: &mut [TargetDraft]) {
    let places: Vec<(RelPath, RelPath)> = targets.iter().map(|t| (t.from.clone(), t.to.clone())).collect();
    let maps = targets.iter_mut().filter(|target| target.entries.iter().any(|entry| entry.kind == EntryKind::Tree));
    for map in maps {
        for (from, to) in &places {
            let below = to.strip_prefix(&map.to).filter(|below| !below.is_root());
            if below.is_some_and(|below| map.from.join_path(&below) != *from) && !map.inner.contains(to) {
                map.inner.push(to.clone());
            }
        }
    }
}

fn version(value: Option<&Value<'_>>, errors: &mut Errors) {
    let Some(value) = value else {
        errors.add(0..0, "the plan has no version", "expected `version = 1` at the top");
        return;
    };
    match value.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok()) {
        Some(VERSION) => {}
        Some(newer) if newer > VERSION => {
            errors.add(value.span(), "the plan is written for a newer persistcp", "this one reads version 1");
        }
        _ => errors.add(value.span(), "not a version of the plan format", "expected 1"),
    }
}

/// The name becomes a file name, so only characters that need no quoting are allowed.
fn check_name(name: &str, span: Range<usize>, errors: &mut Errors) -> String {
    if !Mapping::is_name(name) {
        errors.add(
            span,
            format!("`{}` cannot name the state", crate::base::path::escape(name.as_bytes())),
            "expected up to 100 letters, digits, dots, dashes and underscores, no leading dot",
        );
    }
    name.to_string()
}

fn directory(value: &Value<'_>, key: &str, errors: &mut Errors) -> Option<PathBuf> {
    let text = errors.string(value, key)?;
    if text.is_empty() || text.contains('\0') {
        errors.add(value.span(), format!("`{key}` is not a path"), "expected a directory");
        return None;
    }
    Some(PathBuf::from(text))
}

fn ids(value: Option<&Value<'_>>, errors: &mut Errors) -> (BTreeMap<String, u32>, BTreeMap<String, u32>) {
    let mut both = [BTreeMap::new(), BTreeMap::new()];
    if let Some(table) = value.and_then(|v| errors.table(v, "ids")) {
        errors.unknown_keys(table, "[ids]", &["users", "groups"]);
        for (map, key) in both.iter_mut().zip(["users", "groups"]) {
            let Some(names) = table.get(key).and_then(|v| errors.table(v, key)) else { continue };
            for (name, value) in names {
                if let Some(id) = errors.id_number(value, name.get_ref()) {
                    map.insert(name.get_ref().to_string(), id);
                }
            }
        }
    }
    both.into()
}

fn tables<'t, 'i>(value: Option<&'t Value<'i>>, key: &str, errors: &mut Errors) -> Vec<&'t Value<'i>> {
    value.map(|v| errors.array(v, key)).unwrap_or_default()
}

fn target(value: &Value<'_>, errors: &mut Errors) -> Option<TargetDraft> {
    const KEYS: [&str; 8] = ["name", "from", "to", "parents", "need", "directories", "files", "exclude"];
    let table = errors.table(value, "target")?;
    errors.unknown_keys(table, "[[target]]", &KEYS);
    // Everything is checked before the first `?`, so that all errors are reported.
    let common = common(table, value.span(), "[[target]]", errors);
    let need = common.as_ref().map_or(Need::Required, |c| c.need);
    let parents = table.get("parents").and_then(|v| parents(v, errors));
    let mut entries = Vec::new();
    for (key, kind) in [("directories", EntryKind::Directory), ("files", EntryKind::File)] {
        for value in tables(table.get(key), key, errors) {
            entries.extend(entry(value, key, kind, need, errors));
        }
    }
    if !table.contains_key("directories") && !table.contains_key("files") {
        errors.add(value.span(), "a target without entries", "expected `directories` or `files`");
    }
    Some(TargetDraft { parents, entries, ..common? })
}

fn map(value: &Value<'_>, errors: &mut Errors) -> Option<TargetDraft> {
    let table = errors.table(value, "map")?;
    errors.unknown_keys(table, "[[map]]", &["name", "from", "to", "need", "exclude", "follow"]);
    if table.get("from").is_none() {
        errors.add(value.span(), "a map needs `from`", "expected `from = \"/…\"`");
    }
    let common = common(table, value.span(), "[[map]]", errors)?;
    let entry = EntryDraft {
        span: common.span.clone(),
        path: RelPath::root(),
        is_glob: false,
        kind: EntryKind::Tree,
        owner: None,
        group: None,
        mode: None,
        need: common.need,
        follow: table.get("follow").and_then(|v| errors.bool(v, "follow")),
    };
    Some(TargetDraft { entries: vec![entry], ..common })
}

/// What a target and a map share; without a `to` nothing more can be checked.
fn common(table: &DeTable<'_>, span: Range<usize>, place: &str, errors: &mut Errors) -> Option<TargetDraft> {
    let from = table.get("from").map_or_else(|| Some(RelPath::root()), |v| errors.path(v, "from"));
    let to = match table.get("to") {
        Some(value) => errors.absolute(value, "to"),
        None => {
            errors.add(span.clone(), format!("{place} has no `to`"), "expected `to = \"/…\"`");
            None
        }
    };
    let need = table.get("need").map_or(Some(Need::Required), |v| errors.need(v, "need"));
    let mut exclude = Vec::new();
    for value in tables(table.get("exclude"), "exclude", errors) {
        let Some(pattern) = errors.string(value, "exclude") else { continue };
        if let Err(error) = ignore::gitignore::GitignoreBuilder::new("/").add_line(None, pattern) {
            errors.add(value.span(), format!("not a pattern: {error}"), "expected gitignore syntax");
        }
        exclude.push(pattern.to_string());
    }
    let name = table.get("name").and_then(|v| errors.string(v, "name").map(|name| (v, name.to_string())));
    if let Some((value, _)) = name.as_ref().filter(|(_, name)| name.contains(crate::base::path::is_unprintable)) {
        errors.add(value.span(), "a name of printable characters is needed", "reports show it on a terminal");
    }
    let name = name.map(|(_, name)| name);
    let (from, to, need) = (from?, to?, need?);
    let name = name.unwrap_or_else(|| to.to_string());
    Some(TargetDraft { span, name, from, to, need, parents: None, exclude, inner: Vec::new(), entries: Vec::new() })
}

fn parents(value: &Value<'_>, errors: &mut Errors) -> Option<Parents> {
    let table = errors.table(value, "parents")?;
    errors.unknown_keys(table, "`parents`", &["owner", "group", "mode"]);
    Some(Parents {
        owner: table.get("owner").and_then(|v| errors.id_ref(v, "owner")),
        group: table.get("group").and_then(|v| errors.id_ref(v, "group")),
        mode: table.get("mode").and_then(|v| errors.new_mode(v, "mode")),
    })
}

fn entry(value: &Value<'_>, key: &str, kind: EntryKind, need: Need, errors: &mut Errors) -> Option<EntryDraft> {
    let mut draft = EntryDraft {
        span: value.span(),
        path: RelPath::root(),
        is_glob: false,
        kind,
        owner: None,
        group: None,
        mode: None,
        need,
        follow: None,
    };
    let path = if let DeValue::Table(table) = value.get_ref() {
        errors.unknown_keys(
            table,
            &format!("an entry of `{key}`"),
            &["path", "owner", "group", "mode", "need", "follow"],
        );
        draft.owner = table.get("owner").and_then(|v| errors.id_ref(v, "owner"));
        draft.group = table.get("group").and_then(|v| errors.id_ref(v, "group"));
        draft.mode = table.get("mode").and_then(|v| errors.mode(v, "mode"));
        draft.follow = table.get("follow").and_then(|v| errors.bool(v, "follow"));
        draft.need = table.get("need").map_or(Some(need), |v| errors.need(v, "need"))?;
        match table.get("path") {
            Some(path) => path,
            None => {
                errors.add(value.span(), format!("an entry of `{key}` has no `path`"), "expected `path = \"…\"`");
                return None;
            }
        }
    } else {
        value
    };
    draft.span = path.span();
    draft.path = errors.path(path, key)?;
    if draft.path.is_root() {
        errors.add(path.span(), "an entry cannot be the whole of `from`", "use a [[map]] for a whole tree");
        return None;
    }
    let pattern = String::from_utf8_lossy(draft.path.as_bytes()).into_owned();
    if let Err(error) = globset::Glob::new(&pattern) {
        errors.add(path.span(), format!("not a glob: {error}"), "");
        return None;
    }
    draft.is_glob = expand::is_glob(&draft.path);
    if let Some(literal) = spelling::meant(&pattern).filter(|_| draft.is_glob) {
        // It can match nothing else, so it is that name, even if the backup does not have it.
        draft.path = RelPath::new(literal.as_bytes()).unwrap_or(draft.path);
        draft.is_glob = false;
    }
    Some(draft)
}

fn fixup(value: &Value<'_>, errors: &mut Errors) -> Option<FixupDraft> {
    const KEYS: [&str; 7] = ["path", "owner", "group", "mode", "recursive", "dir-mode", "file-mode"];
    let table = errors.table(value, "fixup")?;
    errors.unknown_keys(table, "[[fixup]]", &KEYS);
    let span = value.span();
    let path = match table.get("path") {
        Some(value) => errors.absolute(value, "path"),
        None => {
            errors.add(span.clone(), "a fixup has no `path`", "expected `path = \"/…\"`");
            None
        }
    };
    let mut mode = |key: &str| table.get(key).and_then(|v| errors.mode(v, key));
    let (own_mode, dir_mode, file_mode) = (mode("mode"), mode("dir-mode"), mode("file-mode"));
    let owner = table.get("owner").and_then(|v| errors.id_ref(v, "owner"));
    let group = table.get("group").and_then(|v| errors.id_ref(v, "group"));
    let recursive = table.get("recursive").and_then(|v| errors.bool(v, "recursive")).unwrap_or(false);
    if !recursive && (table.contains_key("dir-mode") || table.contains_key("file-mode")) {
        errors.add(span.clone(), "`dir-mode` and `file-mode` need `recursive = true`", "");
    }
    if !["owner", "group", "mode", "dir-mode", "file-mode"].iter().any(|k| table.contains_key(*k)) {
        errors.add(span.clone(), "a fixup that changes nothing", "expected owner, group or mode");
    }
    Some(FixupDraft { path: path?, owner, group, mode: own_mode, recursive, dir_mode, file_mode })
}
