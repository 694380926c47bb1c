"""Whether a copy is one: names, bytes and contents, and which attributes came along."""
import multiprocessing
import os
import signal
import stat
from collections import Counter, defaultdict

BLOCK = 1 << 20
SLICE = 2000
LABELS = {"directory": " of directories", "symlink": " of symlinks", "file": " of files"}


def in_child(function, *arguments):
    """Calls it in a process of its own: what this one has grown to is the floor of every later peak RSS."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.Process(target=_answer, args=(theirs, function, arguments))
    child.start()
    own_group(child.pid)
    theirs.close()
    try:
        good, value = ours.recv()
    except EOFError:
        good, value = False, f"{function.__name__} was killed: is there enough memory?"
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    finally:
        child.join()
    if not good:
        raise SystemExit(value)
    return value


def own_group(process):
    """Parent and child both ask for it, whoever comes first: the group is killed whole, helpers and all."""
    try:
        os.setpgid(process, process)
    except OSError:
        pass  # it has ended already


def _answer(pipe, function, arguments):
    own_group(os.getpid())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how a pool ends its workers
    try:
        pipe.send((True, function(*arguments)))
    except SystemExit as error:
        pipe.send((False, str(error.code)))
    except Exception as error:  # shown by the parent, which has the terminal
        pipe.send((False, f"{function.__name__}: {error}"))


def kind(status):
    for test, name in ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "symlink")):
        if test(status.st_mode):
            return name
    return "other"


def count(root):
    """Entries of each kind below the root, and the apparent bytes of regular files, every name counted."""
    counts, stack = Counter(entries=0, file=0, directory=0, symlink=0, bytes=0), [os.fsencode(root)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                what = kind(status)
                counts.update(("entries", what))
                if what == "file":
                    counts["bytes"] += status.st_size
                elif what == "directory":
                    stack.append(entry.path)
    return dict(counts)


def compare(source, target):
    """Reads both trees whole. Wrong: names or contents that are not there. Loses: attributes, links, holes."""
    if not os.path.isdir(target):
        return {"wrong": "there is no result", "loses": [], "counts": {}}
    wrong, seen, lost, groups = [], Counter(), Counter(), defaultdict(set)
    with multiprocessing.Pool() as pool:
        for w, s, l, links in pool.imap_unordered(_entries, _tasks(os.fsencode(source), os.fsencode(target), wrong, lost)):
            wrong += w
            seen.update(s)
            lost.update(l)
            for here, there in links:
                groups[here].add(there)
    lost["hard links", "file"] += sum(len(inodes) > 1 for inodes in groups.values())
    for what in wrong:
        what["path"] = os.fsdecode(what["path"])[len(source) + 1 :]
    return {"wrong": _sentence(wrong), "loses": _words(lost), "counts": count(target), "lost": _numbers(lost)}


def _tasks(source, target, wrong, lost):
    """Goes through both trees together; gives slices of names that both have, the roots first."""
    yield os.path.dirname(source), os.path.dirname(target), [(os.path.basename(source), os.path.basename(target))]
    stack = [(source, target)]
    while stack:
        here, there = stack.pop()
        with os.scandir(here) as entries:
            ours = {e.name: "directory" if e.is_dir(follow_symlinks=False) else "symlink" if e.is_symlink() else "file" for e in entries}
        theirs = set(os.listdir(there))
        missing, extra = sorted(ours.keys() - theirs), sorted(theirs - ours.keys())
        pairs = [(name, name) for name in ours if name in theirs]
        links = [name for name in missing if ours[name] == "symlink"]
        if missing and len(missing) == len(extra):
            lost["names", "file"] += len(missing)  # renamed: what is in them is compared all the same
            pairs += zip(missing, extra)
        else:
            lost["symlinks", "file"] += len(links)
            wrong += [{"what": "missing", "path": os.path.join(here, n)} for n in missing if n not in links]
            wrong += [{"what": "extra", "path": os.path.join(here, n)} for n in extra]
        for first in range(0, len(pairs), SLICE):
            yield here, there, pairs[first : first + SLICE]
        for name, other in pairs:
            if ours[name] == "directory" and os.path.isdir(os.path.join(there, other)):
                stack.append((os.path.join(here, name), os.path.join(there, other)))


def _entries(task):
    here, there, pairs = task
    wrong, seen, lost, links = [], Counter(), Counter(), []
    for name, other in pairs:
        ours, theirs = os.path.join(here, name), os.path.join(there, other)
        try:
            s, t = os.lstat(ours), os.lstat(theirs)
            what = kind(s)
            seen[what] += 1
            if what != kind(t):
                if what != "symlink":
                    wrong.append({"what": "of another type", "path": ours})
                lost["symlinks", "file"] += what == "symlink"
                continue
            if what == "file" and (s.st_size != t.st_size or not same(ours, theirs)):
                wrong.append({"what": "of other content", "path": ours})
            if what == "symlink":
                lost["symlinks", "file"] += os.readlink(ours) != os.readlink(theirs)
            else:
                lost["mode", what] += stat.S_IMODE(s.st_mode) != stat.S_IMODE(t.st_mode)
            lost["owner", what] += (s.st_uid, s.st_gid) != (t.st_uid, t.st_gid)
            lost["mtime", what] += s.st_mtime_ns != t.st_mtime_ns
            lost["xattrs", what] += attributes(ours) != attributes(theirs)
            lost["holes", what] += what == "file" and filled(s, t)
            if what == "file" and s.st_nlink > 1:
                links.append((s.st_ino, t.st_ino))
        except OSError as error:
            wrong.append({"what": f"not readable ({error.strerror})", "path": ours})
    return wrong, seen, +lost, links


def same(ours, theirs):
    with open(ours, "rb", buffering=0) as a, open(theirs, "rb", buffering=0) as b:
        while True:
            left, right = a.read(BLOCK), b.read(BLOCK)
            if left != right:
                return False
            if not left:
                return True


def attributes(path):
    """Not the label that the system itself gives to every new file."""
    names = [n for n in os.listxattr(path, follow_symlinks=False) if n != "security.selinux"]
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def filled(s, t):
    """Whether more than half of the source's holes take room in the copy."""
    hole = s.st_size - s.st_blocks * 512
    return hole > 64 << 10 and t.st_blocks * 512 > s.st_blocks * 512 + hole // 2


def _sentence(wrong):
    if not wrong:
        return None
    first = min(wrong, key=lambda w: w["path"])
    numbers = Counter(w["what"] for w in wrong)
    return ", ".join(f"{n} {what}" for what, n in sorted(numbers.items())) + f"; the first: {first['path']}"


def _words(lost):
    """A word for each attribute; with the kind of entry where only one kind loses it."""
    kinds = defaultdict(set)
    for word, what in +lost:
        kinds[word].add(what)
    plain = ("hard links", "symlinks", "names", "holes")
    return [w + ("" if w in plain or len(k) > 1 else LABELS[min(k)]) for w, k in sorted(kinds.items())]


def _numbers(lost):
    numbers = Counter()
    for (word, _), n in lost.items():
        numbers[word] += n
    return dict(+numbers)
