"""`gptcli doctor`: what is installed, what would run where, where things are kept, and what to do for a GPU.

It asks and reports; it changes nothing and uses no network.
"""

import platform
import sys
from importlib.metadata import version

import typer

from gptcli import __version__, settings

app = typer.Typer(add_completion=False)


@app.command()
def doctor(ctx: typer.Context) -> None:
    """Say what is installed, what would run where, where things are kept, and what to do for a GPU."""
    from gptcli.llama.devices import build_advice, choose, list_devices, unused_gpu
    from gptcli.llama.library import system_info
    from gptcli.llama.threads import choose_threads, usable_processors
    from gptcli.models.refs import catalog
    from gptcli.render.progress import bytes_text
    from gptcli.runtime import memory

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
        ("--device auto", f"runs on {choose('auto', None, devices).description}"),
        ("default model", catalog.default_alias()),
        ("model cache", str(settings.hub_cache_dir())),
        ("cache", str(settings.cache_dir())),
        ("data", str(settings.data_dir())),
        ("network", "switched off" if settings.offline() else "used only to fetch what is not stored"),
    ]
    for name, value in lines:
        ctx.obj.terminal.write(f"{name + ':':<18} {value}\n")
    if not any(device.is_gpu for device in devices):
        found = unused_gpu(devices)
        why = f"This machine has {found}, which this build cannot use" if found else "This build has no GPU backend"
        ctx.obj.terminal.write(
            f"{'for a GPU:':<18} {why}. {build_advice('metal' if sys.platform == 'darwin' else 'cuda')}\n"
        )
