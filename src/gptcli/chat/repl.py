"""The REPL: reads a message, lets the session answer it, until somebody leaves.

It ties the session to the keyboard and the terminal; what commands do is in commands.py, what they tell in reports.py.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from gptcli import settings
from gptcli.chat import commands
from gptcli.chat import formatting as reports
from gptcli.chat import settings_commands as tuning
from gptcli.chat.attachments import Attachment, framed
from gptcli.chat.context_window import Overflow
from gptcli.chat.dumb_keyboard import DumbKeyboard
from gptcli.chat.keyboard import Keyboard, Reader
from gptcli.chat.model import LoadedModel
from gptcli.chat.session import ChatSession, Events
from gptcli.chat.store import Store
from gptcli.chat.tty_mode import line_mode
from gptcli.errors import GptcliError
from gptcli.interrupt import Interrupt
from gptcli.render.chat import ChatText
from gptcli.render.stats import rate
from gptcli.terminal import Terminal
from gptcli.types import Finished, FinishReason


class Repl:
    """A session on a terminal; `open_voice` loads another model for /model, `models` names those there are."""

    def __init__(
        self,
        session: ChatSession,
        terminal: Terminal,
        interrupt: Interrupt,
        store: Callable[[], Store],
        open_voice: Callable[[str], LoadedModel],
        models: Callable[[], Iterable[str]],
    ) -> None:
        self.session = session
        self.terminal = terminal
        self.store = store
        self.attachments: list[Attachment] = []
        self.stats = False
        self.markdown = True
        self.show_thinking = True
        self._interrupt = interrupt
        self._open_voice = open_voice
        self._resumed = bool(session.conversation.turns)
        session.ask = self._ask_overflow
        self._keyboard = self._reader(models)

    def run(self) -> None:
        """Until /bye or Ctrl-D."""
        if self._resumed:
            self._show_tail()
        draft = ""
        while True:
            try:
                line = self._keyboard.read(draft, self._status())
                draft = self._do(line) if line.strip() else ""
            except KeyboardInterrupt:
                if not self._keyboard.typed:
                    self.notice("Ctrl-D or /bye leaves.")
                draft = ""
            except (EOFError, commands.Leave):
                self._bid_farewell()
                return

    def play(self, events: Events) -> None:
        """Show an answer as it comes; Ctrl-C stops it at the next token, and what was said is kept.

        Raises GptcliError where the model cannot answer."""
        renderer = ChatText(
            self.terminal, markdown=self.markdown, thinking=self.show_thinking, report_reused=self._resumed
        )
        ended: Finished | None = None
        before = self.session.conversation.leaf
        self._interrupt.clear()
        try:
            with contextlib.closing(events), self._interrupt.watch(), self._keyboard.unseen():
                for event in events:
                    renderer.show(event)
                    if isinstance(event, Finished):
                        ended = event
        except KeyboardInterrupt:
            pass  # pressed twice: out of what did not listen; what was said is kept all the same
        finally:
            renderer.close()
            self._interrupt.clear()
        self._resumed = False
        if self.session.conversation.leaf == before:
            self.notice("Stopped before anything was said.")
        elif ended is None or ended.reason is FinishReason.CANCELLED:
            self.notice("Stopped; /continue goes on from here.")
        elif not self.session.conversation.path()[-1].content:
            self.notice("The model ended its answer without a word; /retry asks for another.")
        elif ended.reason is not FinishReason.STOP:
            self.notice(f"Cut off ({ended.reason.value}); /continue goes on from here.")
        if self.stats:
            self.say(reports.stats(self.session))

    def say(self, text: str) -> None:
        """Tell what a command was asked for."""
        self.terminal.write(text.rstrip("\n") + "\n")

    def notice(self, text: str) -> None:
        """Tell something by the way."""
        self.terminal.notice(text)

    def remember(self, wanted: bool) -> None:
        """Whether what is typed is remembered for the next time."""
        self._keyboard.remember(wanted)

    def change_model(self, reference: str) -> None:
        """Let another model answer. Raises ModelNotFound, LoadError; the old one stays then."""
        self.session.voice = self._open_voice(reference)

    def compose(self, text: str) -> str:
        """`text` as the user leaves it in their editor. Raises GptcliError where none can be started."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "message.md"
            path.write_text(text, encoding="utf-8", errors="replace")
            try:
                subprocess.run([*shlex.split(editor), str(path)], check=True)
            except (OSError, ValueError, subprocess.CalledProcessError) as error:
                raise GptcliError(f"The editor {editor} did not work: {error}.", "Set EDITOR.") from error
            return path.read_text(encoding="utf-8", errors="replace").removesuffix("\n")

    def write_file(self, name: str, text: str) -> None:
        """Write what was exported; nothing that is there is overwritten. Raises GptcliError."""
        path = Path(name).expanduser()
        try:
            with path.open("x", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
        except OSError as error:
            raise GptcliError(f"{path} cannot be written: {error.strerror}.", "Take another name.") from error
        self.notice(f"Written to {path}.")

    def _reader(self, models: Callable[[], Iterable[str]]) -> Reader:
        if self.terminal.environment.get("TERM") in ("dumb", "unknown"):
            return DumbKeyboard(self.terminal)
        listed = {name: command.help for name, command in commands.by_name().items()}
        arguments: dict[str, Callable[[], Iterable[str]]] = {
            "/model": models,
            "/load": lambda: [summary.name or summary.id for summary in self.store().summaries()],
            "/set": lambda: tuning.WORDS,
            "/show": lambda: tuning.SHOWN,
            "/export": lambda: ("md", "json"),
            "/help": lambda: ("set", "show"),
        }
        return Keyboard(listed, arguments, settings.data_dir() / "history", self.terminal.stdout_color)

    def _do(self, line: str) -> str:
        """Obey a command or send a message; the text to begin the next line with, where that was not taken."""
        typed = line.lstrip()
        if not typed.startswith("/") or typed.startswith("//"):
            message = typed.removeprefix("/") if typed.startswith("//") else line
            return "" if self._answered(message) else line
        try:
            commands.run(self, typed)
        except commands.Unknown as error:
            self._report(error)
            return line
        except GptcliError as error:
            self._report(error)
        return ""

    def _answered(self, message: str) -> bool:
        """Have a message answered; whether anything came, so that it need not be sent again."""
        before = self.session.conversation.leaf
        try:
            self.play(self.session.say(framed(self.attachments, message)))
        except GptcliError as error:
            self._report(error)
        if self.session.conversation.leaf == before:
            return False
        self.attachments = []
        return True

    def _report(self, error: GptcliError) -> None:
        self.terminal.report(f"{error.message}\n{error.hint}".rstrip())

    def _show_tail(self) -> None:
        conversation = self.session.conversation
        self.say(reports.tail(conversation, 4))
        path = conversation.path()
        if path and path[-1].role == "user":
            self.notice("That message has no answer yet: /retry gets one.")
        elif path and path[-1].finish is FinishReason.CANCELLED:
            self.notice("That answer was stopped: /continue goes on from there.")

    def _bid_farewell(self) -> None:
        book = self.session.book
        if book.behind:
            self.terminal.report("Not all of this conversation could be saved.")
        elif book.saving and book.conversation.title:
            self.notice(
                f"Saved; `gptcli chat --chat {book.conversation.name or book.conversation.id}` goes on with it."
            )

    def _ask_overflow(self, question: str) -> Overflow:
        """What to do about a full context, asked where it happens."""
        self.terminal.report(question)
        self.terminal.write("Leave out the [o]ldest messages, [s]ummarize them, or do [n]othing? ")
        choices = {b"o": Overflow.OLDEST, b"s": Overflow.SUMMARIZE}
        watching = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with line_mode(True):
                answer = self.terminal.stdin.readline().strip().lower()[:1]
        except KeyboardInterrupt:
            answer = b""
            self.terminal.write("\n")
        finally:
            signal.signal(signal.SIGINT, watching)
            self._interrupt.clear()
        choice = choices.get(answer, Overflow.REFUSE)
        if choice is not Overflow.REFUSE:
            self.session.settings.overflow = choice
            self.notice("So from now on; /set overflow changes it.")
        return choice

    def _status(self) -> str:
        """Model, tokens used of the context, decode rate."""
        session = self.session
        parts = [session.voice.name]
        limit = f"{session.voice.engine.limit:,} tokens"
        messages = session.conversation.messages()
        try:
            used = session.count(messages) if messages else 0
            if session.room.left_out and session.last is not None:
                used = session.last.prompt_tokens + session.last.completion_tokens
            parts.append(f"{used:,}/{limit}" if used else limit)
        except GptcliError:  # a template may refuse what is no whole conversation yet
            parts.append(limit)
        if session.last is not None:
            parts.append(rate(session.last.completion_tokens - 1, session.last.decode_seconds))
        return " · ".join(parts)
