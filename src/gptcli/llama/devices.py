"""The devices and processor threads that llama.cpp can use here, and what `--device` and `--gpu-layers` choose."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from gptcli.errors import LoadError, UsageError
from gptcli.llama.library import symbol, system_info


class DeviceKind(IntEnum):
    """ggml_backend_dev_type (ggml/include/ggml-backend.h)."""

    CPU = 0
    GPU = 1
    IGPU = 2
    ACCELERATOR = 3


@dataclass(frozen=True, slots=True)
class Device:
    """A device that this build can use; memory in bytes."""

    handle: int
    name: str
    description: str
    kind: DeviceKind
    free: int
    total: int

    @property
    def is_gpu(self) -> bool:
        return self.kind in (DeviceKind.GPU, DeviceKind.IGPU)


@dataclass(frozen=True, slots=True)
class Offload:
    """Where a model runs: the devices to offload to, and how many layers (-1: all)."""

    devices: tuple[Device, ...]
    layers: int

    @property
    def is_cpu(self) -> bool:
        """Whether everything runs on the CPU."""
        return not self.devices or self.layers == 0

    @property
    def is_gpu(self) -> bool:
        """Whether all layers run on GPUs."""
        return bool(self.devices) and self.layers < 0

    @property
    def description(self) -> str:
        return "CPU" if self.is_cpu else "+".join(device.name for device in self.devices)


def list_devices() -> list[Device]:
    """Every device that this build of llama.cpp can use."""
    count = symbol("ggml_backend_dev_count", ctypes.c_size_t)
    get = symbol("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    return [_device(get(index)) for index in range(count())]


def _device(handle: int) -> Device:
    name = symbol("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
    description = symbol("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
    kind = symbol("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    sizes = ctypes.POINTER(ctypes.c_size_t)
    memory = symbol("ggml_backend_dev_memory", None, ctypes.c_void_p, sizes, sizes)
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    memory(handle, ctypes.byref(free), ctypes.byref(total))
    number = kind(handle)
    return Device(
        handle=handle,
        name=name(handle).decode(),
        description=description(handle).decode(errors="replace").strip(),
        kind=DeviceKind(number) if number in set(DeviceKind) else DeviceKind.ACCELERATOR,
        free=free.value,
        total=total.value,
    )


def choose_offload(device: str, layers: int | None, devices: list[Device]) -> Offload:
    """What `--device DEVICE --gpu-layers LAYERS` means with these devices.

    `auto` uses all GPUs, otherwise the CPU. Raises UsageError for a contradiction or an unknown name, and LoadError,
    with the command that installs the right build, for a device that this build cannot use."""
    backend, _, index = device.lower().partition(":")
    if backend not in ("auto", "cpu", "metal", "cuda") or (index and (backend != "cuda" or not index.isdecimal())):
        raise UsageError(f"unknown --device {device}.", "Use auto, cpu, metal, cuda or cuda:0.")
    if backend == "cpu":
        if layers:
            raise UsageError(f"--device cpu and --gpu-layers {layers} contradict each other.", "Drop one.")
        return Offload((), 0)
    gpus = [gpu for gpu in devices if gpu.is_gpu]
    if backend == "auto":
        if not gpus and layers:
            raise LoadError(f"--gpu-layers {layers} needs a GPU; this build of llama.cpp has none.", build_hint())
        return Offload(tuple(gpus), (-1 if layers is None else layers) if gpus else 0)
    prefix = "mtl" if backend == "metal" else "cuda"
    matching = [gpu for gpu in gpus if gpu.name.lower().startswith((prefix, backend))]
    if index:
        matching = [gpu for gpu in matching if gpu.name.lower() == f"cuda{int(index)}"]
    if not matching:
        found = ", ".join(one.name for one in devices) or "none"
        raise LoadError(f"--device {device} was not found: this build of llama.cpp has {found}.", build_hint(backend))
    return Offload(tuple(matching), -1 if layers is None else layers)


def build_hint(backend: str = "") -> str:
    """How to install a build of llama-cpp-python for a GPU."""
    if not backend:
        backend = "metal" if sys.platform == "darwin" else "cuda"
    flag = {"metal": "-DGGML_METAL=on", "cuda": "-DGGML_CUDA=on"}[backend]
    command = "pip install --force-reinstall --no-cache-dir --no-deps --no-binary llama-cpp-python llama-cpp-python"
    needs = " (it needs the CUDA toolkit)" if backend == "cuda" else ""
    return f'Install a build with GPU support{needs}: CMAKE_ARGS="{flag}" {command}'


def unused_gpu(devices: list[Device]) -> str | None:
    """A GPU in this machine that this build cannot use, in words; None if there is none."""
    if any(device.is_gpu for device in devices):
        return None
    with contextlib.suppress(OSError):
        cards = sorted(Path("/proc/driver/nvidia/gpus").iterdir())
        if cards:
            return f"{len(cards)} NVIDIA GPU{'s' if len(cards) > 1 else ''}"
    if sys.platform == "darwin" and os.uname().machine == "arm64":
        return "Apple GPU"
    return None


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
    features = system_info()
    return "REPACK = 1" in features and any(kernel in features for kernel in _REPACK_KERNELS)
