"""What --device and --gpu-layers mean, as a table over imaginary devices."""

from __future__ import annotations

import pytest

from gptcli.errors import LoadError, UsageError
from gptcli.llama.devices import Device, DeviceKind, choose_offload, list_devices, unused_gpu


def device(name: str, kind: DeviceKind) -> Device:
    return Device(handle=hash(name), name=name, description=name, kind=kind, free=2**30, total=2**31)


CPU = device("CPU", DeviceKind.CPU)
BLAS = device("BLAS", DeviceKind.ACCELERATOR)
CUDA0, CUDA1 = device("CUDA0", DeviceKind.GPU), device("CUDA1", DeviceKind.GPU)
METAL = device("MTL0", DeviceKind.GPU)
OLD_METAL = device("Metal", DeviceKind.GPU)
VULKAN = device("Vulkan0", DeviceKind.IGPU)


@pytest.mark.parametrize(
    ("wanted", "layers", "devices", "chosen", "offloaded"),
    [
        ("auto", None, [CPU], (), 0),
        ("auto", 0, [CPU], (), 0),
        ("auto", None, [CPU, BLAS], (), 0),
        ("auto", None, [CUDA0, CUDA1, CPU], (CUDA0, CUDA1), -1),
        ("auto", 12, [CUDA0, CPU], (CUDA0,), 12),
        ("auto", 0, [CUDA0, CPU], (CUDA0,), 0),
        ("AUTO", None, [VULKAN, CPU], (VULKAN,), -1),
        ("cpu", None, [CUDA0, CPU], (), 0),
        ("cpu", 0, [CUDA0, CPU], (), 0),
        ("cuda", None, [CUDA0, CUDA1, CPU], (CUDA0, CUDA1), -1),
        ("cuda:1", 5, [CUDA0, CUDA1, CPU], (CUDA1,), 5),
        ("CUDA:0", None, [CUDA0, CUDA1, CPU], (CUDA0,), -1),
        ("metal", None, [METAL, BLAS, CPU], (METAL,), -1),
        ("metal", 3, [OLD_METAL, CPU], (OLD_METAL,), 3),
    ],
)
def test_choice(
    wanted: str, layers: int | None, devices: list[Device], chosen: tuple[Device, ...], offloaded: int
) -> None:
    offload = choose_offload(wanted, layers, devices)
    assert (offload.devices, offload.layers) == (chosen, offloaded)
    if not chosen or offloaded == 0:
        assert offload.description == "CPU"
    else:
        assert offload.description == "+".join(one.name for one in chosen)


@pytest.mark.parametrize(
    ("wanted", "layers", "devices", "flag"),
    [
        ("cuda", None, [CPU], "-DGGML_CUDA=on"),
        ("cuda", None, [METAL, CPU], "-DGGML_CUDA=on"),
        ("cuda:2", None, [CUDA0, CUDA1, CPU], "-DGGML_CUDA=on"),
        ("metal", None, [CPU], "-DGGML_METAL=on"),
        ("metal", None, [VULKAN, CPU], "-DGGML_METAL=on"),
        ("auto", 10, [CPU], "-DGGML_"),
        ("auto", -1, [CPU, BLAS], "-DGGML_"),
    ],
)
def test_a_missing_device_is_refused_with_the_command_that_installs_it(
    wanted: str, layers: int | None, devices: list[Device], flag: str
) -> None:
    with pytest.raises(LoadError) as caught:
        choose_offload(wanted, layers, devices)
    assert f'CMAKE_ARGS="{flag}' in caught.value.hint
    assert "pip install" in caught.value.hint


@pytest.mark.parametrize("wanted", ["", "gpu", "cuda:x", "cuda:-1", "cuda:²", "metal:0", "auto:1", "cpu:0", "tpu"])
def test_unknown_devices_are_a_usage_error(wanted: str) -> None:
    with pytest.raises(UsageError):
        choose_offload(wanted, None, [CUDA0, CPU])


@pytest.mark.parametrize("layers", [1, -1, 99])
def test_layers_on_a_gpu_and_the_cpu_contradict_each_other(layers: int) -> None:
    with pytest.raises(UsageError, match="contradict"):
        choose_offload("cpu", layers, [CUDA0, CPU])


def test_this_build_has_a_cpu() -> None:
    devices = list_devices()
    assert DeviceKind.CPU in [one.kind for one in devices]
    assert all(one.name and one.total >= one.free >= 0 for one in devices)


def test_a_usable_gpu_is_not_unused() -> None:
    assert unused_gpu([CPU, CUDA0]) is None
