//! From a [`Plan`] to a [`Mapping`]: globs become paths, names become numbers,
//! and each entry is looked for in the source.

use super::conflicts::Pair;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::draft::{EntryDraft, IdRef, IdValue, Plan, TargetDraft};
use super::follow::FoundEntry;
use super::ids::Ids;
use super::value::Errors;
use super::{around, conflicts, expand, follow, words};
use crate::base::path::RelPath;
use crate::engine::mapping::model::{Asked, Attrs, Entry, EntryKind, Fixup, IdKind, Mapping, Presence, Target};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, stat_fd};
use crate::sys::{Errno, errno_words, leads_nowhere};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What the command line overrides in the plan.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Another backup tree.
    pub source: Option<PathBuf>,
    /// Another root.
    pub root: Option<PathBuf>,
    /// Further patterns to leave out, for every target.
    pub exclude: Vec<String>,
}

/// How resolving uses the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backup {
    /// It must be there, and every entry is looked for in it.
    Needed,
    /// If it exists, it gives names numbers. The result has no entries: the journal knows them.
    IfThere,
    /// The same, and every entry is looked for below the root, where it should have arrived.
    Arrived,
}

/// Why a plan cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The plan is wrong, or does not fit these machines: exit status 2.
    #[error("{0}")]
    Plan(#[from] Diagnostics),
    /// A damaged id map: exit status 2.
    #[error("{0}")]
    IdMap(String),
    /// The source cannot be opened: exit status 3.
    #[error("the source {} cannot be opened: {}\n  mount the backup there, or name it with --source", path.display(), errno_words(*errno))]
    Source {
        /// The backup tree.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The root cannot be opened: exit status 3.
    #[error("the root {} cannot be opened: {}\n  mount the new system there, or name it with --root", path.display(), errno_words(*errno))]
    Root {
        /// The new system's root.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

struct Resolver<'p> {
    plan: &'p Plan,
    /// Where the entries are to be looked for.
    held: Option<OpenSide>,
    ids: Ids,
    errors: Errors,
    /// A name had to be looked up in a machine's files.
    used_files: bool,
}

/// A side on which entries are looked for.
struct OpenSide {
    root: Root,
    /// It is the target, not the backup.
    arrived: bool,
}

impl OpenSide {
    /// The directory of the entries of `target` on this side.
    fn base<'t>(&self, target: &'t TargetDraft) -> &'t RelPath {
        if self.arrived { &target.to } else { &target.from }
    }

    /// Looks for `entry`. On the target that is what the boot finds, following symlinks.
    fn find(&self, entry: &Entry, from: &RelPath) -> FoundEntry {
        if !self.arrived {
            return follow::look(&self.root, from, &entry.src, entry.kind, entry.follow);
        }
        let presence = presence(&self.root, &entry.dst, entry.kind);
        FoundEntry { presence, real: entry.dst.clone(), link: None, meant: None, out: None }
    }
}

impl Plan {
    /// Looks at the backup or the target, and reads the id maps.
    pub fn resolve(self, overrides: &Overrides, backup: Backup) -> Result<Mapping, ResolveError> {
        let refuse = |list| ResolveError::Plan(Diagnostics::new(&self.file, &self.text, list));
        let path = overrides.source.clone().or_else(|| self.source.clone());
        let root = overrides.root.clone().unwrap_or_else(|| self.root.clone());
        let source = match (&path, backup) {
            (None, Backup::Needed) => {
                let missing = Diagnostic::new(0..0, "the plan names no source", "expected `source = \"/…\"`");
                return Err(refuse(vec![missing.help("or name it with --source")]));
            }
            (Some(path), Backup::Needed) => {
                let opened = Root::open(path);
                Some(opened.map_err(|errno| ResolveError::Source { path: path.clone(), errno })?)
            }
            (path, Backup::IfThere | Backup::Arrived) => path.as_ref().and_then(|path| Root::open(path).ok()),
        };
        let path = path.unwrap_or_default();
        let ids = Ids::read(&self, source.as_ref().map(|source| (source, path.as_path())), &root);
        let held = match backup {
            Backup::Needed => source.map(|root| OpenSide { root, arrived: false }),
            Backup::IfThere => None,
            Backup::Arrived => {
                let opened = Root::open(&root).map_err(|errno| ResolveError::Root { path: root.clone(), errno })?;
                Some(OpenSide { root: opened, arrived: true })
            }
        };
        let mut resolver = Resolver { plan: &self, held, ids, errors: Errors::default(), used_files: false };
        let targets: Vec<Target> = self.targets.iter().map(|t| resolver.target(t, &overrides.exclude)).collect();
        let fixups = self.fixups.iter().map(|f| resolver.fixup(f)).collect();
        resolver.check_expanded(&targets);
        let Resolver { ids, errors, used_files, .. } = resolver;
        let damaged: Vec<String> = ids.damaged.iter().map(|damaged| damaged.words.clone()).collect();
        // A name that only the damaged file may contain would be reported as unknown: report the file first.
        if !damaged.is_empty() && used_files {
            return Err(ResolveError::IdMap(format!(
                "{}\n  or name every user and group of the plan in its [ids]; nothing was written",
                damaged.join("\n")
            )));
        }
        if !errors.0.is_empty() {
            return Err(refuse(errors.0));
        }
        let (drift, id_conflicts, renumbering) = ids.renumbering(&self);
        let asked = self.targets.iter().flat_map(|t| t.entries.iter().map(move |e| asked(t, e))).collect();
        Ok(Mapping {
            name: self.name,
            source: path,
            root,
            targets,
            fixups,
            drift,
            id_conflicts,
            renumbering,
            id_warnings: damaged,
            notes: ids.replaced,
            asked,
            state: None,
        })
    }
}

impl Resolver<'_> {
    fn id(&mut self, kind: IdKind, reference: &IdRef) -> Option<u32> {
        let name = match &reference.value {
            IdValue::Number(id) => return Some(*id),
            IdValue::Name(name) => name,
        };
        self.used_files |= !self.plan.ids(kind).contains_key(name);
        match self.ids.find(self.plan, kind, name) {
            Ok(id) => Some(id),
            Err(places) => {
                let word = kind.word();
                let help = format!("searched: {}; add it to [ids]", places.join(", "));
                self.errors.0.push(
                    Diagnostic::new(
                        reference.span.clone(),
                        format!("the {word} `{name}` has no number"),
                        "this name is in none of the places that give names numbers",
                    )
                    .help(help),
                );
                None
            }
        }
    }

    fn optional(&mut self, kind: IdKind, reference: Option<&IdRef>) -> Option<u32> {
        reference.and_then(|r| self.id(kind, r))
    }

    fn target(&mut self, draft: &TargetDraft, exclude: &[String]) -> Target {
        let parents = draft.parents.as_ref();
        let attrs = Attrs {
            uid: self.optional(IdKind::User, parents.and_then(|p| p.owner.as_ref())).unwrap_or(0),
            gid: self.optional(IdKind::Group, parents.and_then(|p| p.group.as_ref())).unwrap_or(0),
            mode: parents.and_then(|p| p.mode).unwrap_or(0o755),
        };
        let patterns: Vec<String> = draft.exclude.iter().chain(exclude).cloned().collect();
        let excluded = self.patterns(draft, &patterns);
        let mut entries = Vec::new();
        let literal: BTreeSet<&RelPath> = draft.entries.iter().filter(|e| !e.is_glob).map(|e| &e.path).collect();
        // Taken out, so that looking for an entry can report what is wrong with it.
        let lent = self.held.take();
        for (held, entry) in lent.iter().flat_map(|held| draft.entries.iter().map(move |entry| (held, entry))) {
            if !draft.inner.is_empty() {
                entries.extend(self.around(held, draft, entry));
                continue;
            }
            if !entry.is_glob {
                entries.push(self.entry(held, draft, entry, entry.path.clone()));
                continue;
            }
            match expand::expand(&held.root, held.base(draft), &entry.path) {
                Ok(found) if found.is_empty() => {
                    let mut absent = self.bare(draft, entry, entry.path.clone());
                    absent.presence = Presence::Absent;
                    entries.push(absent);
                }
                Ok(found) => {
                    for path in found.into_iter().filter(|path| !literal.contains(path)) {
                        entries.push(self.entry(held, draft, entry, path));
                    }
                }
                Err(errno) => {
                    let mut unreadable = self.bare(draft, entry, entry.path.clone());
                    unreadable.presence = Presence::Unreadable { errno };
                    entries.push(unreadable);
                }
            }
        }
        self.held = lent;
        entries.sort_by(|a, b| a.dst.cmp(&b.dst));
        Target {
            name: draft.name.clone(),
            from: draft.from.clone(),
            to: draft.to.clone(),
            is_map: draft.inner.is_empty() && draft.entries.iter().any(|entry| entry.kind == EntryKind::Tree),
            need: draft.need,
            parents: attrs,
            exclude: patterns,
            excluded,
            entries,
        }
    }

    /// A map with other targets' destinations inside it: an entry for each name around those.
    fn around(&mut self, held: &OpenSide, draft: &TargetDraft, map: &EntryDraft) -> Vec<Entry> {
        let inner: Vec<RelPath> = draft.inner.iter().filter_map(|inner| inner.strip_prefix(&draft.to)).collect();
        match around::names(&held.root, held.base(draft), &inner) {
            Ok(names) => {
                let each = names.into_iter().map(|beside| {
                    // Inside a tree a symlink is copied as one.
                    let follow = if beside.is_link { Some(false) } else { map.follow };
                    self.entry(held, draft, &EntryDraft { follow, ..map.clone() }, beside.path)
                });
                each.collect()
            }
            Err(errno) => {
                let mut whole = self.bare(draft, map, map.path.clone());
                let absent = leads_nowhere(errno);
                whole.presence = if absent { Presence::Absent } else { Presence::Unreadable { errno } };
                vec![whole]
            }
        }
    }

    fn patterns(&mut self, draft: &TargetDraft, patterns: &[String]) -> Gitignore {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            if let Err(error) = builder.add_line(None, pattern) {
                self.errors.add(draft.span.clone(), format!("--exclude {pattern}: {error}"), "");
            }
        }
        builder.build().unwrap_or_else(|error| {
            self.errors.add(draft.span.clone(), format!("patterns: {error}"), "");
            Gitignore::empty()
        })
    }

    fn bare(&self, target: &TargetDraft, draft: &EntryDraft, path: RelPath) -> Entry {
        let src = target.from.join_path(&path);
        Entry {
            real: src.clone(),
            src,
            link: None,
            follow: draft.follow,
            dst: target.to.join_path(&path),
            kind: draft.kind,
            need: draft.need,
            uid: None,
            gid: None,
            mode: draft.mode.clone(),
            presence: Presence::Present,
        }
    }

    fn entry(&mut self, held: &OpenSide, target: &TargetDraft, draft: &EntryDraft, path: RelPath) -> Entry {
        let mut entry = self.bare(target, draft, path);
        let mut found = held.find(&entry, &target.from);
        let leads_home = found.meant.as_ref() == Some(&entry.dst);
        found.link.iter_mut().for_each(|link| link.leads_home = leads_home);
        self.check_link(draft, &entry, &found);
        (entry.presence, entry.real, entry.link) = (found.presence, found.real, found.link);
        // An absent entry's owner need not be known: colord has no number if it never ran.
        if entry.presence != Presence::Absent {
            entry.uid = self.optional(IdKind::User, draft.owner.as_ref());
            entry.gid = self.optional(IdKind::Group, draft.group.as_ref());
        }
        entry
    }

    /// A symlink that the plan probably does not mean is not followed until the plan says so.
    fn check_link(&mut self, draft: &EntryDraft, entry: &Entry, found: &FoundEntry) {
        let Some(link) = &found.link else { return };
        let src = &entry.src;
        let mut refuse = |message: String, label: String, help: &str| {
            self.errors.0.push(Diagnostic::new(draft.span.clone(), message, label).help(help));
        };
        let words = words::link(link);
        if entry.follow == Some(false) && link.is_on_the_way {
            let help = "name the place itself, or say `follow = true`";
            return refuse(format!("{src} is reached only through a symlink"), format!("in the backup {words}"), help);
        }
        // What leads to its own place is not copied.
        if entry.follow.is_some() || link.leads_home {
            return;
        }
        if let Some(out) = &found.out {
            let help = "`follow = true` copies what is there, `follow = false` the link; or name the place itself";
            let message = format!("a symlink leads from {src} to {out}, which is not inside `from`");
            return refuse(message, format!("in the backup {words}"), help);
        }
        let own = draft.owner.is_some() || draft.group.is_some() || draft.mode.is_some();
        if link.followed && (own || self.plan.fixups.iter().any(|fixup| touches(fixup, &entry.dst))) {
            let help = "say `follow = true` if that is meant, or `follow = false` to copy the link";
            let message = format!("what the symlink {src} leads to would get its owner or mode from the plan");
            refuse(message, format!("in the backup {words}"), help);
        }
    }

    fn fixup(&mut self, draft: &super::draft::FixupDraft) -> Fixup {
        Fixup {
            path: draft.path.clone(),
            uid: self.optional(IdKind::User, draft.owner.as_ref()),
            gid: self.optional(IdKind::Group, draft.group.as_ref()),
            mode: draft.mode.clone(),
            recursive: draft.recursive,
            dir_mode: draft.dir_mode.clone(),
            file_mode: draft.file_mode.clone(),
        }
    }

    /// Globs can collide with other entries only now.
    fn check_expanded(&mut self, targets: &[Target]) {
        if self.held.is_none() || !self.plan.targets.iter().flat_map(|t| &t.entries).any(|e| e.is_glob) {
            return;
        }
        let pairs: Vec<Pair<'_>> = targets
            .iter()
            .zip(&self.plan.targets)
            .flat_map(|(t, draft)| {
                t.entries.iter().map(|e| Pair {
                    src: &e.src,
                    dst: &e.dst,
                    is_glob: false,
                    inner: &draft.inner,
                    span: draft.span.clone(),
                })
            })
            .collect();
        conflicts::of_pairs(&pairs, &mut self.errors);
    }
}

/// True when the fixup changes something at or below `dst`.
fn touches(fixup: &super::draft::FixupDraft, dst: &RelPath) -> bool {
    fixup.path.strip_prefix(dst).is_some() || fixup.recursive && dst.strip_prefix(&fixup.path).is_some()
}

fn asked(target: &TargetDraft, entry: &EntryDraft) -> Asked {
    let dst = target.to.join_path(&entry.path);
    let pattern = match entry.kind {
        EntryKind::Tree if !target.inner.is_empty() => around::matcher(&target.to, &target.inner),
        EntryKind::Tree => None,
        EntryKind::Directory | EntryKind::File => expand::matcher(&target.to, &entry.path),
    };
    Asked { target: target.name.clone(), src: target.from.join_path(&entry.path), dst, need: entry.need, pattern }
}

/// What the target has at `path`, following symlinks that stay inside it.
fn presence(root: &Root, path: &RelPath, kind: EntryKind) -> Presence {
    let found = match root.open_in(path, OFlags::PATH).and_then(stat_fd) {
        Ok(stat) => stat.kind,
        Err(errno) if leads_nowhere(errno) => {
            // A file entry may well mean a dangling link.
            let link = root.open_in(path, OFlags::PATH | OFlags::NOFOLLOW);
            if kind == EntryKind::Directory || link.is_err() {
                return Presence::Absent;
            }
            Kind::Symlink
        }
        Err(errno) => return Presence::Unreadable { errno },
    };
    match (kind, found) {
        (EntryKind::Directory, Kind::Directory) | (EntryKind::Tree, _) => Presence::Present,
        (EntryKind::File, Kind::Directory) | (EntryKind::Directory, _) => Presence::WrongKind { found: found.words() },
        (EntryKind::File, _) => Presence::Present,
    }
}
