"""What this machine's processor offers llama.cpp: threads for a step, and kernels for repacked weights."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_REPACK_KERNELS = ("AVX2 = 1", "DOTPROD = 1", "MATMUL_INT8 = 1")
"""CPU features with a kernel for Q4_0 (ggml/src/ggml-cpu/repack.cpp, `ggml_repack_get_optimal_repack_type`)."""


def usable_processors() -> int:
    """Logical processors that this process may use: its affinity, and a container's quota (cgroup v2 cpu.max)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    return count


def physical_cores() -> int:
    """Cores among them. Two threads on one core share its arithmetic units and slow down each other's decoding."""
    usable = usable_processors()
    siblings = set()
    with contextlib.suppress(OSError):
        for processor in os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ():
            siblings.add(Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list").read_text())
    return min(usable, len(siblings) or usable)


def choose_threads(threads: int | None, prompt_threads: int | None) -> tuple[int, int]:
    """Threads for decoding and for prompts: as requested, otherwise one per physical core.

    More threads than cores gain nothing where ggml's kernels keep a core busy; `--threads-batch` can still raise the
    number for prompts."""
    decode = threads or physical_cores()
    return decode, prompt_threads or threads or physical_cores()


def repacks_q4_0() -> bool:
    """Whether this build repacks Q4_0 weights for this processor at load time, which makes prompts faster."""
    from gptcli.llama.library import system_info  # late: counting threads needs no library

    features = system_info()
    return "REPACK = 1" in features and any(kernel in features for kernel in _REPACK_KERNELS)
