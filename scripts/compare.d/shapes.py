"""The trees of `compare scale`: what each is like, and how it is made."""
import os

import corpora

# What a tree is like, and how many files it has unless --sizes or --flat say so.
SHAPES = {
    "tree": ("empty files, 100 in a directory", None),
    "flat": ("empty files, all in one directory", None),
    "tiny": ("files of up to 200 bytes, 100 in a directory", 2_000_000),
    "linked": ("each file has a second name, which the plan does not select", 1_000_000),
    "attributes": ("each file has 2 KiB of attributes", 100_000),
    "directories": ("each file has a directory of its own", 100_000),
    "deep": ("50 files in each directory of a chain", 100_000),
}
PER_DIRECTORY, DEPTH = 100, 2000


def inodes(shape, files):
    directories = {"directories": files, "deep": DEPTH}.get(shape, files // PER_DIRECTORY)
    return files + directories + files // 200 + 10_000


def room(shape, files):
    return files * 4096 if shape == "attributes" else 0


def make(root, files, shape):
    limit = 200 if shape == "tiny" else 0
    if shape == "flat":
        corpora.fill([(f"{root}/data", first, min(5000, files - first), limit) for first in range(0, files, 5000)])
    else:
        corpora.tiny(f"{root}/data", files, 1 if shape == "directories" else PER_DIRECTORY, limit)


def linked(root, files, shape):
    make(root, files, shape)
    os.mkdir(f"{root}/outside")
    corpora.each_directory(f"{root}/data", corpora.link_all, f"{root}/outside")


def attributes(root, files, shape):
    make(root, files, shape)
    corpora.each_directory(f"{root}/data", corpora.attribute_all, 2048)


def deep(root, files, _):
    """By descriptors: the paths are longer than a path may be."""
    at = os.open(f"{root}/data", os.O_DIRECTORY)
    for level in range(DEPTH):
        for number in range(files // DEPTH):
            os.close(os.open(str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at))
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


MAKERS = {"linked": linked, "attributes": attributes, "deep": deep}
