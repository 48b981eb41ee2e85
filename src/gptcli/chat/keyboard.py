"""Reads what the user types: a line editor with history, completion and a status line, by prompt_toolkit."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPress, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.styles import Style

from gptcli.editor import edit_file
from gptcli.errors import GptcliError
from gptcli.terminal import Terminal

_PROMPT, _CONTINUATION = ">>> ", "... "
_PLACEHOLDER = "Send a message (/? for help)"
_QUOTES = '"""'
_KEYS_OF_LINES: dict[str, Keys] = {Keys.ControlJ: Keys.ControlM, Keys.ControlAt: Keys.ControlD}
"""What Enter and Ctrl-D become in line mode."""
_BLOCK_START = re.compile(r'(/(?:set )?\S+\s+)?"""')  # at the start of a message, or of a command's argument


class Keyboard:
    """Enter sends the message. Ctrl-J and Alt-Enter start a new line, as does Enter in a triple-quoted block."""

    def __init__(
        self, commands: Mapping[str, str], choices: Callable[[str], Iterable[str]], history: Path, color: bool
    ) -> None:
        """`commands`: names and help; `choices` gives the possible arguments of a command."""
        self._history = _PrivateHistory(history)
        self._status = ""
        self._session: PromptSession[str] = PromptSession(
            message=_PROMPT,
            prompt_continuation=lambda width, line, wrapped: "" if wrapped else _CONTINUATION,
            multiline=True,
            key_bindings=_bindings(),
            completer=_Completer(commands, choices),
            complete_while_typing=False,
            search_ignore_case=True,
            enable_suspend=True,
            history=self._history,
            bottom_toolbar=lambda: self._status,
            placeholder=_placeholder if color else "",
            style=Style.from_dict({"bottom-toolbar": "noreverse dim", "placeholder": "dim"} if color else {}),
            tempfile_suffix=".md",
        )

    def read(self, draft: str, status: str, *, history: bool) -> str:
        """The next message, which starts as `draft`; `history`: whether it is saved to the history file.
        Raises KeyboardInterrupt on Ctrl-C, EOFError on Ctrl-D."""
        self._history.saving = history
        self._status = status
        return _unquoted(self._session.prompt(default=draft))

    @property
    def typed(self) -> str:
        """The text in the editor when Ctrl-C was pressed."""
        return self._session.default_buffer.text

    @contextlib.contextmanager
    def hide_typing(self) -> Iterator[None]:
        """Outside of `read`: keys are not echoed, and wait for the next `read`."""
        with _terminal_mode(lines=False):
            self._keep_keys(_KEYS_OF_LINES)
            yield

    @contextlib.contextmanager
    def line_mode(self) -> Iterator[None]:
        """For a question: the terminal edits and echoes a line. What was typed before waits for the next `read`."""
        self._keep_keys({})
        try:
            with _terminal_mode(lines=True):
                yield
        finally:
            self._keep_keys(_KEYS_OF_LINES)

    def _keep_keys(self, names: Mapping[str, Keys]) -> None:
        """Take typed keys out of the terminal for the next `read`. A terminal that changes its mode garbles them."""
        source = self._session.input
        while os.name == "posix" and (keys := source.read_keys()):
            store_typeahead(source, [KeyPress(names.get(key.key, key.key), key.data) for key in keys])


class DumbKeyboard:
    """Reads lines from a terminal without cursor control (`TERM=dumb`, an editor's shell)."""

    typed = ""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def read(self, draft: str, status: str, *, history: bool) -> str:
        """As `Keyboard.read`; the draft cannot be edited, but an empty line sends it."""
        if draft:
            self._terminal.notice("Your message was kept; press Enter to send it again.")
        text = self._line(_PROMPT)
        while _is_open_block(text):
            text += "\n" + self._line(_CONTINUATION)
        return _unquoted(text) or draft

    def hide_typing(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()  # the lines may come from a program

    line_mode = hide_typing

    def _line(self, prompt: str) -> str:
        self._terminal.write(prompt)
        line = self._terminal.stdin.readline()
        if not line:
            raise EOFError
        return line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def edit(text: str) -> str:
    """`text` after the user has changed it in their editor. Raises GptcliError if it cannot be started."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "message.md"
        path.write_text(text, encoding="utf-8", errors="replace")
        with _terminal_mode(lines=True):
            edit_file(path)
        return path.read_text(encoding="utf-8", errors="replace").removesuffix("\n")


@contextlib.contextmanager
def _terminal_mode(*, lines: bool) -> Iterator[None]:
    """Let the terminal edit and echo lines, or neither; Ctrl-C stays a signal. Does nothing on Windows."""
    if os.name != "posix" or sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    now = before.copy()
    if lines:
        now[0] |= termios.ICRNL
        now[3] = (now[3] | termios.ECHO | termios.ICANON) & ~termios.NOFLSH
    else:
        now[0] &= ~termios.ICRNL
        now[3] = (now[3] & ~(termios.ECHO | termios.ICANON)) | termios.NOFLSH  # Ctrl-C discards no typed keys
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, now)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_open_block(text: str) -> bool:
    """Whether a triple-quoted block has started and not ended."""
    start = _BLOCK_START.match(text)
    return start is not None and _QUOTES not in text[start.end() :]


def _unquoted(text: str) -> str:
    start = _BLOCK_START.match(text)
    return (start[1] or "") + text[start.end() :].rstrip().removesuffix(_QUOTES).strip("\n") if start else text


def _placeholder() -> FormattedText:
    app = get_app()
    return FormattedText([] if app.is_done or app.layout.is_searching else [("class:placeholder", _PLACEHOLDER)])


class _PrivateHistory(FileHistory):
    """A history file that only the user can read. If it cannot be read or written later, the chat goes on."""

    saving = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
        except OSError as error:
            raise GptcliError(f"{path} cannot be written: {error.strerror}.", "Set GPTCLI_DATA_DIR.") from error

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):  # the conversation has it all the same
            if self.saving:
                super().store_string(string.encode("utf-8", "replace").decode())


class _Completer(Completer):
    """Completes commands at the start of a line, their arguments, and files after /file and /export."""

    def __init__(self, commands: Mapping[str, str], choices: Callable[[str], Iterable[str]]) -> None:
        self._commands = commands
        self._choices = choices
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        line = document.text_before_cursor
        if not line.startswith("/") or "\n" in line:
            return
        name, space, argument = line.partition(" ")
        if not space:
            for command, help in self._commands.items():
                if command.startswith(name):
                    yield Completion(command, start_position=-len(name), display_meta=help)
            return
        for choice in self._choices(name):
            if choice.startswith(argument):
                yield Completion(choice, start_position=-len(argument))
        if path := re.match(r"/(?:file|export \S+) ", line):
            yield from self._paths.get_completions(Document(line[path.end() :]), complete_event)


def _bindings() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        if _is_open_block(event.current_buffer.text):
            event.current_buffer.insert_text("\n")
        else:
            event.current_buffer.validate_and_handle()

    @keys.add("c-j")
    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-g")
    def _editor(event: KeyPressEvent) -> None:
        event.current_buffer.open_in_editor(validate_and_handle=False)

    return keys
