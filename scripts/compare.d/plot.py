"""Plots as plain SVG: a white ground, dark text, room for the longest label."""
import math
from xml.sax.saxutils import escape

SIZE = 13
OURS, OTHERS, LINES = "#1f6feb", "#9aa4af", ("#1f6feb", "#c4501b")


def room(text):
    """A generous width: viewers have different fonts."""
    return len(text) * SIZE * 0.62


def text(x, y, words, anchor="start", style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def line(x1, y1, x2, y2, color="#57606a", width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width}"/>'


def document(width, height, title, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head += f' font-family="system-ui, sans-serif" font-size="{SIZE}" fill="#1f2328" role="img"><title>{escape(title)}</title>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>", ""])


def seconds(value):
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def volume(count):
    return f"{count / (1 << 30):.2f} GiB" if count >= 1 << 29 else f"{count / (1 << 20):.1f} MiB"


def bars(results, label):
    """A group for each corpus with its own scale: a bar for the median, a whisker from least to most."""
    groups = [(corpus, [row(results, corpus, name, label) for name in results.tools(corpus)]) for corpus in results.data["corpora"]]
    rows = [r for _, members in groups for r in members]
    left = 16 + max([room(r["label"]) for r in rows], default=100) + 10
    wide = 520
    width = left + wide + max([room(r["value"]) for r in rows if not r["failed"]], default=60) + 24
    width = max([width] + [left + room(r["value"]) + 24 for r in rows if r["failed"]])
    parts, y = [], 12
    for corpus, members in groups:
        y += 26
        counts = results.data["corpora"][corpus]
        size = f"{counts['entries']:,}".replace(",", " ")
        heading = f"{corpus}: {size} entries, {volume(counts['bytes'])}"
        width = max(width, room(heading) * 1.1 + 32)
        parts.append(text(16, y, heading, style=' font-weight="600"'))
        y += 12
        scale = wide / max([r["most"] for r in members if not r["failed"]], default=1)
        for r in members:
            y += 24
            parts.append(text(left - 10, y, r["label"], "end"))
            if r["failed"]:
                parts.append(text(left, y, r["value"], style=' fill="#a40e26"'))
                continue
            color = OURS if r["ours"] else OTHERS
            parts.append(f'<rect x="{left:.1f}" y="{y - 13}" width="{max(1, r["median"] * scale):.1f}" height="17" fill="{color}"/>')
            least, most = left + r["least"] * scale, left + r["most"] * scale
            parts.append(line(least, y - 4.5, most, y - 4.5, "#1f2328"))
            parts += [line(x, y - 9, x, y, "#1f2328") for x in (least, most)]
            parts.append(text(max(most, left + 1) + 8, y, r["value"]))
        parts.append(line(left, y - 24 * len(members) + 8, left, y + 8))
    y += 36
    note = "median seconds, whiskers: least and most; each corpus has its own scale; less is better"
    parts.append(text(16, y, note, style=' fill="#57606a"'))
    return document(max(width, room(note) + 32), y + 16, "Seconds of each tool", parts)


def row(results, corpus, name, label):
    values = results.values(corpus, name)
    result = {"label": label(name), "ours": name.startswith("persistcp"), "failed": not values}
    if not values:
        failure = " ".join((results.failure(corpus, name) or "not measured").split())
        return {**result, "value": failure if len(failure) <= 70 else failure[:69] + "…"}
    middle = results.median(corpus, name)
    return {**result, "median": middle, "least": min(values), "most": max(values), "value": seconds(middle)}


def scale(rows):
    """Microseconds a file over the number of files, which has a logarithmic axis."""
    series = {"tree": [], "flat": []}
    for r in rows:
        if r["work"] == "copy and verify" and r["shape"] in series and "error" not in r:
            series[r["shape"]].append((r["files"], r["seconds"] * 1e6 / r["files"]))
    points = [p for member in series.values() for p in member]
    sizes = sorted({x for x, _ in points}) or [1]
    top = nice(max([y for _, y in points], default=1))
    low, high = math.log10(sizes[0]), math.log10(sizes[-1])
    left, up, wide, tall = 90, 50, 560, 300
    right = 40 + room("flat")

    def place(x, y):
        share = (math.log10(x) - low) / (high - low) if high > low else 0.5
        return left + share * wide, up + tall - y / top * tall

    parts = [text(16, 26, "µs a file, copy and verify", style=' font-weight="600"')]
    for step in range(5):
        value = top * step / 4
        _, y = place(sizes[0], value)
        parts += [line(left, y, left + wide, y, "#d0d7de"), text(left - 10, y + 4, f"{value:g}", "end")]
    for size in sizes:
        x, y = place(size, 0)
        parts += [line(x, y, x, y + 5), text(x, y + 22, f"{size:,}".replace(",", " "), "middle")]
    parts.append(text(left + wide / 2, up + tall + 46, "files (logarithmic)", "middle"))
    ends = []
    for (name, member), color in zip(series.items(), LINES):
        placed = [place(*point) for point in sorted(member)]
        if not placed:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>' for x, y in placed]
        x, y = placed[-1]
        while any(abs(y - other) < 15 for other in ends):
            y -= 5  # two names at one height
        ends.append(y)
        parts.append(text(x + 10, y + 4, name, style=f' style="fill:{color}"'))
    return document(left + wide + right, up + tall + 64, "Microseconds a file", parts)


def nice(value):
    """The next of 1, 2, 4, 8 times a power of ten, so that quarters are short."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 8, 10, 20) if step * power >= value)
