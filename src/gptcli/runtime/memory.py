"""How much memory this machine could give a model now: what the system says, and what a container leaves of it.

It knows Linux, macOS and Windows; it says None where none of them answers.
"""

from __future__ import annotations

import sys
from pathlib import Path

_NO_LIMIT = 1 << 60
"""cgroup v1 writes a number near 2**63 for "no limit"."""


def available() -> int | None:
    """Bytes that can be taken without swapping: the system's, or the container's where that is less."""
    if sys.platform == "linux":
        return linux(Path("/"))
    if sys.platform == "darwin":
        return _macos()
    if sys.platform == "win32":
        return _windows()
    return None


def linux(root: Path) -> int | None:
    """What /proc and /sys below `root` say; files that can be dropped count as free, as in `MemAvailable`."""
    found = [amount for amount in (_meminfo(root / "proc/meminfo"), *_groups(root)) if amount is not None]
    return min(found, default=None)


def _meminfo(path: Path) -> int | None:
    for line in _lines(path):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _groups(root: Path) -> list[int | None]:
    """What is left in this process's group and in all above it (cgroup v2, and v1's memory controller)."""
    left: list[int | None] = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, name = line.split(":", 2)
        if controllers not in {"", "memory"} and "memory" not in controllers.split(","):
            continue
        old = controllers != ""
        top = root / "sys/fs/cgroup" / ("memory" if old else "")
        files = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
        group = top / name.lstrip("/")
        while group.is_relative_to(top):
            left.append(_left(group, *files))
            group = group.parent
    return left


def _left(group: Path, limit_file: str, usage_file: str) -> int | None:
    limit, usage = _number(group / limit_file), _number(group / usage_file)
    if limit is None or usage is None or limit >= _NO_LIMIT:
        return None
    cached = 0
    for line in _lines(group / "memory.stat"):
        name, _, value = line.partition(" ")
        if name in {"inactive_file", "active_file"}:
            cached += int(value)
    return max(0, limit - usage + cached)


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii", "replace").splitlines()
    except OSError:
        return []


def _macos() -> int | None:
    """Pages that are free or can be dropped, by `vm_stat`, which has no equal without a framework."""
    import subprocess

    try:
        text = subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return vm_stat_bytes(text)


def vm_stat_bytes(text: str) -> int | None:
    """Bytes that the output of `vm_stat` calls free, inactive, speculative or purgeable."""
    import re

    pages: dict[str, str] = dict(re.findall(r"^Pages (\w+):\s+(\d+)\.", text, re.MULTILINE))
    size = re.search(r"page size of (\d+) bytes", text)
    if size is None or "free" not in pages:
        return None
    return int(size[1]) * sum(int(pages.get(kind, "0")) for kind in ("free", "inactive", "speculative", "purgeable"))


def _windows() -> int | None:
    """GlobalMemoryStatusEx (sysinfoapi.h): physical memory that is available."""
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            ("available", ctypes.c_ulonglong),
            ("rest", ctypes.c_ulonglong * 5),
        )

    status = Status(length=ctypes.sizeof(Status))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined,unused-ignore]
        return None
    return int(status.available)
