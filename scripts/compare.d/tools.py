"""The copiers: how each is called, where it comes from, and which version it is."""
import json
import os
import shutil
import subprocess

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RIVALS = os.path.join(PROJECT, "target", "rivals")
PLAN = ["{persistcp}", "--plan", "{plan}", "--allow-volatile", "--progress", "none"]
# name: what the table calls it, its commands (a pipe when there are two), who installs it
TOOLS = {
    "cp": ("cp -a", [["cp", "-a", "{source}", "{target}"]], None),
    "rsync": ("rsync -aHAXS", [["rsync", "-aHAXS", "{source}/", "{target}/"]], "apt-get"),
    "tar": (
        "tar | tar",
        [
            ["tar", "-C", "{source}", "--acls", "--xattrs", "-cf", "-", "."],
            ["tar", "-C", "{target}", "--acls", "--xattrs", "-xpf", "-"],
        ],
        None,
    ),
    "cpz": ("cpz", [["cpz", "{source}", "{target}"]], "cargo"),
    "xcp": ("xcp -r", [["xcp", "-r", "--no-progress", "{source}", "{target}"]], "cargo"),
    "rclone": (
        "rclone copy",
        [
            ["rclone", "copy", "--links", "--metadata", "--create-empty-src-dirs", "--transfers", "8"]
            + ["--checkers", "8", "{source}", "{target}"]
        ],
        "apt-get",
    ),
    "rcp": ("rcp --preserve", [["rcp", "--preserve", "{source}", "{target}"]], "cargo"),
    "pcp": ("pcp -r", [["pcp", "-r", "{source}", "{target}"]], "cargo"),
    # The fastest that they do, whatever it leaves out.
    "cp-plain": ("cp -r", [["cp", "-r", "{source}", "{target}"]], None),
    "rsync-plain": ("rsync -rlW --inplace", [["rsync", "-rlW", "--inplace", "{source}/", "{target}/"]], "apt-get"),
    "rcp-plain": ("rcp", [["rcp", "{source}", "{target}"]], "cargo"),
    "floor": ("the floor", [["{floor}", "{source}", "{target}"]], None),
    "persistcp": ("persistcp, copy alone", [PLAN + ["--verify", "none"]], None),
    "persistcp-verify": ("persistcp, copy and verify", [PLAN], None),
}
SECOND = {"rsync": TOOLS["rsync"][1], "persistcp": [PLAN]}
CHECKING = {
    "rsync": [["rsync", "-aHAXSc", "{source}/", "{target}/"]],
    "persistcp": [PLAN + ["--verify-only"]],
}
OWN = ("persistcp", "persistcp-verify")
# Programs whose crate has another name.
CRATES = {"rcp": "rcp-tools-rcp", "pcp": "parcopy-cli"}


def environment():
    """Rivals that cargo installed are found; nobody's configuration or language is."""
    path = f"{RIVALS}/bin:{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "LC_ALL": "C", "RCLONE_CONFIG": os.devnull}


def which(program):
    return shutil.which(program, path=environment()["PATH"])


def persistcp(binary):
    """The binary to measure: the one given, or the one that cargo builds now."""
    if not binary:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=PROJECT, check=True)
        binary = os.path.join(PROJECT, "target", "release", "persistcp")
    if not os.access(binary, os.X_OK):
        raise SystemExit(f"{binary} cannot be run: build it first with `cargo build --release`, or correct --bin")
    return os.path.abspath(binary)


def floor():
    """The bare program of benches/floor.rs, as cargo builds it."""
    command = ["cargo", "bench", "--locked", "--quiet", "--no-run", "--bench", "floor", "--message-format", "json"]
    built = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout
    artifacts = (json.loads(line) for line in built.splitlines() if line.startswith("{"))
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "floor")


def provide(name, catalogue):
    """Installs the tool if it is not there; a sentence when that fails, shown in its row."""
    _, commands, origin = catalogue[name]
    program = commands[0][0]
    if name in OWN or name == "floor" or which(program):
        return None
    if origin is None:
        return f"{program} is not there: install it"
    return install([program], origin)


def install(programs, origin):
    settings = environment()
    if origin == "cargo":
        command = ["cargo", "install", "--quiet", "--locked", "--root", RIVALS, *(CRATES.get(p, p) for p in programs)]
        # rcp asks for it, and the others do not look.
        settings["RUSTFLAGS"] = "--cfg tokio_unstable"
    else:
        command = ["apt-get", "install", "-qy", "--no-install-recommends", *programs]
    print(f"  {' '.join(command)}", flush=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=settings)
        if done.returncode == 0 and all(map(which, programs)):
            return None
        reason = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
    except OSError as error:
        reason = error.strerror
    return f"not installed ({reason}); try `{' '.join(command)}`"


def fill(commands, places):
    return [[part.format(**places) for part in command] for command in commands]


def shown(commands):
    """The command as the document has it, without this machine's paths."""
    words = {"source": "SOURCE", "target": "TARGET", "plan": "PLAN", "persistcp": "persistcp", "floor": "floor"}
    return " | ".join(" ".join(command) for command in fill(commands, words))


def version(commands, binary):
    if commands[0][0] == "{floor}":
        return "benches/floor.rs"
    program = fill([commands[0][:1]], {"persistcp": binary, "source": "", "target": "", "plan": ""})[0][0]
    for argument in ("--version", "version"):
        try:
            done = subprocess.run([program, argument], capture_output=True, text=True, env=environment(), timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        if done.returncode == 0 and lines:
            return " ".join(lines[0].split())
    return None


def plan(path, source, root):
    """A plan that copies SOURCE/data to ROOT/target/data."""
    lines = ["version = 1", 'name = "compare"', f"source = {json.dumps(source)}", f"root = {json.dumps(root)}"]
    lines += ["[[map]]", 'from = "/data"', 'to = "/target/data"', ""]
    with open(path, "w") as file:
        file.write("\n".join(lines))
