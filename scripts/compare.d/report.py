"""Medians, bars met or missed, and the document: made from the raw numbers only."""
import json
import os
import statistics

import plot
import shapes
import tools

MIB = 1 << 20
RIVALS = ("cp", "rsync", "tar", "cpz", "xcp", "rclone", "rcp", "pcp", "cp-plain", "rsync-plain", "rcp-plain")
WORKS = (
    ("second", "rsync", "`rsync -aHAXS`, nothing to do"),
    ("second", "persistcp", "`persistcp`, second run"),
    ("check", "rsync", "`rsync -aHAXSc`, checks an up-to-date target"),
    ("check", "persistcp", "`persistcp --verify-only`"),
)


class Results:
    """Questions to the raw numbers; None where something was not measured."""

    def __init__(self, data):
        self.data = data

    def runs(self, corpus, tool, phase="copy", good=None):
        chosen = [r for r in self.data["runs"] if (r["corpus"], r["tool"], r["phase"]) == (corpus, tool, phase)]
        return [r for r in chosen if good is None or ("error" not in r) == good]

    def values(self, corpus, tool, phase="copy", key="seconds"):
        return [r[key] for r in self.runs(corpus, tool, phase, good=True)]

    def median(self, corpus, tool, phase="copy", key="seconds"):
        values = self.values(corpus, tool, phase, key)
        return statistics.median(values) if values else None

    def failure(self, corpus, tool, phase="copy"):
        bad = self.runs(corpus, tool, phase, good=False)
        everything = len(self.runs(corpus, tool, phase))
        if not bad:
            return None
        return f"failed{'' if len(bad) == everything else f' {len(bad)} of {everything} times'}: {bad[0]['error']}"

    def loses(self, corpus, tool):
        checked = [r["loses"] for r in self.runs(corpus, tool) if "loses" in r]
        return None if not checked else ", ".join(checked[0]) or "nothing"

    def device(self, what):
        """MiB/s; `limit` is the slower of reading and writing."""
        if what == "limit":
            both = self.device("read"), self.device("write")
            return min(both) if all(both) else None
        values = [probe[what] for probe in self.data["device"] if what in probe]
        return statistics.median(values) if values else None

    def speed(self, corpus, tool, phase="copy"):
        seconds = self.median(corpus, tool, phase)
        return self.data["corpora"][corpus]["bytes"] / MIB / seconds if seconds else None

    def tools(self, corpus):
        seen = {r["tool"]: None for r in self.data["runs"] if (r["corpus"], r["phase"]) == (corpus, "copy")}
        return [name for name in self.data["tools"] if name in seen]


def quotient(over, under):
    return over / under if over and under else None


def bars(results):
    """The design's bars, in its words: what, at least or at most, how much, what came out, and a remark."""
    median, ours, checked = results.median, "persistcp", "persistcp-verify"
    for rival, bar in (("cpz", 2.0), ("xcp", 2.0), ("cp", 4.0), ("rsync", 4.0)):
        yield f"small: copy alone, times as fast as `{label(rival)}`", ">=", bar, quotient(median("small", rival), median("small", ours)), ""
    processor = [median("small", tool, key="cpu") for tool in (ours, "xcp")]
    yield "small: processor seconds, times those of `xcp -r`", "<=", 1.0, quotient(*processor), ""
    yield "small: copy alone, times the floor", "<=", 1.35, quotient(median("small", ours), median("small", "floor")), ""
    for what, bar in (("large", 1.0), ("mixed", 1.3)):
        if what == "large":
            share = quotient(results.speed(what, ours), results.device("limit"))
            yield f"{what}: copy alone, share of the device's limit", ">=", 0.95, share, ""
            at_once = quotient(results.speed(what, ours), results.device("both"))
            yield f"{what}: the same of what the device reads and writes at once", ">=", 0.95, at_once, ""
        yield (f"{what}: copy alone, times as fast as the best of the others", ">" if bar == 1.0 else ">=", bar, *best(results, what))
    share = quotient(median("small", checked), median("small", "rsync"))
    yield "small: copy and verify, share of the time of rsync's copy alone", "<=", 0.5, share, ""
    fastest, remark = best(results, "large")
    share = quotient(median("large", checked), fastest and fastest * median("large", ours))
    yield "large: copy and verify, share of the time of the best other's copy alone", "<=", 1.0, share, remark
    for what in ("small", "large"):
        parts = median(what, "rsync"), median(what, "rsync", "check")
        ratio = quotient(sum(parts) if all(parts) else None, median(what, checked))
        yield f"{what}: copy and verify, times as fast as rsync and then rsync -c", ">=", 3.0, ratio, ""
    ratio = quotient(median("small", ours, "second"), median("small", "rsync", "second"))
    yield "small: second run, share of the time of rsync's", "<=", 0.35, ratio, ""
    share = quotient(results.speed("large", ours, "check"), results.device("read"))
    yield "large: verify-only, share of the device's read bandwidth", ">=", 0.9, share, ""
    ratio = quotient(median("small", "rsync", "check"), median("small", ours, "check"))
    yield "small: verify-only, times as fast as rsync -c", ">=", 8.0, ratio, ""


def best(results, corpus):
    """The fastest other tool against persistcp's copy alone; those that failed are named."""
    measured = {r: results.median(corpus, r) for r in RIVALS if results.median(corpus, r)}
    failed = [label(r) for r in RIVALS if results.failure(corpus, r) and r not in measured]
    remark = f"without {', '.join(failed)}: failed" if failed else ""
    if not measured:
        return None, remark
    name = min(measured, key=measured.get)
    return quotient(measured[name], results.median(corpus, "persistcp")), ", ".join(filter(None, [label(name), remark]))


def label(name):
    return tools.TOOLS[name][0] if name in tools.TOOLS else name


def met(how, bar, value):
    if value is None:
        return "not measured"
    return "met" if {">=": value >= bar, ">": value > bar, "<=": value <= bar}[how] else "**missed**"


def number(value, digits=2, unit=""):
    return "–" if value is None else f"{value:,.{digits}f}{unit}".replace(",", " ")


def table(head, rows):
    lines = [head, ["---"] + ["---:" if right(rows, i) else "---" for i in range(1, len(head))], *rows]
    return "\n".join("| " + " | ".join(str(c).replace("|", "\\|") for c in line) + " |" for line in lines)


def right(rows, column):
    cells = [str(row[column]) for row in rows]
    return all(cell == "–" or cell[:1].isdigit() for cell in cells)


def times(results, corpus, tool, phase="copy"):
    """The cells that every table of times has: median, least and most."""
    values = results.values(corpus, tool, phase)
    if not values:
        return ["–", "–"]
    return [number(statistics.median(values)), f"{number(min(values))} – {number(max(values))}"]


def one_line(text):
    return " ".join(text.split())


def corpus_part(results, corpus):
    counts = results.data["corpora"][corpus]
    kinds = f"{number(counts['file'], 0)} files, {number(counts['directory'], 0)} directories, {number(counts['symlink'], 0)} symlinks"
    kept = "all copies side by side until the last" if counts.get("kept") else "each copy removed before the next"
    text = [f"### {corpus}", f"{number(counts['entries'], 0)} entries ({kinds}), {plot.volume(counts['bytes'])}; {kept}."]
    large = corpus == "large"
    head = ["", "median s", "least – most", "to persistcp's copy", "to the floor"] + (["MiB/s", "of the device"] if large else [])
    rows = []
    for name in results.tools(corpus):
        ratio = quotient(results.median(corpus, name), results.median(corpus, "persistcp"))
        floor = quotient(results.median(corpus, name), results.median(corpus, "floor"))
        row = [label(name), *times(results, corpus, name), number(ratio, 2, "x"), number(floor, 2, "x")]
        if large:
            speed = results.speed(corpus, name)
            share = quotient(speed, results.device("limit"))
            row += [number(speed, 0), "–" if share is None else f"{share:.0%}"]
        rss = results.median(corpus, name, key="rss")
        row += [number(rss / MIB if rss else None, 0), number(results.median(corpus, name, key="cpu"), 1)]
        remarks = results.loses(corpus, name), one_line(results.failure(corpus, name) or "")
        rows.append(row + ["; ".join(filter(None, remarks)) or "–"])
    if large and results.device("limit"):
        shown = number(results.device("read"), 0), number(results.device("write"), 0)
        rows.append(["the device, direct", "–", "–", "–", "–", f"{shown[0]} read, {shown[1]} write", "100%", "–", "–", "–"])
    text.append(table(head + ["peak RSS MiB", "CPU s", "loses"], rows))
    return text


def works_part(results):
    rows = []
    for corpus in results.data["corpora"]:
        for phase, tool, words in WORKS:
            if results.runs(corpus, tool, phase):
                cells = times(results, corpus, tool, phase)
                speed = results.speed(corpus, tool, phase) if corpus == "large" else None
                failure = one_line(results.failure(corpus, tool, phase) or "–")
                rows.append([corpus, words, *cells, number(speed, 0), failure])
    if not rows:
        return []
    return ["### Second run and verification", table(["", "", "median s", "least – most", "MiB/s", "failures"], rows)]


def bars_part(results):
    rows = []
    for what, how, bar, value, remark in bars(results):
        sign = {">=": "≥", ">": ">", "<=": "≤"}[how]
        rows.append([what, f"{sign} {bar:g}", number(value) + (f" ({remark})" if remark else ""), met(how, bar, value)])
    return ["### Bars", table(["bar of the design", "asked", "result", ""], rows)]


def machine_lines(data):
    facts = data["machine"]
    line = f"{data['started']}; {facts['cpu']}, {facts['cores']} cores, {number(facts['memory'] / (1 << 30), 1)} GiB of memory; "
    mount = f"{facts.get('filesystem', 'unknown file system')} ({facts.get('options', 'unknown options')})"
    line += f"Linux {facts['kernel']}; {mount} on {facts['device']}."
    lines = [line, f"`{data['command']}`"]
    if not data.get("finished"):
        lines.append("**This run was interrupted: what follows is what it had measured until then.**")
    return lines


def comparison(data):
    results = Results(data)
    text = machine_lines(data)
    text.append(
        f"Wall time from the start of the tool until `sync -f` of the target has returned, page cache dropped before; "
        f"medians of {data['rounds']} rounds, the tools of a corpus interleaved in every round. Peak RSS is that of the largest process "
        "(of a pipe the sum of both), CPU is user and system time of all. Every copy was counted, and one of each tool compared "
        "with its source byte by byte: what came along without an attribute is in the last column."
    )
    shown = [[f"`{t['shown']}`", t["version"] or "version not told"] for t in data["tools"].values()]
    text.append(table(["command", "version"], shown))
    text.append("![median seconds of each tool](PLOT)")
    for corpus in data["corpora"]:
        text += corpus_part(results, corpus)
    if data["device"]:
        rounds, by = len(data["device"]), data["device"][0]["by"]
        rows = []
        settings = data["device"][-1].get("settings", {})
        for what in ("read", "write", "both"):
            v = [probe[what] for probe in data["device"] if what in probe]
            if not v:
                continue
            words = {"both": "each of both, at once"}.get(what, what)
            requests = "{0} × {1}".format(*settings[what]) if what in settings else "1M × 8"
            rows.append([words, requests, number(statistics.median(v), 0), f"{number(min(v), 0)} – {number(max(v), 0)}"])
        where = f"{rounds} times between the tools of `{data['device'][0]['corpus']}` ({by})"
        text.append(f"### Device\n\nSequential and direct, with the request size and depth that give most here, {where}.")
        text.append(table(["", "requests", "median MiB/s", "least – most"], rows))
    return text + works_part(results) + bars_part(results)


def scale(data):
    text = machine_lines(data)
    where = ", each from one ext4 in a file to another (direct loop devices)" if data.get("images") else ""
    text.append(
        f"persistcp copies and verifies trees of tiny files (the file system's own cost of a file, nothing else){where}, "
        f"page cache dropped before, until `sync -f` returns. Memory limit: {data['limit']}."
    )
    if data.get("beside"):
        text.append(f"Beside it: {data['beside']}.")
    text.append("\n".join(f"- *{shape}*: {words}" for shape, (words, _) in shapes.SHAPES.items()))
    rows = []
    for row in sorted(data["rows"], key=lambda row: (list(shapes.SHAPES).index(row["shape"]), row["files"])):
        good = "error" not in row
        micro = number(row["seconds"] * 1e6 / row["files"], 1) if good else "–"
        spent = number(row["cpu"] * 1e6 / row["files"], 1) if good else "–"
        cells = [number(row["seconds"]), micro, spent, number(row["rss"] / MIB, 0)] if good else ["–"] * 4
        journal = number(row["journal"] / row["files"], 0) if good else "–"
        failure = "–" if good else one_line(f"failed: {row['error']}")
        rows.append([number(row["files"], 0), row["shape"], row["work"], *cells, journal, failure])
    head = ["files", "", "", "seconds", "µs a file", "CPU µs a file", "peak RSS MiB", "journal bytes a file", "failures"]
    return text + [table(head, rows), "![microseconds a file](PLOT)"]


def moved(now, before, tolerance=0.1):
    """Figures of ours that differ from an earlier comparison by more than `tolerance`: not in seconds, which are
    another machine's or another day's, but as a share of what a reference needed in the same rounds."""
    now, before = Results(now), Results(before)
    references = {"copy": ("floor", "cp", "rsync"), "second": ("rsync",), "check": ("rsync",)}
    for corpus in now.data["corpora"]:
        for phase, candidates in references.items():
            for tool in tools.OWN:
                for reference in candidates:
                    pairs = [(r.median(corpus, tool, phase), r.median(corpus, reference, phase)) for r in (now, before)]
                    new, old = (quotient(*pair) for pair in pairs)
                    if new and old:
                        if abs(new / old - 1) > tolerance:
                            words = "slower" if new > old else "faster"
                            yield f"{corpus}, {phase}: {tool} took {old:.2f} times {label(reference)}'s time, and takes {new:.2f}: {words}"
                        break


def splice(path, name, parts):
    """Puts the text between its markers; what a person wrote around them stays."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    text = "\n\n".join([begin, *parts, end])
    try:
        with open(path) as file:
            old = file.read()
    except FileNotFoundError:
        old = "# Benchmarks\n"
    if (begin in old) != (end in old) or old.find(end) < old.find(begin):
        raise SystemExit(f"{path} must have both {begin} and {end}, in this order, or neither: correct it and use --render")
    if begin in old:
        new = old[: old.index(begin)] + text + old[old.index(end) + len(end) :]
    else:
        new = old.rstrip("\n") + "\n\n" + text + "\n"
    write(path, new)


def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def save(path, data):
    write(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def load(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SystemExit(f"{path} is no JSON ({error}): take it away or correct it") from error


def render(raw):
    """Document and plots beside the raw numbers."""
    stem = raw.removesuffix(".json")
    data = load(raw)
    if not data:
        raise SystemExit(f"{raw} is not there: `scripts/compare DIR` writes it")
    if "compare" in data:
        write(f"{stem}.svg", plot.bars(Results(data["compare"]), label))
        picture = os.path.basename(stem) + ".svg"
        splice(f"{stem}.md", "compare", [p.replace("(PLOT)", f"({picture})") for p in comparison(data["compare"])])
    if "scale" in data:
        write(os.path.join(os.path.dirname(stem), "scale.svg"), plot.scale(data["scale"]["rows"]))
        splice(f"{stem}.md", "scale", [p.replace("(PLOT)", "(scale.svg)") for p in scale(data["scale"])])
    print(f"{stem}.md is written")
