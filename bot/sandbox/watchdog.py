"""What a sandbox's programs use right now of what no limit of the kernel's may hold: disk and memory."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

_KIB = 1024
_PPID_FIELD = 1


def descendants(roots: Collection[int]) -> frozenset[int]:
    """Process ids below `roots`, the roots included."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                text = Path(entry.path, "stat").read_text()
            except OSError:
                continue  # it has just ended
            parent = int(text.rpartition(")")[2].split()[_PPID_FIELD])
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return frozenset(found)


def unlinked_bytes(pids: Collection[int], device: int) -> int:
    """Disk blocks on `device` of files that have no name any more but are held open."""
    sizes: dict[int, int] = {}
    for pid in pids:
        for status in _open_files(pid):
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and status.st_dev == device:
                sizes[status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


def _open_files(pid: int) -> Iterator[os.stat_result]:
    try:
        entries = list(os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return
    for entry in entries:
        try:
            yield entry.stat()
        except OSError:
            continue


def memory_bytes(pids: Collection[int]) -> int:
    """Resident memory that belongs to nobody's file; shared pages count once for each who maps them."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * _KIB
    return total


def total_of(disk_usage: bytes) -> int:
    """The sum of `du --block-size=1 -s`'s lines."""
    return sum(int(line.split(b"\t")[0]) for line in disk_usage.splitlines())


def free_bytes(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def files_bytes(directory: Path) -> int:
    """Of a directory that is ours: nothing in it can be a trap."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
