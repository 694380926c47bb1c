//! Applies metadata to what was just written.
//!
//! The order matters: chown(2) clears set-user-ID bits and file capabilities, so
//! the owner comes first; setting attributes moves no times; an access ACL and
//! the mode widen, so they come last, the mode at the very end. Everything goes
//! through one descriptor: a name could mean another inode by then.

use super::acl::Acl;
use super::mark;
use super::wanted::Wanted;
use super::xattrs::ACL_ACCESS;
use crate::base::path::RelPath;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::{Disk, Unpreserved, UnpreservedSet};
use crate::sys::filesystem::space;
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, effective_ids, file, flags, xattr};

/// The result.
#[derive(Debug)]
pub struct Applied {
    /// Each attribute that could not be kept.
    pub problems: Vec<Problem>,
    /// What the file system as a whole cannot hold; each class is among the problems.
    pub lost: UnpreservedSet,
    /// Flags that its file system does not know: they are not expected later.
    pub given_up: Flags,
    /// The inode afterwards; `ENOSPC` or `EDQUOT` when there was no room for its metadata.
    pub stat: Result<Stat, Errno>,
}

/// Where the inode is.
#[derive(Clone, Copy, Debug)]
pub struct InodeContext {
    /// Its file system.
    pub disk: Disk,
    /// Flags inherited from its directory or set by an earlier run, kept only if wanted.
    pub handed: Flags,
}

/// Applies metadata to the inode behind `holder`. A directory's children must be complete: they
/// would move its times. FIFOs, device nodes and symlinks come as handles.
pub fn apply(holder: Holder<'_>, wanted: &Wanted, around: InodeContext, path: impl Fn() -> RelPath) -> Applied {
    let InodeContext { disk, handed } = around;
    let (problems, lost) = (Vec::new(), wanted.lost);
    let mut applier = Applier {
        holder,
        wanted,
        disk,
        handed,
        path: &path,
        problems,
        lost,
        full: None,
        owned: true,
        unkept: None,
        given_up: Flags::empty(),
    };
    applier.announced();
    applier.owner();
    applier.xattrs();
    applier.flags();
    applier.times();
    applier.mode();
    applier.finish()
}

/// With fewer bytes free, an attribute does not fit because nothing does.
const NEARLY_NOTHING: u64 = 1 << 20;

struct Applier<'a> {
    holder: Holder<'a>,
    wanted: &'a Wanted,
    disk: Disk,
    handed: Flags,
    path: &'a dyn Fn() -> RelPath,
    problems: Vec<Problem>,
    lost: UnpreservedSet,
    /// There is no space for the attributes.
    full: Option<Errno>,
    /// The owner is the one that the mode was meant for.
    owned: bool,
    /// The wanted access ACL that could not be set.
    unkept: Option<Acl>,
    given_up: Flags,
}

impl Applier<'_> {
    /// What was given up before the first call.
    fn announced(&mut self) {
        for unpreserved in self.wanted.lost.each() {
            self.problems.push(Problem::lost((self.path)(), unpreserved, self.disk.dev));
        }
    }

    fn failed(&mut self, unpreserved: Unpreserved, about: &[u8], operation: Operation, errno: Errno) {
        if errno == Errno::DQUOT || errno == Errno::NOSPC && self.is_full() {
            self.full = Some(errno);
            return;
        }
        let mut problem = Problem::failed((self.path)(), unpreserved.kind(), operation, errno);
        if !about.is_empty() {
            problem = problem.about(about);
        }
        if !self.disk.cannot(errno) {
            self.problems.push(problem);
        } else if self.lost.insert(unpreserved) {
            self.problems.push(problem.of_disk(self.disk.dev, unpreserved));
        }
    }

    /// ext4 also returns `ENOSPC` for a single attribute that is too large for it.
    fn is_full(&self) -> bool {
        space(self.holder.fd()).is_ok_and(|s| s.available < NEARLY_NOTHING || s.inodes > 0 && s.inodes_free == 0)
    }

    fn owner(&mut self) {
        let Some((uid, gid)) = self.wanted.owner else { return };
        // What was just made is usually root's already, and a file system journals even a chown(2) that changes
        // nothing.
        let is_owner = |stat: Stat| (stat.uid, stat.gid) == (uid, gid);
        if (uid, gid) == effective_ids() && stat_fd(self.holder.fd()).is_ok_and(is_owner) {
            return;
        }
        if let Err(errno) = file::chown(self.holder, uid, gid) {
            self.owned = false;
            self.failed(Unpreserved::Owner, b"", Operation::SetOwner(uid, gid), errno);
        }
    }

    /// Sets every attribute but the access ACL, and removes what the inode has
    /// beyond them: an ACL inherited from a default ACL, a label.
    fn xattrs(&mut self) {
        let Some(wanted) = &self.wanted.xattrs else { return };
        match xattr::list(self.holder) {
            Ok(present) => {
                for name in present.iter().filter(|n| wanted.get(n.as_bytes()).is_none()) {
                    // Not what btrfs derives from compression flags or inherits from a directory of the target, nor
                    // the mark, which stays until the mode is set.
                    if !name.as_bytes().starts_with(b"btrfs.") && name.as_c_str() != mark::NAME {
                        self.remove(name);
                    }
                }
            }
            Err(errno) => self.failed(Unpreserved::Other, b"", Operation::ListXattrs, errno),
        }
        for (name, value) in wanted.iter().filter(|(n, _)| n.as_bytes() != ACL_ACCESS) {
            // A failure is a problem of its own; nothing else depends on it.
            self.set(name, value);
        }
    }

    fn remove(&mut self, name: &std::ffi::CStr) {
        match xattr::remove(self.holder, name) {
            Ok(()) | Err(Errno::NODATA) => {}
            // The kernel or its security module owns the label; the source has none to restore.
            Err(_) if name.to_bytes().starts_with(b"security.") => {}
            Err(errno) => {
                let name = name.to_bytes();
                self.failed(Unpreserved::of_xattr(name), name, Operation::RemoveXattr(name.into()), errno);
            }
        }
    }

    fn set(&mut self, name: &std::ffi::CStr, value: &[u8]) -> bool {
        let mut set = xattr::set(self.holder, name, value);
        // If only one of them fits, an attribute of the source takes precedence over the mark.
        if set == Err(Errno::NOSPC) && mark::remove(self.holder).is_ok() {
            set = xattr::set(self.holder, name, value);
        }
        let Err(errno) = set else { return true };
        let name = name.to_bytes();
        self.failed(Unpreserved::of_xattr(name), name, Operation::SetXattr(name.into()), errno);
        false
    }

    /// The project id, and flags except those that are set last of all. What a directory of the
    /// target hands to its children stays: its administrator wanted that.
    fn flags(&mut self) {
        let Holder::File(fd) = self.holder else { return };
        if self.wanted.project != 0
            && let Err(errno) = flags::set_project(fd, self.wanted.project)
        {
            self.failed(Unpreserved::Project, b"", Operation::SetProject(self.wanted.project), errno);
        }
        let wanted = self.wanted.flags.difference(Flags::IMMUTABLE_OR_APPEND);
        let handed = self.handed.difference(self.wanted.flags);
        if wanted.is_empty() && handed.is_empty() {
            return;
        }
        let mut now = match flags::get(fd) {
            Ok(now) => now,
            Err(errno) => {
                self.given_up = if self.disk.cannot(errno) { wanted } else { Flags::empty() };
                return self.failed(Unpreserved::Flags, b"", Operation::ReadTargetFlags, errno);
            }
        };
        if !now.intersection(handed).is_empty() {
            match flags::set(fd, now.difference(handed)) {
                Ok(()) => now = now.difference(handed),
                Err(errno) => self.failed(Unpreserved::Flags, b"", Operation::ClearFlags, errno),
            }
        }
        let mut why = Errno::OPNOTSUPP;
        if !wanted.difference(now).is_empty() && flags::set(fd, now.union(wanted)).is_err() {
            // A flag that the file system does not know must not prevent the others.
            for flag in wanted.difference(now).each() {
                match flags::set(fd, now.union(flag)) {
                    Ok(()) => now = now.union(flag),
                    Err(errno) => why = errno,
                }
            }
        }
        // Some are accepted and silently dropped.
        let missing = match flags::get(fd) {
            Ok(now) => wanted.difference(now),
            Err(errno) => return self.failed(Unpreserved::Flags, b"", Operation::ReadTargetFlags, errno),
        };
        // Some file systems return this for a flag that they do not know.
        let why = if why == Errno::INVAL { Errno::OPNOTSUPP } else { why };
        if !missing.is_empty() && self.disk.cannot(why) {
            self.given_up = missing;
            return self.failed(Unpreserved::Flags, missing.to_string().as_bytes(), Operation::SetFlags(missing), why);
        }
        for flag in missing.each() {
            self.failed(Unpreserved::Flags, flag.to_string().as_bytes(), Operation::SetFlags(flag), why);
        }
    }

    fn times(&mut self) {
        let Some(mtime) = self.wanted.mtime else { return };
        // Some FUSE drivers do nothing when one of the two is left out.
        let both = || stat_fd(self.holder.fd()).ok().map(|stat| stat.atime);
        let atime = self.wanted.atime.or_else(|| self.disk.bare.then(both).flatten());
        if let Err(errno) = file::set_times(self.holder, atime, mtime) {
            self.failed(Unpreserved::Mtime, b"", Operation::SetTimes, errno);
        }
    }

    fn mode(&mut self) {
        if let Some(value) = self.wanted.access_acl() {
            // An ACL has no sticky bit: without this, all could remove each other's entries
            // until the mode is set.
            if self.wanted.mode & 0o1000 != 0
                && let Err(errno) = file::chmod(self.holder, 0o1700)
            {
                self.failed(Unpreserved::Mode, b"", Operation::SetSticky, errno);
            }
            if !self.set(c"system.posix_acl_access", value) {
                self.unkept = Acl::parse(value);
            }
        }
        // A symlink's mode is 0777 everywhere and cannot be set.
        if self.wanted.kind == Kind::Symlink {
            return;
        }
        let mode = self.reachable_mode();
        if let Err(errno) = file::chmod(self.holder, mode) {
            self.failed(Unpreserved::Mode, b"", Operation::SetMode(mode), errno);
        }
    }

    /// Set-user-ID for an owner other than the source's would hand out that owner's rights; the
    /// group's bits without their ACL would hand out more to the group.
    fn reachable_mode(&self) -> u32 {
        let mode = self.unkept.as_ref().map_or(self.wanted.mode, |acl| acl.mode_without(self.wanted.mode));
        if self.owned || self.wanted.kind == Kind::Directory { mode } else { mode & 0o1777 }
    }

    /// Checks for what was accepted but not kept.
    fn finish(mut self) -> Applied {
        let stat = self.full.map_or_else(|| stat_fd(self.holder.fd()), Err);
        if let Ok(stat) = &stat {
            self.differs(Unpreserved::Mtime, self.wanted.mtime, stat.mtime);
            self.differs(Unpreserved::Atime, self.wanted.atime, stat.atime);
            if self.owned && !self.lost.contains(Unpreserved::Owner) {
                let shown = |(uid, gid)| format!("{uid}:{gid}");
                self.differs(Unpreserved::Owner, self.wanted.owner.map(shown), shown((stat.uid, stat.gid)));
            }
            if self.wanted.kind != Kind::Symlink {
                let mode = self.reachable_mode();
                if mode & 0o7000 != self.wanted.mode & 0o7000 {
                    let narrowed = mode & 0o777 != self.wanted.mode & 0o777;
                    let detail = Detail::SetIdDropped(narrowed.then_some(mode));
                    let problem = Problem::new((self.path)(), ProblemKind::Mode, detail);
                    self.follows(Unpreserved::Owner, Unpreserved::Mode, problem);
                } else if mode != self.wanted.mode {
                    self.narrowed(mode);
                } else {
                    self.differs(Unpreserved::Mode, Some(format!("{mode:04o}")), format!("{:04o}", stat.mode));
                }
            }
        }
        Applied { problems: self.problems, lost: self.lost, given_up: self.given_up, stat }
    }

    /// The mode is less than the source's because its ACL could not be kept.
    fn narrowed(&mut self, mode: u32) {
        let problem = Problem::new((self.path)(), ProblemKind::Mode, Detail::ModeNarrowed(self.wanted.mode, mode));
        self.follows(Unpreserved::Acl, Unpreserved::Mode, problem);
    }

    /// `problem`, the loss of `then`, follows from `first`: if the file system as a whole cannot hold
    /// that, it cannot hold this either.
    fn follows(&mut self, first: Unpreserved, then: Unpreserved, problem: Problem) {
        if !self.lost.contains(first) {
            self.problems.push(problem);
        } else if self.lost.insert(then) {
            self.problems.push(problem.of_disk(self.disk.dev, then));
        }
    }

    fn differs<T: PartialEq + ToString>(&mut self, unpreserved: Unpreserved, wanted: Option<T>, found: T) {
        let Some(wanted) = wanted.filter(|w| *w != found) else { return };
        if self.lost.contains(unpreserved) || self.problems.iter().any(|p| p.kind == unpreserved.kind()) {
            return;
        }
        let problem = Problem::differs((self.path)(), unpreserved.kind(), wanted.to_string(), found.to_string());
        // Times are rounded or clamped by the file system; owner and mode are changed by it only where it has none.
        if self.disk.bare || matches!(unpreserved, Unpreserved::Mtime | Unpreserved::Atime) {
            self.lost.insert(unpreserved);
            self.problems.push(problem.of_disk(self.disk.dev, unpreserved));
        } else {
            self.problems.push(problem);
        }
    }
}

/// Sets and clears the flags that only a new, empty file can gain or lose: those `wanted`, and
/// none of those `handed` down. What fails here is found and reported by [`apply`].
pub fn apply_at_creation(fd: impl rustix::fd::AsFd, wanted: Flags, handed: Flags) {
    let wanted = wanted.intersection(Flags::AT_CREATION);
    let handed = handed.intersection(Flags::AT_CREATION).difference(wanted);
    if !wanted.union(handed).is_empty()
        && let Ok(mut now) = flags::get(fd.as_fd())
    {
        let losing = now.intersection(handed).each().map(|flag| (flag, Flags::empty()));
        let taking = wanted.difference(now).each().map(|flag| (Flags::empty(), flag));
        for (loses, takes) in losing.chain(taking) {
            let then = now.difference(loses).union(takes);
            if flags::set(fd.as_fd(), then).is_ok() {
                now = then;
            }
        }
    }
}
