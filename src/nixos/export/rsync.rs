//! A POSIX shell script that copies what the plan declares with rsync(1): a file list and a run for
//! each area, then the plan's owners and modes.

use super::declared::{Area, DeclaredPlan};
use super::rsync_filter;
use super::text::{Export, ExportNote};
use crate::base::path::{RelPath, escape};
use crate::base::shell::posix_word as word;
use crate::engine::mapping::mode::Mode;
use crate::engine::mapping::model::{EntryKind, IdKind, Need};
use crate::plan::{FixupDraft, IdRef, IdValue};
use std::os::unix::ffi::OsStrExt;

/// The part before the areas. The source and the root can be given as arguments.
const HEAD: &str = r#"set -eu
umask 022
if [ $# -ge 1 ]; then SRC=$1; fi
if [ $# -ge 2 ]; then ROOT=$2; fi
if [ -z "$SRC" ]; then
  echo "the plan names no source: give it as the first argument" >&2
  exit 2
fi
case $SRC in /*) ;; *) SRC=$PWD/$SRC ;; esac
case $ROOT in /*) ;; *) ROOT=$PWD/$ROOT ;; esac
status=0
list=$(mktemp)
trap 'rm -f "$list"' EXIT

# add NEED PATH...: the paths of the current directory that the next copy takes.
add() {
  need=$1
  shift
  for path do
    if [ -e "./$path" ] || [ -L "./$path" ]; then
      printf './%s\0' "$path" >>"$list"
    else
      printf 'not in the source (%s): %s/%s\n' "$need" "$PWD" "$path" >&2
      case $need in required|critical) status=1 ;; esac
    fi
  done
}

# copy FROM TO RULE...: what the list names; the directory TO becomes like FROM.
copy() {
  from=$SRC/$1 to=$ROOT/$2
  shift 2
  mkdir -p "$to"
  chown --reference="$from" "$to"
  chmod --reference="$from" "$to"
  rsync -aHAXS --numeric-ids "$@" --from0 --files-from="$list" -r "$from/" "$to/" || status=1
  : >"$list"
}

# tree FROM TO RULE...: all of FROM.
tree() {
  from=$SRC/$1 to=$ROOT/$2
  shift 2
  mkdir -p "$(dirname "$to")"
  if [ -d "$from" ]; then from=$from/ to=$to/; fi
  rsync -aHAXS --numeric-ids "$@" "$from" "$to" || status=1
}

# fix PATH COMMAND...: runs the command on a path that was copied.
fix() {
  path=$ROOT/$1
  shift
  if [ -e "$path" ] || [ -L "$path" ]; then "$@" "$path" || status=1; fi
}
"#;

#[derive(Default)]
struct Script {
    text: String,
    notes: Vec<ExportNote>,
}

pub(super) fn write(declared: &DeclaredPlan<'_>) -> Export {
    let mut script = Script { notes: declared.notes.clone(), ..Script::default() };
    script.put("#!/bin/sh".into());
    script.put("# Made by `persistcp plan export --format rsync`".into());
    script.put(format!("# from the plan {}: change the plan, not this file.", declared.plan.name));
    script.put("# Run it as root: sh SCRIPT [SOURCE [ROOT]]".into());
    let source = declared.source.as_ref().map(|source| word(source.as_os_str().as_bytes())).unwrap_or_default();
    script.put(format!("SRC={source}"));
    script.put(format!("ROOT={}", word(declared.root.as_os_str().as_bytes())));
    script.text.push_str(HEAD);
    for area in &declared.areas {
        script.area(declared, area);
    }
    if !declared.plan.fixups.is_empty() {
        script.put("\n# fixups".into());
    }
    for fixup in &declared.plan.fixups {
        script.fixup(declared, fixup);
    }
    script.put("\nexit \"$status\"".into());
    Export::new(script.text, script.notes)
}

impl Script {
    fn put(&mut self, line: String) {
        self.text.push_str(&line);
        self.text.push('\n');
    }

    fn unsaid(&mut self, text: String) {
        self.put(format!("# not said: {}", escape(text.as_bytes())));
        self.notes.push(ExportNote::Unsaid(text));
    }

    fn area(&mut self, declared: &DeclaredPlan<'_>, area: &Area<'_>) {
        let draft = area.draft;
        self.put(format!("\n# {}: {} -> {}", escape(draft.name.as_bytes()), draft.from, draft.to));
        let patterns: Vec<String> = draft.exclude.iter().cloned().chain(draft.inner_patterns()).collect();
        let (rules, foreign) = rsync_filter::rules(&patterns);
        for pattern in foreign {
            self.unsaid(format!("{} leaves out `{pattern}`, which rsync cannot be told", draft.name));
        }
        let rules: String = rules.iter().map(|rule| format!(" --filter={}", word(rule.as_bytes()))).collect();
        let ends = format!("{} {}", word(draft.from.as_bytes()), word(draft.to.as_bytes()));
        if draft.entries.iter().any(|entry| entry.kind == EntryKind::Tree) {
            self.put(format!("tree {ends}{rules}"));
            return;
        }
        self.put(format!("if cd \"$SRC/\"{}; then", word(draft.from.as_bytes())));
        let mut last = None;
        for item in &area.items {
            let need = need(item.draft.need);
            match item.glob().map(|pattern| (pattern, shell_glob(pattern))) {
                // The shell expands it again, as the source may be a different one.
                Some((pattern, Some(glob))) if last != Some(pattern) => self.put(format!("add {need} {glob}")),
                Some((_, Some(_))) => {}
                Some((_, None)) | None => self.put(format!("add {need} {}", word(item.path.as_bytes()))),
            }
            last = item.glob();
        }
        for entry in &area.open {
            match shell_glob(&entry.path) {
                Some(glob) => self.put(format!("add {} {glob}", need(entry.need))),
                None if declared.has_backup() => {}
                None => self.unsaid(format!("{}: only the backup can expand it (--source)", entry.path)),
            }
        }
        self.put(format!("copy {ends}{rules}"));
        self.put("else".into());
        self.put("status=1".into());
        self.put("fi".into());
        for item in &area.items {
            let draft = item.draft;
            let commands = self.commands(declared, (draft.owner.as_ref(), draft.group.as_ref()), &item.stored, "-h ");
            let mode = draft.mode.as_ref().map(|mode| format!("chmod {mode}"));
            for command in commands.into_iter().chain(mode) {
                self.put(format!("fix {} {command}", word(item.stored.as_bytes())));
            }
        }
    }

    /// `chown`, with the numbers that the names have here.
    fn commands(
        &mut self,
        declared: &DeclaredPlan<'_>,
        (owner, group): (Option<&IdRef>, Option<&IdRef>),
        path: &RelPath,
        how: &str,
    ) -> Option<String> {
        let mut number = |kind, reference: Option<&IdRef>| match reference.map(|reference| &reference.value) {
            None => String::new(),
            Some(IdValue::Number(id)) => id.to_string(),
            Some(IdValue::Name(name)) => match declared.ids.find(declared.plan, kind, name) {
                Ok(id) => id.to_string(),
                Err(_) => {
                    let word = if kind == IdKind::User { "owner" } else { "group" };
                    self.unsaid(format!("the {word} {name} of {path}, a name without a number here: add it to [ids]"));
                    String::new()
                }
            },
        };
        let (user, group) = (number(IdKind::User, owner), number(IdKind::Group, group));
        match (user.is_empty(), group.is_empty()) {
            (true, true) => None,
            (false, true) => Some(format!("chown {how}{user}")),
            (_, false) => Some(format!("chown {how}{user}:{group}")),
        }
    }

    fn fixup(&mut self, declared: &DeclaredPlan<'_>, fixup: &FixupDraft) {
        let how = if fixup.recursive { "-hR " } else { "-h " };
        let chown = self.commands(declared, (fixup.owner.as_ref(), fixup.group.as_ref()), &fixup.path, how);
        let below = |mode: Option<&Mode>, kind: char| {
            mode.map(|mode| format!("sh -c 'find \"$1\" -mindepth 1 -type {kind} -exec chmod {mode} {{}} +' sh"))
        };
        let modes = [
            below(fixup.dir_mode.as_ref().filter(|_| fixup.recursive), 'd'),
            below(fixup.file_mode.as_ref().filter(|_| fixup.recursive), 'f'),
            fixup.mode.as_ref().map(|mode| format!("chmod {mode}")),
        ];
        for command in chown.into_iter().chain(modes.into_iter().flatten()) {
            self.put(format!("fix {} {command}", word(fixup.path.as_bytes())));
        }
    }
}

fn need(need: Need) -> &'static str {
    match need {
        Need::Optional => "optional",
        Need::Recommended => "recommended",
        Need::Required => "required",
        Need::Critical => "critical",
    }
}

/// The pattern for a shell to expand, if it means the same there: stars and question marks, each within
/// one name.
fn shell_glob(pattern: &RelPath) -> Option<String> {
    let bytes = pattern.as_bytes();
    if bytes.iter().any(|b| b"[]{}\\".contains(b)) || bytes.windows(2).any(|pair| pair == b"**") {
        return None;
    }
    let mut out = String::new();
    for part in bytes.chunk_by(|a, b| b"*?".contains(a) == b"*?".contains(b)) {
        match part.first() {
            Some(b'*' | b'?') => out.push_str(&String::from_utf8_lossy(part)),
            _ => out.push_str(&word(part)),
        }
    }
    Some(out)
}
