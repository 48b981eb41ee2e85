"""`gptcli chat`: a REPL on a terminal without a message, one answer otherwise.

It turns flags into a session and lets it run; what a chat is belongs to chat/.
"""

import dataclasses
from typing import Annotated

import typer

from gptcli.chat.context_window import Overflow
from gptcli.cli import suggestions
from gptcli.cli.main import CommandContext
from gptcli.cli.option_groups import takes
from gptcli.cli.options import ModelFlags, OutputFlags, SamplingFlags
from gptcli.cli.values import OutputFormat
from gptcli.errors import UsageError

app = typer.Typer(add_completion=False)

_CHAT = "Conversation"


@dataclasses.dataclass(slots=True)
class ChatFlags:
    """Which conversation, and how it is kept."""

    system: Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="The system message.")] = None
    resume: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on with the last conversation.", rich_help_panel=_CHAT)
    ] = False
    chat: Annotated[
        str | None,
        typer.Option(
            "--chat",
            metavar="NAME|ID",
            autocompletion=suggestions.chats,
            help="Go on with that one.",
            rich_help_panel=_CHAT,
        ),
    ] = None
    no_save: Annotated[bool, typer.Option("--no-save", help="Keep nothing of it.", rich_help_panel=_CHAT)] = False
    overflow: Annotated[
        Overflow | None,
        typer.Option(
            "--overflow",
            help="When the context is full. (default: ask, or refuse in a pipe)",
            show_default=False,
            rich_help_panel=_CHAT,
        ),
    ] = None
    max_tokens: Annotated[
        int,
        typer.Option("--max-tokens", "-n", "--n-predict", min=-1, metavar="N", help="Tokens of an answer; -1: all."),
    ] = -1
    stop: Annotated[list[str] | None, typer.Option("--stop", metavar="TEXT", help="End before TEXT; repeatable.")] = (
        None
    )
    extract: Annotated[
        bool, typer.Option("--extract", "-x", help="Print only the first fenced block of the answer.")
    ] = False
    extract_last: Annotated[bool, typer.Option("--xl", help="Print only the last one.")] = False
    plain: Annotated[bool, typer.Option("--plain", help="No Markdown styles.")] = False
    no_think: Annotated[bool, typer.Option("--no-think", help="Ask a model that thinks first not to.")] = False
    hide_thinking: Annotated[
        bool, typer.Option("--hide-thinking", help="Do not show what a model thinks before it answers.")
    ] = False
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Do not look at standard input.")] = False

    def check(self, output: OutputFlags) -> None:
        """Raises UsageError for what contradicts itself."""
        for one, other, flags in (
            (self.resume, self.chat is not None, "--continue and --chat"),
            (self.extract, self.extract_last, "--extract and --xl"),
            (self.extract or self.extract_last, output.format is not OutputFormat.TEXT, "--extract and --format"),
        ):
            if one and other:
                raise UsageError(f"{flags} contradict each other.", "Drop one.")


@app.command(epilog="Example: git diff | gptcli chat 'write a commit message'")
@takes(chat_flags=ChatFlags, model=ModelFlags, sampling=SamplingFlags, output=OutputFlags)
def chat(
    ctx: typer.Context,
    chat_flags: ChatFlags,
    model: ModelFlags,
    sampling: SamplingFlags,
    output: OutputFlags,
    message: Annotated[list[str] | None, typer.Argument(help="The message; none: talk.", show_default=False)] = None,
) -> int:
    """Talk with a model, or get one answer: standard input, a blank line, then the message."""
    model.check()
    sampling.check()
    output.check()
    chat_flags.check(output)
    session: CommandContext = ctx.obj
    session.terminal.quiet = output.quiet

    from gptcli.cli.run_chat import converse

    return converse(None if message is None else " ".join(message), chat_flags, model, sampling, output, session)
