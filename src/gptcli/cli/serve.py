"""`gptcli serve`: answer requests of other programs with one engine."""

import dataclasses
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gptcli.cli.main import CommandContext
from gptcli.cli.options import LoadFlags, SpeculationFlags, takes
from gptcli.cli.servers import ControlFlags, show_status, start_in_background, stop_servers
from gptcli.errors import ExitCode, GptcliError, UsageError

if TYPE_CHECKING:
    from socket import socket

    from gptcli.server.process import ServerOptions

app = typer.Typer(add_completion=False)

_EPILOG = "Example: gptcli serve -m smollm2 --port 8080"
_PORT = 8080
"""llama-server's port, which editors suggest."""


def _limit(flag: str, metavar: str, help: str, least: float) -> object:
    return typer.Option(flag, metavar=metavar, help=help, min=least, rich_help_panel="Limits")


def _access(flag: str, metavar: str, help: str) -> object:
    return typer.Option(flag, metavar=metavar, help=help, rich_help_panel="Access")


@dataclasses.dataclass(slots=True)
class ServeFlags:
    """Where to listen, who may come in, and how much they may use."""

    host: Annotated[str, _access("--host", "ADDRESS", "Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65535, metavar="N", help="Port to listen on; 0: any.", rich_help_panel="Access"
        ),
    ] = _PORT
    socket_only: Annotated[
        bool, typer.Option("--socket-only", help="Only the private Unix socket, no port.", rich_help_panel="Access")
    ] = False
    api_key_file: Annotated[
        Path | None, _access("--api-key-file", "FILE", "Ask for a key, one a line; needed for other machines.")
    ] = None
    allow_host: Annotated[
        list[str] | None, _access("--allow-host", "NAME", "Answer to this Host, as behind a proxy; repeatable.")
    ] = None
    cors_origin: Annotated[
        list[str] | None, _access("--cors-origin", "ORIGIN", "Let web pages of this origin in; repeatable.")
    ] = None
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="NAME", help="Another name of the model for clients; repeatable."),
    ] = None
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel",
            min=1,
            max=256,
            metavar="N",
            help="Requests computed at once. (default: 64, on a GPU 128)",
        ),
    ] = None
    max_tokens: Annotated[
        int | None, _limit("--max-tokens", "N", "Tokens of an answer. (default: what the context holds)", 1)
    ] = None
    queue: Annotated[int, _limit("--queue", "N", "Requests that may wait; more get status 429.", 1)] = 256
    timeout: Annotated[float, _limit("--timeout", "SECONDS", "Time for an answer, with waiting.", 0.001)] = 600.0
    max_body: Annotated[int, _limit("--max-body", "BYTES", "Size of a request.", 1024)] = 4 << 20
    keep: Annotated[
        float | None, _limit("--keep", "SECONDS", "Unload the model after so long without a request.", 1)
    ] = None
    grace: Annotated[float, _limit("--grace", "SECONDS", "Time to finish answers after SIGTERM.", 0)] = 30.0
    print_unit: Annotated[
        bool, typer.Option("--print-unit", help="Print a unit of systemd (launchd on macOS) that runs this server.")
    ] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show llama.cpp's log.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False

    def check(self) -> None:
        """Raises UsageError for flags that contradict each other."""
        if self.socket_only and (self.host != "127.0.0.1" or self.port != _PORT or self.api_key_file is not None):
            raise UsageError("--socket-only and flags of the port contradict each other.", "Drop one.")


@app.command(epilog=_EPILOG)
@takes(flags=ServeFlags, control=ControlFlags, model=LoadFlags, speculation=SpeculationFlags)
def serve(
    ctx: typer.Context, flags: ServeFlags, control: ControlFlags, model: LoadFlags, speculation: SpeculationFlags
) -> int:
    """Answer OpenAI's API with one warm engine, for programs of this machine.

    It listens on 127.0.0.1 and on a private Unix socket. SIGTERM and Ctrl-C let running answers end; a second one ends
    them."""
    flags.check()
    model.check()
    control.check()
    context: CommandContext = ctx.obj
    context.terminal.quiet = flags.quiet
    if flags.print_unit:
        from gptcli.server.unit import make_unit

        arguments = [argument for argument in sys.argv[1:] if argument != "--print-unit"]
        context.terminal.write(make_unit(arguments, flags.grace))
        return ExitCode.OK

    engine_options = speculation.applied(model.engine_options(verbose=flags.verbose))
    if control.status:
        return show_status(context, as_json=control.as_json)
    if control.stop:
        return stop_servers(context, engine_options)
    _require_extra()
    if control.background:
        return start_in_background(context, engine_options)

    from gptcli.runtime.loader import EngineLoader
    from gptcli.runtime.remote import describe_server
    from gptcli.runtime.sockets import socket_path
    from gptcli.server.private_routes import private_routes
    from gptcli.server.process import Server, run
    from gptcli.server.rest import rest

    context = CommandContext(context.terminal)  # the model may be freed before the process ends
    loader = context.loader(engine_options)
    options = _server_options(flags, loader.model.name)
    with ExitStack() as stack:
        listeners, address = _open_doors(flags, loader.model.path, stack)
        info = describe_server(loader.model.name, engine_options, address)

        path = socket_path(loader.model.path)

        def ready(_: Server) -> None:
            if not flags.quiet:
                context.terminal.report(f"{info.model} answers at {address or 'its socket'}")

        def answer(loader: EngineLoader) -> bool:
            """Serve until a signal comes, or until there were no requests for long; returns whether that was it."""
            return run(
                lambda flush: loader.open(parallel=flags.parallel, before_step=flush),
                listeners,
                options,
                ready=ready,
                private_routes=lambda engine: private_routes(engine, info),
            )

        idle = answer(loader)
        del loader
        while idle and rest(listeners, path, info):
            again = context.loader(engine_options)
            if socket_path(again.model.path) != path:
                raise GptcliError("the model's file has changed since the server was started.", "Start it again.")
            idle = answer(again)
            del again
    return ExitCode.OK


def _require_extra() -> None:
    """Raises UsageError if the packages of the extra are missing."""
    from importlib.util import find_spec

    needed = ["starlette", "uvicorn", "httptools", "prometheus_client"]
    if sys.platform != "win32":
        needed.append("uvloop")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        message = f"`gptcli serve` needs {missing[0].replace('_', '-')}, which is not installed."
        raise UsageError(message, "Install it with: pip install 'gptcli[serve]'")


def _server_options(flags: ServeFlags, model: str) -> "ServerOptions":
    from gptcli.server.access import Keys
    from gptcli.server.process import ServerOptions
    from gptcli.server.service import Limits

    hosts = {name.lower() for name in [*(flags.allow_host or []), flags.host]}
    return ServerOptions(
        names=tuple(dict.fromkeys([model, *(flags.alias or [])])),
        limits=Limits(flags.max_body, seconds=flags.timeout, tokens=flags.max_tokens),
        queue_size=flags.queue,
        grace=flags.grace,
        keep=flags.keep,
        keys=None if flags.api_key_file is None else Keys.read(flags.api_key_file),
        hosts=tuple(hosts),
        origins=tuple(flags.cors_origin or ()),
    )


def _open_doors(flags: ServeFlags, model: Path, stack: ExitStack) -> "tuple[list[socket], str]":
    """The sockets, and the address for HTTP clients, if there is one. Raises UsageError."""
    from gptcli.runtime.sockets import socket_path
    from gptcli.server import doors

    listeners = [stack.enter_context(doors.unix_door(socket_path(model)))]
    if flags.socket_only:
        return listeners, ""
    public = stack.enter_context(doors.tcp_door(flags.host, flags.port))
    address, port = public.getsockname()[:2]
    if flags.api_key_file is None and not doors.is_loopback(public):
        message = f"--host {flags.host} lets other machines in, which needs --api-key-file."
        raise UsageError(message, "Write a long random key to a file of your own.")
    name = f"[{address}]" if ":" in address else address
    return [*listeners, public], f"http://{name}:{port}/v1"
