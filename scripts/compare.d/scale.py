"""persistcp alone, over numbers of files and shapes of trees: time, memory and journal a file.

Source and target are file systems in files below DIR, thrown away after each number; --keep leaves the sources for
another run.
"""
import json
import os
import subprocess
import time

import check
import image
import measure
import report
import shapes
import tools

LIMIT = 256 << 20


class Group:
    """A control group with a memory limit, or the reason why there is none."""

    def __init__(self):
        self.path, self.reason = None, "no memory controller is mounted"
        with open("/proc/mounts") as file:
            mounts = [line.split() for line in file]
        for _, point, kind, options, *_ in mounts:
            if kind == "cgroup" and "memory" in options.split(","):
                return self.make(point, "memory.limit_in_bytes")
        for _, point, kind, *_ in mounts:
            if kind == "cgroup2" and "memory" in measure.first_line(f"{point}/cgroup.subtree_control").split():
                return self.make(point, "memory.max")

    def make(self, point, limit):
        path = f"{point}/persistcp-compare-{os.getpid()}"
        try:
            os.mkdir(path)
            self.path = path
            with open(f"{path}/{limit}", "w") as file:
                file.write(str(LIMIT))
        except OSError as error:
            self.reason = f"{limit}: {error.strerror}"
            self.close()

    def enter(self):
        """In the child, before it becomes persistcp."""
        with open(f"{self.path}/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))

    def words(self):
        if self.path:
            return f"a control group of {LIMIT >> 20} MiB for all of its memory, page cache and kernel memory included"
        return f"none, because no control group could be made ({self.reason})"

    def close(self):
        if self.path:
            for _ in range(50):  # the kernel lets the last process go a little later
                try:
                    os.rmdir(self.path)
                    break
                except OSError:
                    time.sleep(0.1)
            self.path = None


def journal(root):
    """Bytes of the journal's files, the write-ahead log included."""
    place = f"{root}/.persistcp"
    return sum(e.stat().st_size for e in os.scandir(place)) if os.path.isdir(place) else 0


def plan(place):
    return f"{place}/plan.toml", f"{place}/source", f"{place}/root"


def provide(place, shape, files):
    """The source of a shape, mounted: made now, or finished by an earlier run with --keep."""
    path, (_, point, _) = f"{place}/{shape}-{files}.img", plan(place)
    try:
        with open(f"{path}.made") as file:
            if json.load(file) == [shape, files] and os.path.exists(path):
                return image.Image(path, point)
    except (OSError, ValueError):
        pass  # not there, or not finished: made anew
    source = image.Image(path, point, shapes.inodes(shape, files), shapes.room(shape, files))
    try:
        os.makedirs(f"{point}/data")
        check.in_child(shapes.MAKERS.get(shape, shapes.make), point, files, shape)
        subprocess.run(["sync", "-f", point], check=True)
        with open(f"{path}.made", "w") as file:
            json.dump([shape, files], file)
    except BaseException:
        source.discard()
        raise
    return source


def names(root):
    """Names that are not directories, at any depth."""
    found, stack = 0, [os.open(root, os.O_DIRECTORY)]
    while stack:
        at = stack.pop()
        with os.scandir(at) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(os.open(entry.name, os.O_DIRECTORY, dir_fd=at))
                else:
                    found += 1
        os.close(at)
    return found


def size(place, files, shape, binary, group, options):
    """Rows of one number of files in one shape: copy and verify, then nothing to do."""
    row = {"files": files, "shape": shape}
    try:
        source = provide(place, shape, files)
    except (SystemExit, subprocess.CalledProcessError, OSError) as error:
        return [{**row, "work": "copy and verify", "error": f"the tree could not be made: {error}"}]
    target = None
    try:
        path, _, root = plan(place)
        target = image.Image(f"{place}/target.img", root, shapes.inodes(shape, files), shapes.room(shape, files) + files * 512)
        os.makedirs(f"{root}/target")
        tools.plan(path, source.point, root)
        return measured(place, row, binary, group, options.timeout)
    finally:
        if target:
            target.discard()
        source.close()
        if not options.keep:
            os.unlink(f"{source.path}.made")
            os.unlink(source.path)


def measured(place, row, binary, group, timeout):
    path, _, root = plan(place)
    command, rows = tools.fill([tools.PLAN], {"persistcp": binary, "plan": path}), []
    for work in ("copy and verify", "second run"):
        measure.cold(place)
        result = measure.run(command, root, timeout, group.enter if group.path else None)
        if "error" not in result and work == "copy and verify":
            found = check.in_child(names, f"{root}/target/data")
            if found != row["files"]:
                result["error"] = f"{found} of {row['files']} files are there"
        rows.append({**row, "work": work, **result, "journal": journal(root)})
        shown = result.get("error") or f"{result['seconds']} s, {result['rss'] >> 20} MiB"
        print(f"  {row['files']} {row['shape']}, {work}: {shown}", flush=True)
        if "error" in result:
            break
    return rows


def cases(options):
    sizes = options.sizes + ([10**7] if options.long else [])
    for shape in options.shapes:
        own = shapes.SHAPES[shape][1]
        for files in [own] if own else sizes:
            if shape != "flat" or options.flat is None or files <= options.flat:
                yield shape, files
    if "flat" in options.shapes and options.flat and options.flat not in sizes:
        yield "flat", options.flat


def main(options, raw, command):
    binary = tools.persistcp(options.bin)
    place = f"{options.dir}/scale"
    image.clear(place)
    os.makedirs(place, exist_ok=True)
    group = Group()
    everything = report.load(raw)
    data = {"started": time.strftime("%Y-%m-%d %H:%M %Z"), "command": command, "machine": measure.machine(options.dir)}
    data |= {"limit": group.words(), "images": True, "rows": [], "beside": options.beside}
    if options.add and everything.get("scale", {}).get("images"):
        data = added(everything["scale"], data, list(cases(options)))
    everything["scale"] = data
    try:
        for shape, files in cases(options):
            data["rows"] += size(place, files, shape, binary, group, options)
            report.save(raw, everything)
        data["finished"] = True
    finally:
        image.clear(place)
        if not options.keep:
            subprocess.run(["rm", "-rf", place])
        group.close()
        report.save(raw, everything)
        report.render(raw)


def added(earlier, now, again):
    """The earlier rows but those that are measured now."""
    kept = [row for row in earlier["rows"] if (row["shape"], row["files"]) not in again]
    return earlier | {"command": f"{earlier['command']}; {now['command']}", "rows": kept, "finished": False}
