"""`gptcli doctor`: check the installation and devices. It changes nothing and uses no network."""

import platform
import sys
from importlib.metadata import version

import typer

from gptcli import __version__, settings
from gptcli.cli.main import CommandContext

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: gptcli doctor")
def doctor(ctx: typer.Context) -> None:
    """Check the installation and devices, and show where files are stored and how to use a GPU."""
    from gptcli.llama.devices import (
        build_hint,
        choose_offload,
        choose_threads,
        list_devices,
        unused_gpu,
        usable_processors,
    )
    from gptcli.llama.library import system_info
    from gptcli.models.refs import catalog
    from gptcli.render.progress import bytes_text
    from gptcli.runtime import memory

    context: CommandContext = ctx.obj
    devices = list_devices()
    free = memory.available()
    decode, prompt = choose_threads(None, None)
    lines = [
        ("gptcli", f"{__version__} (Python {platform.python_version()}, {platform.platform()})"),
        ("llama-cpp-python", version("llama-cpp-python")),
        ("huggingface-hub", version("huggingface-hub")),
        ("llama.cpp", system_info()),
        ("processors", f"{usable_processors()} usable; {decode} threads for decoding, {prompt} for prompts"),
        ("memory free", bytes_text(free)),
        *[(f"device {device.name}", device.description) for device in devices],
        ("--device auto", f"runs on {choose_offload('auto', None, devices).description}"),
        ("default model", catalog.default_alias()),
        ("model cache", str(settings.hub_cache_dir())),
        ("cache", str(settings.cache_dir())),
        ("data", str(settings.data_dir())),
        ("network", "off" if settings.offline() else "used only to download models"),
    ]
    for name, value in lines:
        context.terminal.write(f"{name + ':':<18} {value}\n")
    if not any(device.is_gpu for device in devices):
        found = unused_gpu(devices)
        why = f"This build cannot use {found}" if found else "This build has no GPU backend"
        hint = build_hint("metal" if sys.platform == "darwin" else "cuda")
        context.terminal.write(f"{'for a GPU:':<18} {why}. {hint}\n")
