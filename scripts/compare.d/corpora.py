"""The trees that are copied, made once below DIR/corpora and used again."""
import json
import multiprocessing
import os
import random
import subprocess

import check

MIB = 1 << 20
NAMES = ("small", "large", "mixed", "flat", "tiny")
OWNERS = ((0, 0),) * 6 + ((1000, 1000), (1000, 100), (33, 33), (65534, 65534))
MODES = (0o644,) * 8 + (0o600, 0o755, 0o640, 0o444, 0o664, 0o4755, 0o2755)
DECADE = 10 * 365 * 86400 * 10**9
NOW = 1_700_000_000 * 10**9


def provide(directory, name, size):
    """Builds the corpus, or takes the one of the same size that an earlier run finished; its counts."""
    stamp, place = f"{directory}/{name}.json", f"{directory}/{name}"
    try:
        with open(stamp) as file:
            known = json.load(file)
        if known["size"] == json.loads(json.dumps(size)) and os.path.isdir(f"{place}/data"):
            return known["counts"]
    except (OSError, ValueError, KeyError):
        pass  # not there, or not finished: made anew
    subprocess.run(["rm", "-rf", place, stamp], check=True)
    os.makedirs(f"{place}/data")
    BUILDERS[name](f"{place}/data", size)
    subprocess.run(["sync", "-f", place], check=True)
    counts = check.count(f"{place}/data")
    with open(stamp, "w") as file:
        json.dump({"size": size, "counts": counts}, file)
    return counts


def small(root, entries):
    """Files of real-looking sizes, and every kind of attribute on some."""
    rng = random.Random(7)
    directories = [f"{root}/{i}/{j}" for i in range(100) for j in range(20)]
    for directory in directories:
        os.makedirs(directory)
    files = []
    for i in range(entries):
        path = f"{root}/{i % 100}/{i // 100 % 20}/{i}"
        if files and i % 50 == 0:
            there = os.path.relpath(rng.choice(files), os.path.dirname(path))
            os.symlink(there if i % 500 else there + ".gone", path)
            os.chown(path, *rng.choice(OWNERS), follow_symlinks=False)
        elif files and i % 100 == 1:
            os.link(rng.choice(files), path)
            continue  # has its attributes from the other name
        else:
            with open(path, "wb") as file:
                file.write(rng.randbytes(int(min(rng.lognormvariate(8, 1.3), 400_000))))
            os.chown(path, *rng.choice(OWNERS))
            os.chmod(path, rng.choice(MODES))  # after the owner: chown(2) takes set-ID bits away
            if i % 100 == 2:
                attribute(path, f"number {i}")
            files.append(path)
        date(path, rng)
    for number, directory in enumerate(directories):
        if number % 100 == 0:
            attribute(directory, f"directory {number}")
        os.chown(directory, *rng.choice(OWNERS))
        os.chmod(directory, rng.choice((0o755, 0o750, 0o700, 0o2775)))
        date(directory, rng)


def attribute(path, value):
    """An extended attribute, where the file system has them."""
    try:
        os.setxattr(path, "user.note", value.encode())
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}: choose a DIR on a file system with user xattrs") from error


def date(path, rng):
    moment = NOW - rng.randrange(DECADE)
    os.utime(path, ns=(moment, moment), follow_symlinks=False)


def large(root, size):
    """Few large files that no layer below can compress."""
    number, length = size
    for i in range(number):
        with open(f"{root}/{i}", "wb", buffering=0) as file:
            left = length
            while left:
                left -= file.write(os.urandom(min(left, 16 * MIB)))


def mixed(root, size):
    """What the machine has, up to a bound, and a sparse image as virtual machines have them."""
    bound, image = size
    home = os.path.expanduser("~")
    trees = [t for t in ("/usr/lib", "/usr/share", f"{home}/.cargo/registry", f"{home}/.rustup") if os.path.isdir(t)]
    names = []
    for left, tree in zip(range(len(trees), 0, -1), trees):
        chosen, used = choose(tree, bound // left)
        names += chosen
        bound -= used
    pack = ["tar", "-C", "/", "--acls", "--xattrs", "--null", "--no-recursion", "-cf", "-", "-T", "-"]
    unpack = ["tar", "-C", root, "--acls", "--xattrs", "-xpf", "-"]
    with subprocess.Popen(pack, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as packer:
        with subprocess.Popen(unpack, stdin=packer.stdout) as unpacker:
            packer.stdout.close()
            packer.stdin.write(b"".join(os.fsencode(name.lstrip("/")) + b"\0" for name in names))
            packer.stdin.close()
    # 1: a file changed while it was read, which does not matter here
    if packer.returncode not in (0, 1) or unpacker.returncode:
        raise SystemExit(f"the corpus mixed could not be made of {', '.join(trees)}: is the disk full?")
    sparse(f"{root}/machine.img", image)


def choose(tree, bound):
    """Names of a tree in a stable order, until its regular files have so many bytes; and those bytes."""
    names, used, device = [tree], 0, os.lstat(tree).st_dev
    for place, directories, files in os.walk(tree):
        directories.sort()
        for name in sorted(directories + files):
            path = os.path.join(place, name)
            status = os.lstat(path)
            kind = check.kind(status)
            if status.st_dev != device or kind == "other" or (kind == "file" and used + status.st_size > bound):
                if name in directories:
                    directories.remove(name)
                continue
            if used >= bound * 0.98:
                return names, used
            names.append(path)
            used += status.st_size if kind == "file" else 0
    return names, used


def sparse(path, length):
    """Scattered extents of data, three tenths of the whole."""
    rng, data, left = random.Random(11), os.urandom(MIB), length * 3 // 10
    with open(path, "wb") as file:
        file.truncate(length)
        while left > 0:
            extent = min(rng.choice((4, 16, 64, 256, 1024)) << 10, length // 4)
            file.seek(rng.randrange((length - extent) >> 12) << 12)
            left -= file.write(data[:extent])


def flat(root, files):
    """One directory with everything."""
    fill([(root, first, min(5000, files - first), 200) for first in range(0, files, 5000)])


def tiny(root, files, per_directory=100, limit=200):
    """Tiny files in many directories; each holds as many as the last."""
    tasks = []
    for number, first in enumerate(range(0, files, per_directory)):
        tasks.append((f"{root}/{number // 200}/{number % 200}", first, min(per_directory, files - first), limit))
    fill(tasks)


def fill(tasks):
    """Several processes make the files: the time goes into system calls."""
    with multiprocessing.Pool() as pool:
        pool.map(tiny_files, tasks, chunksize=1 + len(tasks) // 64)


def tiny_files(task):
    directory, first, number, limit = task
    os.makedirs(directory, exist_ok=True)
    rng = random.Random(first)
    data = rng.randbytes(limit)
    there = os.open(directory, os.O_DIRECTORY)
    try:
        for i in range(first, first + number):
            file = os.open(str(i), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=there)
            if limit:
                os.write(file, data[: rng.randrange(limit + 1)])
            os.close(file)
    finally:
        os.close(there)


def each_directory(root, work, argument):
    """Several processes do `work` in every directory of the two levels that `tiny` makes."""
    places = [f"{root}/{upper}/{lower}" for upper in os.listdir(root) for lower in os.listdir(f"{root}/{upper}")]
    with multiprocessing.Pool() as pool:
        pool.starmap(work, [(place, argument) for place in places], chunksize=1 + len(places) // 64)


def link_all(directory, outside):
    """Gives every file another name below `outside`."""
    there = os.path.join(outside, os.path.basename(os.path.dirname(directory)), os.path.basename(directory))
    os.makedirs(there)
    for name in os.listdir(directory):
        os.link(f"{directory}/{name}", f"{there}/{name}")


def attribute_all(directory, length):
    """Gives every file an attribute that no two of them share."""
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        attribute(path, random.Random(path).randbytes(length).hex()[:length])


BUILDERS = {"small": small, "large": large, "mixed": mixed, "flat": flat, "tiny": tiny}
