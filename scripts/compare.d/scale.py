"""persistcp alone, over numbers of files: time, memory and journal a file."""
import os
import subprocess
import time

import check
import corpora
import measure
import report
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


def size(directory, files, shape, binary, group, timeout):
    """Rows of one number of files in one shape: copy and verify, then nothing to do."""
    source, root = f"{directory}/scale/source", f"{directory}/scale/root"
    subprocess.run(["rm", "-rf", source, root], check=True)
    os.makedirs(f"{root}/target")
    row = {"files": files, "shape": shape}
    limit = 0 if files >= 10**7 else 64
    per_directory = files if shape == "flat" else 100
    try:
        os.makedirs(f"{source}/data")
        check.in_child(make, f"{source}/data", files, per_directory, limit)
    except SystemExit as error:
        return [{**row, "work": "copy and verify", "error": f"the tree could not be made: {error.code}"}]
    plan = f"{directory}/scale/plan.toml"
    tools.plan(plan, source, root)
    command = tools.fill([tools.PLAN], {"persistcp": binary, "plan": plan})
    rows = []
    for work in ("copy and verify", "second run"):
        measure.cold(directory)
        result = measure.run(command, root, timeout, group.enter if group.path else None)
        if "error" not in result and work == "copy and verify":
            found = check.in_child(check.count, f"{root}/target/data")["file"]
            if found != files:
                result["error"] = f"{found} of {files} files are there"
        rows.append({**row, "work": work, **result, "journal": journal(root)})
        print(f"  {files} {shape}, {work}: {result.get('error') or result['seconds']}", flush=True)
        if "error" in result:
            break
    return rows


def make(root, files, per_directory, limit):
    if per_directory == files:
        tasks = [(root, first, min(5000, files - first), limit) for first in range(0, files, 5000)]
        corpora.fill(tasks)
    else:
        corpora.tiny(root, files, per_directory, limit)


def main(options, raw, command):
    binary = tools.persistcp(options.bin)
    sizes = list(options.sizes) + ([10**7] if options.long else [])
    group = Group()
    everything = report.load(raw)
    data = {"started": time.strftime("%Y-%m-%d %H:%M %Z"), "command": command, "machine": measure.machine(options.dir)}
    data |= {"limit": group.words(), "rows": []}
    everything["scale"] = data
    try:
        for files in sizes:
            for shape in ("tree", "flat"):
                if shape == "tree" or options.flat is None or files <= options.flat:
                    data["rows"] += size(options.dir, files, shape, binary, group, options.timeout)
                    report.save(raw, everything)
        data["finished"] = True
    finally:
        subprocess.run(["rm", "-rf", f"{options.dir}/scale"])
        group.close()
        report.save(raw, everything)
        report.render(raw)
