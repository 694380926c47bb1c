"""File systems in files, made for one measurement and thrown away with it: removing ten million files takes longer
than copying them."""
import os
import subprocess


class Image:
    """An ext4 in a sparse file, mounted through a loop device that keeps nothing of it in the page cache."""

    def __init__(self, path, point, inodes=None, room=0):
        """Opens the file, or makes one for so many `inodes` and bytes of other things."""
        self.path, self.point, self.loop = path, point, None
        os.makedirs(point, exist_ok=True)
        if inodes:
            # 256 bytes an inode, room for names and journal, and what ext4 needs for itself.
            size = (inodes * 1024 + room + (1 << 30)) & ~4095
            with open(path, "wb") as file:
                file.truncate(size)
            done = subprocess.run(
                ["mkfs.ext4", "-q", "-F", "-O", "inline_data", "-I", "256", "-m", "0", "-N", str(inodes)]
                + ["-E", "nodiscard,lazy_itable_init=1", path],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise SystemExit(f"{path} could not be made: {done.stderr.strip()}")
        command = ["losetup", "--direct-io=on", "--show", "-f", path]
        self.loop = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        try:
            # The thread that initialises the rest of the inode tables would be measured as well.
            subprocess.run(["mount", "-o", "noinit_itable", self.loop, point], check=True)
        except BaseException:
            subprocess.run(["losetup", "-d", self.loop], check=False)
            raise

    def used(self):
        """Inodes in use."""
        space = os.statvfs(self.point)
        return space.f_files - space.f_ffree

    def close(self):
        if self.loop:
            subprocess.run(["umount", self.point], check=True)
            subprocess.run(["losetup", "-d", self.loop], check=True)
            self.loop = None

    def discard(self):
        self.close()
        os.unlink(self.path)


def clear(directory):
    """Unmounts and removes what an interrupted run left below `directory`, but finished sources."""
    with open("/proc/mounts") as file:
        points = [line.split()[1] for line in file]
    for point in (p for p in points if p.startswith(f"{directory}/")):
        subprocess.run(["umount", "-d", point], check=True)
    if not os.path.isdir(directory):
        return
    for entry in os.scandir(directory):
        if entry.name.endswith(".img") and not os.path.exists(f"{entry.path}.made"):
            os.unlink(entry.path)
