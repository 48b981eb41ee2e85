"""`gptcli serve --background`, `--status` and `--stop`: the servers of this user as processes."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gptcli.cli.main import CommandContext
from gptcli.errors import EndpointError, ExitCode, GptcliError, UsageError

if TYPE_CHECKING:
    from gptcli.models.resolve import ModelFile
    from gptcli.runtime import EngineOptions
    from gptcli.runtime.remote import Server, ServerInfo

_option = typer.Option
_POLL_SECONDS = 0.05


@dataclasses.dataclass(slots=True)
class ControlFlags:
    """Start a server that stays when the shell is closed, or look after those that run."""

    background: Annotated[bool, _option("--background", help="Return when the server answers; it goes on.")] = False
    status: Annotated[bool, _option("--status", help="List the servers that run.")] = False
    as_json: Annotated[bool, _option("--json", help="Print the list as JSON.")] = False
    stop: Annotated[bool, _option("--stop", help="Stop the servers that run, or that of -m.")] = False

    def check(self) -> None:
        """Raises UsageError for flags that contradict each other."""
        if self.background + self.status + self.stop > 1:
            raise UsageError("--background, --status and --stop contradict each other.", "Give one of them.")
        if self.as_json and not self.status:
            raise UsageError("--json is for --status.", "Add --status or omit --json.")


def start_in_background(context: CommandContext, options: "EngineOptions") -> int:
    """Start the same command line without --background, and wait until it answers.

    Raises ModelNotFound, and UsageError if a server of the model runs already."""
    from gptcli.runtime.sockets import socket_path
    from gptcli.server.doors import make_private

    model = _find(context, options)
    path = socket_path(model.path)
    if _info(path) is not None:
        raise UsageError(f"A server of {model.name} is running already.", "`gptcli serve --status` shows it.")
    make_private(path.parent)
    log = path.with_suffix(".log")
    arguments = [argument for argument in context.arguments if argument != "--background"]
    command = [sys.executable, "-m", "gptcli", *arguments]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, start_new_session=True
        )
    finally:
        os.close(descriptor)
    while process.poll() is None:
        server = _at(path)
        if server is not None:
            context.terminal.notice(f"{model.name} answers at {server.info.address}, in process {server.info.pid}.")
            return ExitCode.OK
        time.sleep(_POLL_SECONDS)
    context.terminal.report(log.read_text("utf-8", "replace").rstrip("\n"))
    return process.returncode if process.returncode > 0 else ExitCode.ERROR


def show_status(context: CommandContext, *, as_json: bool) -> int:
    """List the servers of this user. The exit code is 1 if there are none, for scripts."""
    from gptcli.chat.export import utc
    from gptcli.cli.chats import time_text, write_listing

    when = time_text(context.terminal)
    records: list[object] = []
    rows = []
    for path, info in running_servers():
        names = ("model", "pid", "address", "device", "version")
        known = {name: getattr(info, name) for name in names}
        records.append({**known, "loaded": info.loaded, "started": utc(info.started), "socket": str(path)})
        state = "loaded" if info.loaded else "unloaded"
        rows.append((info.model, str(info.pid), state, info.device, info.address, when(info.started)))
    headers = ("MODEL", "PID", "STATE", "DEVICE", "ADDRESS", "STARTED")
    write_listing(context.terminal, as_json, records, headers, rows, "No server is running; `gptcli serve` starts one.")
    return ExitCode.OK if rows else ExitCode.ERROR


def stop_servers(context: CommandContext, options: "EngineOptions") -> int:
    """Stop all servers, or the one of the model that was named, and wait until they have ended.

    Raises GptcliError if none runs, ModelNotFound."""
    servers = running_servers()
    if options.model is not None:
        from gptcli.runtime.sockets import socket_path

        wanted = socket_path(_find(context, options).path)
        servers = [(path, info) for path, info in servers if path == wanted]
    if not servers:
        raise GptcliError("no server is running.", "`gptcli serve --status` lists those that run.")
    for _, info in servers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(info.pid, signal.SIGTERM)
    for path, info in servers:
        _wait_for_end(path)
        context.terminal.notice(f"Stopped {info.model}, process {info.pid}.")
    return ExitCode.OK


def running_servers() -> "list[tuple[Path, ServerInfo]]":
    """The servers of this user, also of other models and versions, with their sockets."""
    from gptcli.settings import runtime_dir

    found = [(path, _info(path)) for path in sorted(runtime_dir().glob("*.sock"))]
    return [(path, info) for path, info in found if info is not None]


def _info(path: Path) -> "ServerInfo | None":
    """What the server at this socket is; one whose model is unloaded is not asked, for that would load it."""
    from gptcli.runtime.remote import ServerInfo
    from gptcli.runtime.sockets import rest_note
    from gptcli.runtime.wire import load

    with contextlib.suppress(FileNotFoundError):
        note: ServerInfo = load(ServerInfo, rest_note(path).read_bytes())
        return note if _is_locked(path) else None
    server = _at(path)
    return None if server is None else server.info


def _is_locked(path: Path) -> bool:
    """Whether the process that made the socket lives: it has the lock until its last breath."""
    import fcntl

    with open(path.with_suffix(".lock"), "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _at(path: Path) -> "Server | None":
    from gptcli.runtime.remote import Server

    with contextlib.suppress(EndpointError):
        return Server(path)
    return None


def _find(context: CommandContext, options: "EngineOptions") -> "ModelFile":
    from gptcli.models.resolve import resolve
    from gptcli.render.progress import DownloadBar

    return resolve(options.model, offline=options.offline, report=DownloadBar(context.terminal))


def _wait_for_end(path: Path) -> None:
    """Wait until the process has let go of its lock."""
    import fcntl

    with contextlib.suppress(FileNotFoundError), open(path.with_suffix(".lock"), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
