//! `examples/emberroot/runbook.md` as it stands: its commands run in their order on a loop disk,
//! and print what it says.

use crate::emberroot::machine::Backup;
use crate::kit::run::{Ran, wait};
use crate::kit::{need_root, need_tools};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RUNBOOK: &str = "examples/emberroot/runbook.md";

/// A fenced block: what stands after the backticks, its text, and its line.
struct Block {
    kind: String,
    text: String,
    line: usize,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => open = Some(Block { kind: kind.into(), text: String::new(), line: number + 1 }),
            (Some(_), _) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    blocks
}

/// True when the lines are as expected: `…` alone is any number of lines, in a line any text.
fn matches(expected: &[&str], found: &[&str]) -> bool {
    match (expected.split_first(), found.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), _) => (0..=found.len()).any(|skip| matches(rest, &found[skip..])),
        (Some((line, rest)), Some((first, others))) => line_matches(line, first) && matches(rest, others),
        _ => false,
    }
}

fn line_matches(expected: &str, found: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|first| found.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part.trim()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.trim_end().ends_with(last.trim())
}

/// Loop devices of one test.
struct Loop(PathBuf);

impl Loop {
    fn new(image: &Path, args: &[&str]) -> Self {
        let out = Command::new("losetup").args(args).args(["-f", "--show"]).arg(image).output().unwrap();
        assert!(out.status.success(), "losetup: {}", String::from_utf8_lossy(&out.stderr));
        Self(String::from_utf8(out.stdout).unwrap().trim().into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // The kernel keeps the partitions of a device that goes.
        Command::new("partx").arg("-d").arg(&self.0).output().ok();
        Command::new("losetup").arg("-d").arg(&self.0).output().ok();
    }
}

/// What `nixos-install` leaves on the EFI partition, as far as `check` looks; in memory where the
/// kernel does not know vfat.
const INSTALLED: &str = "mountpoint -q /mnt/boot/efi || mount -t tmpfs none /mnt/boot/efi\n\
    mkdir -p /mnt/boot/efi/EFI/{systemd,nixos} /mnt/boot/efi/loader/entries\n\
    for f in systemd/systemd-bootx64 nixos/kernel nixos/initrd; do echo x > /mnt/boot/efi/EFI/$f.efi; done\n\
    printf 'title NixOS\\nlinux /EFI/nixos/kernel.efi\\ninitrd /EFI/nixos/initrd.efi\\n' \
    > /mnt/boot/efi/loader/entries/nixos-generation-1.conf\n";

/// Blocks of these kinds, as one script: before each its number.
fn in_place(blocks: &[Block], kinds: &[&str]) -> String {
    let run = blocks.iter().enumerate().filter(|(_, block)| kinds.contains(&block.kind.as_str()));
    run.fold("set -euo pipefail\n".to_string(), |script, (number, block)| {
        format!("{script}echo @@{number}\n{}", block.text)
    }) + "echo @@end\n"
}

/// The blocks that run here, as one script: before each its number, and all output in one stream.
fn script(blocks: &[Block], settings: &str) -> String {
    let has_vfat = std::fs::read_to_string("/proc/filesystems").unwrap().contains("vfat");
    let mut installed = false;
    let mut script = String::from("set -euo pipefail\n");
    for (number, block) in blocks.iter().enumerate() {
        let text = match block.kind.as_str() {
            "sh" => &block.text,
            "sh settings" => settings,
            "sh vfat" if has_vfat => &block.text,
            "sh machine" if block.text.contains("nixos-install") && !installed => {
                installed = true;
                INSTALLED
            }
            _ => continue,
        };
        script.push_str(&format!("echo @@{number}\n{text}"));
    }
    script + "echo @@end\n"
}

#[test]
fn the_runbook_does_and_prints_what_it_says() {
    need_root!();
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    drop(Backup::new(scratch.path()));
    let old = Loop::new(&scratch.path().join("old.img"), &["-r"]);
    let image = scratch.path().join("new.img");
    std::fs::File::create(&image).unwrap().set_len(3 << 30).unwrap();
    let new = Loop::new(&image, &[]);
    let settings = format!(
        "disk={} part={}p old={} esp=65MiB nix=365MiB swap=64MiB\n",
        new.0.display(),
        new.0.display(),
        old.0.display()
    );
    let text = std::fs::read_to_string(home.join(RUNBOOK)).unwrap();
    let blocks = blocks(&text);
    assert!(blocks.iter().filter(|b| b.kind == "sh").count() >= 11, "blocks of the runbook were lost");
    let work = scratch.path().join("work");
    std::fs::create_dir(&work).unwrap();
    std::fs::copy(home.join("examples/emberroot/mapping.toml"), work.join("mapping.toml")).unwrap();

    // A mount namespace of its own: /mnt is the machine's.
    let bin = Path::new(env!("CARGO_BIN_EXE_persistcp")).parent().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash", "-c"]);
    command.arg(format!("exec 2>&1\n{}", script(&blocks, &settings))).current_dir(&work);
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = wait(command).exits(0);
    let differ = differences(&blocks, &ran);
    assert!(differ.is_empty(), "{RUNBOOK} is not what its commands print:\n{}", differ.join("\n"));
}

/// The chapter without a second disk, in a machine's root: a chroot whose root is that machine's disk.
fn without_a_second_disk(kind: &str) {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let backup = Backup::new(scratch.path());
    let disk = |name: &str| {
        let image = scratch.path().join(name);
        std::fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
        Loop::new(&image, &[])
    };
    let (root, persist, nix) = (disk("root.img"), disk("persist.img"), disk("nix.img"));
    let device = root.0.display();
    let mount = match kind {
        "btrfs" => format!(
            "mkfs.btrfs -q {device}; mount {device} /mnt; btrfs -q subvolume create /mnt/@; umount /mnt\n\
             mount -o subvol=@ {device} /mnt\n"
        ),
        _ => format!("mkfs.ext4 -q {device}; mount {device} /mnt\n"),
    };
    let text = std::fs::read_to_string(home.join(RUNBOOK)).unwrap();
    let blocks = blocks(&text);
    let chapter = format!(
        "new_persist={} new_nix={}\n{}",
        persist.0.display(),
        nix.0.display(),
        in_place(&blocks, &["sh here", &format!("sh {kind}")])
    );
    assert!(chapter.matches("@@").count() > 8, "blocks of the chapter were lost");
    let inside = scratch.path().join("chapter.sh");
    std::fs::write(&inside, chapter).unwrap();
    let machine = format!(
        "set -euo pipefail; exec 2>&1\n{mount}\
         cp -a {}/. /mnt/\n\
         mkdir -p /mnt/{{usr,proc,dev,root/bin,tmp}}; mount --bind /usr /mnt/usr; mount --rbind /dev /mnt/dev\n\
         mount -t proc proc /mnt/proc\n\
         for name in bin sbin lib lib64; do [ -e /mnt/$name ] || ln -s usr/$name /mnt/$name; done\n\
         cp {} {} {} /mnt/root/\n\
         mount -t tmpfs none /mnt/boot || {{ mkdir -p /mnt/boot; mount -t tmpfs none /mnt/boot; }}; mkdir /mnt/boot/efi\n\
         {}\n\
         exec chroot /mnt /usr/bin/env PATH=/root:/usr/sbin:/usr/bin bash -c 'cd /root && . ./chapter.sh'",
        backup.at("").display(),
        env!("CARGO_BIN_EXE_persistcp"),
        home.join("examples/emberroot/mapping.toml").display(),
        inside.display(),
        INSTALLED
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash", "-c", &machine]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = wait(command).exits(0);
    let differ = differences(&blocks, &ran);
    assert!(differ.is_empty(), "{RUNBOOK} is not what its commands print on {kind}:\n{}\n{ran}", differ.join("\n"));
}

#[test]
fn the_chapter_without_a_second_disk_holds_with_new_partitions() {
    need_root!();
    without_a_second_disk("partitions");
}

#[test]
fn the_chapter_without_a_second_disk_holds_on_btrfs() {
    need_root!();
    need_tools!("btrfs", "mkfs.btrfs");
    without_a_second_disk("btrfs");
}

fn differences(blocks: &[Block], ran: &Ran) -> Vec<String> {
    let mut differ = Vec::new();
    for part in ran.stdout.split("@@").skip(1) {
        let (number, said) = part.split_once('\n').unwrap();
        let Ok(number) = number.parse::<usize>() else { continue };
        let Some(expected) = blocks.get(number + 1).filter(|block| block.kind == "text") else { continue };
        // parted asks for a program that only machines with udev have.
        let said: Vec<&str> = said.lines().filter(|line| !line.contains("udevadm")).collect();
        if !matches(&expected.text.lines().collect::<Vec<_>>(), &said) {
            differ.push(format!("line {}, expected\n{}found\n{}\n", expected.line, expected.text, said.join("\n")));
        }
    }
    differ
}

/// Runs a script in a mount namespace of its own, with `setup` before it.
fn privately(setup: &str, script: &str) -> Ran {
    let bin = Path::new(env!("CARGO_BIN_EXE_persistcp")).parent().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash", "-c"]).arg(format!("exec 2>&1\n{setup}\n{script}"));
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command).exits(0)
}

#[test]
fn subvolumes_of_btrfs_are_an_old_and_a_new_disk() {
    need_root!();
    need_tools!("btrfs", "mkfs.btrfs");
    let scratch = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let blocks = blocks(&std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RUNBOOK)).unwrap());
    let image = |name: &str| {
        let image = scratch.path().join(name);
        std::fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        image
    };
    let (old, new) = (image("old.img"), image("new.img"));
    // What the old machine had: a home of its own subvolume, and one inside that.
    let made = "set -e; mkfs.btrfs -q $old; mount -o loop $old /mnt\n\
        for name in @ @home; do btrfs -q subvolume create /mnt/$name; done; mkdir -p /mnt/@/{etc,home} /mnt/@home/s\n\
        btrfs -q subvolume create /mnt/@home/s/inner; echo deep > /mnt/@home/s/inner/file\n\
        echo id > /mnt/@/etc/machine-id; umount /mnt";
    privately(&format!("old={}", old.display()), made);
    let (old, new) = (Loop::new(&old, &["-r"]), Loop::new(&new, &[]));
    let plan = scratch.path().join("plan.toml");
    let text = "version = 1\nname = \"t\"\nsource = \"/mnt/backup\"\nroot = \"/mnt\"\n\
                [[target]]\nname = \"s\"\nto = \"/persist\"\nfiles = [\"/etc/machine-id\"]\ndirectories = [\"/home/s\"]\n";
    std::fs::write(&plan, text).unwrap();
    let setup = format!(
        "part={}p old={}; ln -sf {} {}p2",
        scratch.path().join("disk").display(),
        old.0.display(),
        new.0.display(),
        scratch.path().join("disk").display()
    );
    let tried = "mount -o ro,rescue=nologreplay,subvol=@ $old /mnt/backup; umount /mnt/backup\n";
    let commands = [in_place(&blocks, &["sh new btrfs"]), tried.into(), in_place(&blocks, &["sh old btrfs"])].concat();
    let run =
        format!("{commands}persistcp --plan {} --progress none\ncat /mnt/persist/home/s/inner/file\n", plan.display());
    privately(&setup, &run).says("t: done, no problems").says("deep");
}

#[test]
fn a_luks_container_is_made_and_opens() {
    need_tools!("cryptsetup");
    let scratch = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::File::create(scratch.path().join("disk3")).unwrap().set_len(32 << 20).unwrap();
    let blocks = blocks(&std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RUNBOOK)).unwrap());
    let script = in_place(&blocks, &["sh luks"]);
    assert!(script.contains("cryptsetup luksFormat ${part}3"), "{script}");
    let command = |passphrases: &str| {
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("part={}/disk\nprintf '{passphrases}' | (\n{script}\n)", scratch.path().display())]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        wait(command)
    };
    command("secret\\nsecret\\n").exits(0);
    command("secret\\nanother\\n").exits(2);
}

#[test]
fn the_comparison_of_output_can_fail() {
    let found = ["a: done", "", "  x 12 entries, 3 files", "end"];
    for (expected, same) in [
        (vec!["a: done", "…", "end"], true),
        (vec!["a: done", "", "  x … entries, … files", "end"], true),
        (vec!["…"], true),
        (vec!["a: done", "end"], false),
        (vec!["…", "  x … entries, … dirs", "end"], false),
        (vec!["a: failed", "…"], false),
        (vec!["…", "en"], false),
    ] {
        assert_eq!(matches(&expected, &found), same, "{expected:?}");
    }
}
