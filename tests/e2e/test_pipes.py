"""gptcli in pipelines: what flows in and out, streams that are closed, silent or full, and readers that leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from shell import Shell, finish

ESCAPES = 'root ::= "\\x1b[31mred\\x9b\\r\\x07" "\\n\\n"'
SCRIPT = "\N{WOMAN}\u200d\N{ROCKET}日本語\N{PARTY POPPER}naïve"


@pytest.fixture
def complete(tiny: Path) -> tuple[object, ...]:
    """The beginning of a command line that is quick and always gives the same."""
    return ("complete", "-m", tiny, "-t", "1", "--temp", "0", "-n", "12")


def by_sh(shell: Shell, line: str, *arguments: object) -> subprocess.Popen:
    """gptcli started by a shell that closes or connects streams as `line` says."""
    command = ["sh", "-c", f'exec "$@" {line}', "sh", sys.executable, "-m", "gptcli", *map(str, arguments)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=shell.environment, **pipes)


def test_a_file_and_a_pipe_get_the_same_bytes_and_stderr_none_of_them(
    shell: Shell, complete: tuple, tmp_path: Path
) -> None:
    for more in (
        ("Once",),
        ("Once", "-n", "40", "--grammar", ESCAPES),
        ("\x1b[1m", "--echo"),
        ("x", "--temp", "2", "--seed", "1"),
    ):
        piped = shell.run(*complete, *more)
        with open(tmp_path / "out", "wb") as out:
            filed = shell.run(*complete, *more, stdout=out)
        assert (piped.code, piped.err, filed.err) == (0, "", "")
        assert piped.out
        assert (tmp_path / "out").read_bytes() == piped.out


def test_terminal_escapes_pass_a_pipe_untouched(shell: Shell, complete: tuple) -> None:
    assert shell.run(*complete, "-n", "40", "x", "--grammar", ESCAPES).out == "\x1b[31mred\x9b\r\x07\n\n".encode()


def test_a_pipe_can_feed_the_next_one(shell: Shell, complete: tuple) -> None:
    with shell.start(*complete, "Once") as first, shell.start(*complete, "--echo", stdin=first.stdout) as second:
        outcome = finish(second)
    assert outcome.out.startswith(shell.run(*complete, "Once").out)


def test_bytes_that_are_no_utf8_go_through_arguments_files_and_standard_input(
    shell: Shell, complete: tuple, tmp_path: Path
) -> None:
    data = b"\xff\xfe caf\xe9"
    (tmp_path / "bytes").write_bytes(data)
    for locale in ("C", "C.UTF-8"):
        shell.environment["LC_ALL"] = locale
        by_file = shell.run(*complete, "--echo", "-f", tmp_path / "bytes")
        by_stdin = shell.run(*complete, "--echo", data=data)
        by_argument = shell.run(*complete, "--echo", os.fsdecode(data))
        assert by_file.out.startswith(data)
        assert by_file.out == by_stdin.out == by_argument.out


def test_characters_leave_whole(shell: Shell, tiny: Path) -> None:
    """The tiny model knows only single bytes of these, so that every character is cut into tokens."""
    arguments = ("complete", "-m", tiny, "-t", "1", "x", "--grammar", f'root ::= "{SCRIPT}"')
    with shell.start(*arguments, bufsize=0) as process:
        pieces = iter(lambda: os.read(process.stdout.fileno(), 4096), b"")
        assert "".join(piece.decode("utf-8", "strict") for piece in pieces) == SCRIPT


def test_an_open_and_silent_standard_input_is_not_waited_for(shell: Shell, complete: tuple) -> None:
    reader, writer = os.pipe()
    try:
        outcome = shell.run(*complete, "Once", stdin=reader)
        quiet = shell.run(*complete, "Once", "--no-stdin", stdin=reader)
        hushed = shell.run(*complete, "Once", "-q", stdin=reader)
    finally:
        os.close(reader)
        os.close(writer)
    assert outcome.code == 0
    assert outcome.out == shell.run(*complete, "Once").out == quiet.out == hushed.out
    assert "standard input is open but has no data" in outcome.err
    assert (quiet.err, hushed.err) == ("", "")


def test_standard_input_that_was_asked_for_is_waited_for(shell: Shell, complete: tuple) -> None:
    with shell.start(*complete, "--echo", "-f", "-", "!", stdin=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        assert finish(process, b"late").out.startswith(b"late!")


def test_a_closed_standard_input_is_as_good_as_none(shell: Shell, complete: tuple) -> None:
    with by_sh(shell, "<&-", *complete, "Once") as process:
        outcome = finish(process)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == shell.run(*complete, "Once").out
    with by_sh(shell, "<&-", *complete) as process:
        outcome = finish(process)
    assert outcome.code == 2
    assert "there is no prompt" in outcome.err.splitlines()[0]


@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_a_closed_standard_output_is_an_error(shell: Shell, complete: tuple, form: str) -> None:
    with by_sh(shell, ">&-", *complete, "--format", form, "Once") as process:
        outcome = finish(process)
    assert outcome.code == 1
    assert outcome.err.splitlines()[0] == "gptcli: error: standard output cannot be written: it is closed."
    assert "Traceback" not in outcome.err


def test_a_closed_standard_error_is_no_bug(shell: Shell, complete: tuple) -> None:
    with by_sh(shell, "2>&-", *complete, "Once", "--stats") as process:
        outcome = finish(process)
    assert (outcome.code, outcome.out) == (0, shell.run(*complete, "Once").out)


@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_a_reader_that_leaves_ends_it_quietly(shell: Shell, tiny: Path, form: str) -> None:
    """As `| head -1` does; jsonl has a line to read first."""
    arguments = ("complete", "-m", tiny, "-t", "1", "--ignore-eos", "-n", "-1", "--format", form, "--stats", "Once")
    with shell.start(*arguments) as process:
        if form == "jsonl":
            assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert err == b""


def test_head_in_a_real_pipeline(shell: Shell, tiny: Path) -> None:
    line = '("$@"; echo "code $?" >&2) | head -1'
    arguments = ("complete", "-m", tiny, "-t", "1", "--ignore-eos", "-n", "-1", "--format", "jsonl", "Once")
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "gptcli", *map(str, arguments)]
    outcome = subprocess.run(command, env=shell.environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert outcome.stdout.count(b"\n") == 1
    assert outcome.stderr == b"code 0\n"
