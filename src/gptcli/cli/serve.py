"""`gptcli serve`: answer requests of other programs with one engine."""

import dataclasses
from contextlib import ExitStack
from typing import Annotated

import typer

from gptcli.cli.main import CommandContext
from gptcli.cli.options import LoadFlags, takes
from gptcli.errors import ExitCode

app = typer.Typer(add_completion=False)

_EPILOG = "Example: gptcli serve -m smollm2 --port 8080"


@dataclasses.dataclass(slots=True)
class ServeFlags:
    """Where to listen, and the limits."""

    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="Port to listen on; 0: any that is free.")
    ] = 8080
    parallel: Annotated[
        int | None, typer.Option("--parallel", min=1, max=256, metavar="N", help="Requests computed at once.")
    ] = None
    queue: Annotated[int, typer.Option("--queue", min=1, metavar="N", help="Requests that may wait.")] = 256
    grace: Annotated[
        float, typer.Option("--grace", min=0, metavar="SECONDS", help="Time to finish answers after SIGTERM.")
    ] = 30.0
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show llama.cpp's log.")] = False


@app.command(epilog=_EPILOG)
@takes(flags=ServeFlags, model=LoadFlags)
def serve(ctx: typer.Context, flags: ServeFlags, model: LoadFlags) -> int:
    """Answer OpenAI's API with one warm engine, for this machine's programs."""
    model.check()
    context: CommandContext = ctx.obj

    from gptcli.runtime.remote import describe_server, socket_path
    from gptcli.server.doors import tcp_door, unix_door
    from gptcli.server.private_routes import private_routes
    from gptcli.server.process import run

    options = model.engine_options(verbose=flags.verbose)
    loader = context.loader(options)
    with ExitStack() as stack:
        private = stack.enter_context(unix_door(socket_path(loader.model.path)))
        public = stack.enter_context(tcp_door(flags.host, flags.port))
        address = "http://{}:{}/v1".format(*public.getsockname()[:2])
        info = describe_server(loader.model.name, options, address)

        def ready() -> None:
            context.terminal.report(f"{loader.model.name} answers at {address}")

        run(
            lambda: loader.open(parallel=flags.parallel),
            [private, public],
            queue_size=flags.queue,
            grace=flags.grace,
            ready=ready,
            private_routes=lambda engine: private_routes(engine, info),
        )
    return ExitCode.OK
