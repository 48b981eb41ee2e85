"""A plain `complete` that a running server answers, without typer and without the types of requests.

Their imports take twice as long as everything else that a warm command does, and eight commands at once take that time
from the server. This reads few flags, and only values that cannot be wrong; for the rest the ordinary command runs."""

from __future__ import annotations

import binascii
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gptcli import __version__, settings
from gptcli.cli.prompt import check_prompt, read_prompt
from gptcli.errors import EndpointError, ExitCode, GptcliError
from gptcli.runtime.http_client import Exchange
from gptcli.runtime.sockets import LOST, is_private, socket_path
from gptcli.terminal import Terminal

_ANSWER_SECONDS = 5.0
_MAX_TOKENS = 256
_VALUES = {"-m": "model", "--model": "model", "-n": "max_tokens", "--max-tokens": "max_tokens", "--seed": "seed"}
_VALUES |= {"--temp": "temperature", "--temperature": "temperature", "--top-k": "top_k", "--top-p": "top_p"}
_VALUES |= {"--min-p": "min_p", "--stop": "stop", "-f": "file", "--file": "file"}
_SWITCHES = {"-q": "quiet", "--quiet": "quiet", "--no-stdin": "no_stdin", "--ignore-eos": "ignore_eos"}
_WHOLE = re.compile(r"[0-9]{1,8}")
_SHARE = re.compile(r"0(?:\.[0-9]{1,15})?|1(?:\.0)?")
_AMOUNT = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,15})?")
_NUMBERS = {"max_tokens": _WHOLE, "seed": _WHOLE, "top_k": _WHOLE, "temperature": _AMOUNT}
_NUMBERS |= {"top_p": _SHARE, "min_p": _SHARE}


class Ask:
    """What a command line asks for."""

    def __init__(self) -> None:
        self.prompt: list[str] = []
        self.numbers: dict[str, int | float] = {}
        self.lists: dict[str, list[str]] = {"stop": [], "file": []}
        self.switches: set[str] = set()

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Ask | None:
        """The arguments behind `complete`; None for what the ordinary command has to read."""
        ask, rest = cls(), iter(arguments)
        for argument in rest:
            name, equals, value = argument.partition("=")
            if argument == "-" or not argument.startswith("-"):
                ask.prompt.append(argument)
            elif argument in _SWITCHES:
                ask.switches.add(_SWITCHES[argument])
            elif name not in _VALUES or (equals and not name.startswith("--")):
                return None
            else:
                if not ask._set(_VALUES[name], value if equals else next(rest, "")):
                    return None
        contradicts = "no_stdin" in ask.switches and "-" in ask.lists["file"]
        return None if contradicts else ask

    def _set(self, name: str, value: str) -> bool:
        """Take the value of a flag; False for one that may be wrong."""
        if name in self.lists:
            self.lists[name].append(value)
        elif name in _NUMBERS:
            if not _NUMBERS[name].fullmatch(value):
                return False
            self.numbers[name] = int(value) if _NUMBERS[name] is _WHOLE else float(value)
        return value != "" and (value == "-" or not value.startswith("-"))

    def request(self, request_id: str, prompt: bytes) -> dict[str, Any]:
        """`types.Request` as `runtime/wire.py` has it; fields that are left out have their defaults."""
        numbers = {name: value for name, value in self.numbers.items() if name != "max_tokens"}
        return {
            "type": "Request",
            "id": request_id,
            "prompt": {"type": "TextPrompt", "data": binascii.b2a_base64(prompt, newline=False).decode()},
            "sampling": {"type": "Sampling", **numbers, "chosen": sorted(numbers)},
            "max_tokens": self.numbers.get("max_tokens", _MAX_TOKENS),
            "stop": self.lists["stop"],
            "ignore_eos": "ignore_eos" in self.switches,
        }


def answer(arguments: Sequence[str], model: Path) -> int | None:
    """The exit code, once a server of the model has answered the command line; None, and nothing was read or sent, if
    the ordinary command has to."""
    ask = Ask.parse(arguments[1:]) if arguments[:1] == ["complete"] else None
    if ask is None or settings.are_set():
        return None
    if sys.stderr is not None and sys.stderr.isatty() and "quiet" not in ask.switches:
        return None  # notices and progress are the ordinary command's
    try:
        path = socket_path(model)
        if not is_private(path.parent) or not _serves(path):
            return None
    except (OSError, ValueError, KeyError):
        return None
    terminal = Terminal.of_process()
    terminal.quiet = "quiet" in ask.switches
    try:
        return _complete(ask, path, terminal)
    except BrokenPipeError:
        return ExitCode.OK  # `| head -1` has what it wanted
    except GptcliError as error:
        from gptcli.cli.main import report_error

        return report_error(error, terminal)


def _serves(path: Path) -> bool:
    """Whether the server there honours a command line without options of the model.

    Raises OSError, ValueError, KeyError for one that does not answer that."""
    exchange = Exchange(str(path), "GET", "/gptcli/info", b"", _ANSWER_SECONDS)
    info = json.loads(b"".join(_lines(exchange)))
    return bool(info["version"] == __version__ and info["plain"])


def _complete(ask: Ask, path: Path, terminal: Terminal) -> int:
    """Write the server's answer to stdout. Raises GptcliError, BrokenPipeError."""
    use_stdin = "no_stdin" not in ask.switches
    check_prompt(ask.prompt, ask.lists["file"], terminal, use_stdin=use_stdin)
    prompt = b"".join(read_prompt(ask.prompt, ask.lists["file"], terminal, use_stdin=use_stdin))
    key = os.urandom(16).hex()
    body = json.dumps(ask.request(key, prompt)).encode()
    try:
        exchange = Exchange(str(path), "POST", "/gptcli/stream", body, None)
    except OSError as error:
        reason = error.strerror or "it does not answer"
        raise EndpointError(f"the server at {path} cannot be reached: {reason}.", LOST) from error
    _cancel_on_interrupt(path, key)
    last, reason = "", ""
    for line in _events(exchange):
        event = json.loads(line)
        if event["type"] == "Delta":
            if event["text"]:
                last = event["text"]
                terminal.write(last)
        elif event["type"] == "Finished":
            reason = event["reason"]
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if terminal.stdout_tty and not last.endswith("\n"):
                terminal.write("\n")
            if reason == "context" and not terminal.quiet:
                _report(line, terminal)
            break
        elif event["type"] not in ("Started", "Prefill"):
            _raise(line)
    return ExitCode.INTERRUPTED if reason == "cancelled" else ExitCode.OK


def _lines(exchange: Exchange) -> Iterator[bytes]:
    """The lines of an answer as they come. Raises OSError if it is not complete."""
    try:
        while not exchange.complete:
            yield from exchange.receive()
    finally:
        exchange.close()


def _events(exchange: Exchange) -> Iterator[bytes]:
    """The same for the events of a request. Raises EndpointError, or the error that the server answers."""
    try:
        for line in _lines(exchange):
            if exchange.status != 200:
                _raise(line)
            yield line
    except OSError as error:
        raise EndpointError("the server ended before the answer did.", LOST) from error


def _raise(line: bytes) -> NoReturn:
    """Raise the error in a line that holds one."""
    from gptcli.runtime.wire import WireError, load
    from gptcli.types import Failed

    try:
        found = load(Failed | GptcliError, line)
    except WireError as error:
        raise EndpointError(f"the server answered nonsense: {error}.", LOST) from error
    raise found.error if isinstance(found, Failed) else found


def _report(line: bytes, terminal: Terminal) -> None:
    """Print that the context was too small for the text."""
    from gptcli.render.renderers import report_cut_texts
    from gptcli.runtime.wire import load
    from gptcli.types import Finished

    report_cut_texts(terminal, [load(Finished, line)])


def _cancel_on_interrupt(path: Path, key: str) -> None:
    """Let the first Ctrl-C end the answer, and the second one this process."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a script's background jobs
        return

    def cancel(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for _line in _lines(Exchange(str(path), "POST", "/gptcli/cancel", json.dumps(key).encode(), _ANSWER_SECONDS)):
            pass

    signal.signal(signal.SIGINT, cancel)
