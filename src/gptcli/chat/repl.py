"""The REPL: reads messages and slash commands until the user leaves, and shows the answers."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gptcli import settings
from gptcli.chat import formatting
from gptcli.chat.attachments import Attachment, with_attachments
from gptcli.chat.context_window import Overflow
from gptcli.chat.keyboard import DumbKeyboard, Keyboard
from gptcli.chat.session import ChatSession, Events, LoadedModel
from gptcli.chat.store import Store
from gptcli.errors import GptcliError
from gptcli.interrupt import Interrupt
from gptcli.render.chat import ChatText
from gptcli.render.renderers import rate
from gptcli.terminal import Terminal
from gptcli.types import Finished, FinishReason


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command. `run` gets the text after the name, `choices` completes it; brackets: it can be omitted."""

    names: tuple[str, ...]
    argument: str
    help: str
    run: Callable[[Repl, str], None]
    choices: Callable[[Repl], Iterable[str]] | None = None


class Exit(Exception):
    """/bye: leave the REPL."""


class Repl:
    """A session on a terminal; `open_model` loads another model for /model, `models` lists names for completion."""

    def __init__(
        self,
        session: ChatSession,
        terminal: Terminal,
        interrupt: Interrupt,
        commands: Sequence[Command],
        store: Callable[[], Store],
        open_model: Callable[[str], LoadedModel],
        models: Callable[[], Iterable[str]],
    ) -> None:
        self.session = session
        self.terminal = terminal
        self.notice = terminal.notice
        self.store = store
        self.open_model = open_model
        self.models = models
        self.attachments: list[Attachment] = []
        self._interrupt = interrupt
        self._resumed = bool(session.conversation.turns)
        self._commands = {name: command for command in commands for name in command.names}
        self._keyboard = self._make_keyboard()
        session.ask_overflow = self._ask_overflow

    def run(self) -> None:
        """Run until /bye or Ctrl-D."""
        with self._keyboard.hide_typing():
            self._run()

    def _run(self) -> None:
        if self._resumed:
            self._show_resumed()
        draft = ""
        while True:
            try:
                line = self._keyboard.read(draft, self._status(), history=self.session.settings.history)
                draft = self._handle(line) if line.strip() else ""
            except KeyboardInterrupt:
                if not self._keyboard.typed:
                    self.notice("Ctrl-D or /bye leaves.")
                draft = ""
            except (EOFError, Exit):
                self._report_saved()
                return

    def play(self, events: Events) -> None:
        """Show an answer as it is generated. Ctrl-C stops it at the next token and keeps the text so far.

        Raises GptcliError if the model cannot answer."""
        preferences = self.session.settings
        thinking, reused = preferences.show_thinking, self._resumed
        renderer = ChatText(self.terminal, markdown=preferences.markdown, thinking=thinking, report_reused=reused)
        finished: Finished | None = None
        before = self.session.conversation.path()
        self._interrupt.clear()
        try:
            with contextlib.closing(events), self._interrupt.watch():
                for event in events:
                    renderer.show(event)
                    if isinstance(event, Finished):
                        finished = event
        except KeyboardInterrupt:
            pass  # the second Ctrl-C, because the engine did not stop; the text so far is kept all the same
        finally:
            renderer.close()
            self._interrupt.clear()
        self._resumed = False
        if finished is None or finished.reason is FinishReason.CANCELLED:
            got_text = self.session.conversation.path() != before
            self.notice(
                "Stopped; /continue continues the answer." if got_text else "Stopped before any text was generated."
            )
        elif not self.session.conversation.path()[-1].content:
            self.notice("The answer is empty; /retry gets another one.")
        elif finished.reason is not FinishReason.STOP:
            self.notice(f"Cut off ({finished.reason.value}); /continue continues the answer.")
        if preferences.stats:
            self.write(formatting.stats(self.session))

    def write(self, text: str) -> None:
        """Print what a command was asked for."""
        self.terminal.write(text.rstrip("\n") + "\n")

    def _make_keyboard(self) -> Keyboard | DumbKeyboard:
        if self.terminal.environment.get("TERM") in ("dumb", "unknown"):
            return DumbKeyboard(self.terminal)
        help = {name: command.help for name, command in self._commands.items()}
        return Keyboard(help, self._choices, settings.data_dir() / "history", self.terminal.stdout_color)

    def _choices(self, name: str) -> Iterable[str]:
        command = self._commands.get(name)
        return command.choices(self) if command and command.choices else ()

    def _handle(self, line: str) -> str:
        """Run a command or send a message; returns what the next line starts with: a message without an answer."""
        text = line.lstrip()
        if not text.startswith("/") or text.startswith("//"):
            message = text.removeprefix("/") if text.startswith("//") else line
            return "" if self._send(message) else line
        try:
            self._run_command(text)
        except GptcliError as error:
            self._report(error)
        return ""

    def _run_command(self, line: str) -> None:
        name, *rest = line.split(None, 1)
        command = self._commands.get(name)
        if command is None:
            import difflib

            near = difflib.get_close_matches(name, self._commands, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            hint += "/help lists the commands; start a message with // to send a slash."
            raise GptcliError(f"There is no command {name}; nothing was sent.", hint)
        if not rest and command.argument[:1] not in ("", "["):
            raise GptcliError(
                f"An argument is missing: {name} {command.argument}", "/help shows what each command takes."
            )
        command.run(self, rest[0].rstrip() if rest else "")

    def _send(self, message: str) -> bool:
        """Have a message answered; false if there is no answer, so that it can be sent again."""
        before = self.session.conversation.leaf
        try:
            self.play(self.session.send(with_attachments(self.attachments, message)))
        except GptcliError as error:
            self._report(error)
        if sent := self.session.conversation.leaf != before:
            self.attachments = []
        return sent

    def _report(self, error: GptcliError) -> None:
        self.terminal.report(f"{error.message}\n{error.hint}".rstrip())

    def _show_resumed(self) -> None:
        conversation = self.session.conversation
        self.write(formatting.last_messages(conversation, 4))
        path = conversation.path()
        if path and path[-1].role == "user":
            self.notice("That message has no answer yet: /retry gets one.")
        elif path and path[-1].finish is FinishReason.CANCELLED:
            self.notice("That answer was stopped: /continue continues it.")

    def _report_saved(self) -> None:
        conversation, autosave = self.session.conversation, self.session.autosave
        if autosave.failed:
            self.terminal.report("Part of this conversation could not be saved.")
        elif autosave.enabled and conversation.title:
            self.notice(f"Saved; `gptcli chat --chat {conversation.name or conversation.id}` continues it.")

    def _ask_overflow(self, question: str) -> Overflow:
        choices = {b"o": Overflow.OLDEST, b"s": Overflow.SUMMARIZE}
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with self._keyboard.line_mode():
                self.terminal.report(question)
                self.terminal.write("Leave out the [o]ldest messages, [s]ummarize them, or do [n]othing? ")
                answer = self.terminal.stdin.readline().strip().lower()[:1]
        except KeyboardInterrupt:
            answer = b""
            self.terminal.write("\n")
        finally:
            signal.signal(signal.SIGINT, handler)
            self._interrupt.clear()
        if answer in choices:
            self.session.settings.overflow = choices[answer]
            self.notice("This applies from now on; /set overflow changes it.")
        return choices.get(answer, Overflow.REFUSE)

    def _status(self) -> str:
        session = self.session
        used, last = session.used_tokens(), session.last_finished
        limit = f"{session.model.engine.limit:,} tokens"
        parts = [session.model.name, f"{used:,}/{limit}" if used else limit]
        if last is not None:
            parts.append(rate(last.completion_tokens - 1, last.decode_seconds))
        return " · ".join(parts)
