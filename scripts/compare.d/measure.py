"""Runs one command and measures it, and what it is measured against: the device and the machine."""
import json
import mmap
import os
import select
import signal
import subprocess
import tempfile
import threading
import time

import tools

MIB = 1 << 20


def need_root():
    if os.geteuid() != 0:
        raise SystemExit("compare must be root: it drops the page cache and copies owners; use `sudo scripts/compare …`")


def cold(directory):
    """Nothing dirty, nothing cached."""
    subprocess.run(["sync", "-f", directory], check=True)
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3\n")


def run(commands, directory, timeout, preexec=None):
    """Wall seconds until `sync -f` has returned, peak RSS, CPU seconds; `error` when it did not do it."""
    with tempfile.TemporaryFile() as log:
        floor, begin = peak("self"), time.monotonic()
        try:
            children = start(commands, log, preexec)
        except (OSError, subprocess.SubprocessError) as error:  # the second: not let into the control group
            return {"error": f"{commands[0][0]} could not be started: {error}"}
        peaks, usages = wait(children, begin + timeout)
        synced = subprocess.run(["sync", "-f", directory], capture_output=True, text=True)
        seconds = time.monotonic() - begin
        result = {"seconds": round(seconds, 3), "cpu": round(sum(u.ru_utime + u.ru_stime for u in usages), 2)}
        # The kernel's number begins at the size of the process that forked: about there only the samples count.
        exact = [usage.ru_maxrss << 10 for usage in usages]
        result["rss"] = sum(e if e > floor + MIB else p for e, p in zip(exact, peaks))
        statuses = [child.returncode for child in children]
        if any(statuses):
            result["error"] = f"stopped after {timeout} s" if seconds >= timeout else said(log, statuses)
        elif synced.returncode:
            result["error"] = synced.stderr.strip()
        return result


def start(commands, log, preexec):
    children, feed = [], subprocess.DEVNULL
    for number, command in enumerate(commands, 1):
        out = log if number == len(commands) else subprocess.PIPE
        settings = {"env": tools.environment(), "start_new_session": True, "preexec_fn": preexec}
        children.append(subprocess.Popen(command, stdin=feed, stdout=out, stderr=log, **settings))
        if feed is not subprocess.DEVNULL:
            feed.close()
        feed = children[-1].stdout
    return children


def wait(children, deadline):
    """Until all have ended; looks at their peak RSS meanwhile. What is left over is killed, by its own group."""
    peaks, usages, open_ = [0] * len(children), [None] * len(children), {}
    poll = select.poll()
    for number, child in enumerate(children):
        descriptor = os.pidfd_open(child.pid)
        poll.register(descriptor, select.POLLIN)
        open_[descriptor] = number
    try:
        while open_:
            for number in open_.values():
                peaks[number] = max(peaks[number], peak(children[number].pid))
            for descriptor, _ in poll.poll(20):
                number = open_.pop(descriptor)
                poll.unregister(descriptor)
                os.close(descriptor)
                _, status, usages[number] = os.wait4(children[number].pid, 0)
                children[number].returncode = os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                stop(children, open_)
    except BaseException:
        stop(children, open_)
        raise
    return peaks, usages


def stop(children, open_):
    for number in open_.values():
        try:
            os.killpg(children[number].pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def peak(process):
    try:
        with open(f"/proc/{process}/status") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def said(log, statuses):
    log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    status = next(s for s in statuses if s)
    end = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit {status}"
    return f"{end}: {lines[-1][:200]}" if lines else end


def probe(directory, size, settings=None):
    """What the device gives, sequential and direct, MiB/s: writing, then reading, then both at once. `settings` says
    with which requests: those that an earlier probe found best, or the best of the grid, which is looked for first."""
    path = f"{directory}/probe"
    result = {}
    if tools.which("fio"):
        settings = settings or {what: quickest(path, what, size) for what in ("write", "read", "both")}
        for what, (block, depth) in settings.items():
            cold(directory)
            result[what] = round(fio(path, what, size, block, depth), 1)
        result |= {"by": "fio", "settings": settings}
    else:
        for what in ("write", "read"):
            cold(directory)
            result[what] = round(direct(path, what, size), 1)
        result["by"] = "python, O_DIRECT, blocks of 1 MiB, 8 threads"
    os.unlink(path)
    return result


def quickest(path, what, size):
    """The request size and depth that give most, on a quarter of the file: no one pair is best on every device."""
    grid = [(block, depth) for block in ("256k", "1M", "4M") for depth in (1, 8, 32)]
    return max(grid, key=lambda pair: fio(path, what, max(size // 4, 4 * MIB), *pair))


def fio(path, what, size, block, depth):
    """One way: what it gives. Both at once, as every copier must: the slower of reading one file and writing another."""
    jobs = ["--name=probe", f"--filename={path}", f"--rw={what}"]
    if what == "both":
        jobs = ["--name=read", f"--filename={path}", "--rw=read", "--name=write", f"--filename={path}.new", "--rw=write"]
    command = ["fio", f"--size={size}", f"--bs={block}", "--direct=1", f"--iodepth={depth}", "--ioengine=libaio", "--end_fsync=1"]
    done = subprocess.run([*command, "--output-format=json", *jobs], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"fio failed on {path}: {done.stderr.strip()[-300:]}; the file system must allow O_DIRECT")
    jobs = json.loads(done.stdout[done.stdout.index("{") :])["jobs"]
    if what == "both":
        os.unlink(f"{path}.new")
        return min(jobs[0]["read"]["bw_bytes"], jobs[1]["write"]["bw_bytes"]) / MIB
    return jobs[0][what]["bw_bytes"] / MIB


def direct(path, what, size):
    """The same without fio: eight blocks on their way at a time."""
    file = os.open(path, os.O_DIRECT | (os.O_RDWR | os.O_CREAT if what == "write" else os.O_RDONLY), 0o600)
    if what == "write":
        os.posix_fallocate(file, 0, size)
    begin = time.monotonic()

    def part(number):
        with mmap.mmap(-1, MIB) as block:
            block.write(os.urandom(MIB))
            for offset in range(number * MIB, size, 8 * MIB):
                (os.pwritev if what == "write" else os.preadv)(file, [block], offset)

    threads = [threading.Thread(target=part, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.fsync(file)
    os.close(file)
    return size / MIB / (time.monotonic() - begin)


def machine(directory):
    """What somebody who compares numbers wants to know."""
    facts = {"kernel": os.uname().release, "cores": os.cpu_count(), "cpu": os.uname().machine}
    with open("/proc/cpuinfo") as file:
        facts["cpu"] = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), facts["cpu"])
    facts["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    number = os.stat(directory).st_dev
    place = f"{os.major(number)}:{os.minor(number)}"
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split() for line in file]
    for fields in mounts:
        if fields[2] == place:
            dash = fields.index("-")
            facts["filesystem"] = fields[dash + 1]
            facts["options"] = ",".join(dict.fromkeys((fields[5] + "," + fields[dash + 3]).split(",")))
    facts["device"] = device(place)
    return facts


def device(place):
    """Name, model and size of the disk, as far as the kernel knows them; a partition's disk."""
    node = os.path.realpath(f"/sys/dev/block/{place}")
    if not os.path.isdir(node):
        return "no block device"
    if os.path.exists(f"{node}/partition"):
        node = os.path.dirname(node)
    model = first_line(f"{node}/device/model") or first_line(f"{node}/dm/name") or "no model told"
    spins = "rotational" if first_line(f"{node}/queue/rotational") == "1" else "not rotational"
    size = int(first_line(f"{node}/size") or 0) * 512 >> 30
    return f"{os.path.basename(node)} ({model}, {size} GiB, {spins} by its own account)"


def first_line(path):
    try:
        with open(path) as file:
            return file.readline().strip()
    except OSError:
        return ""
