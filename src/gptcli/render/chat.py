"""A chat's answer on stdout, as Markdown on a terminal, and its reasoning on stderr."""

from __future__ import annotations

from gptcli.render.progress import PromptProgress
from gptcli.terminal import Terminal, escape_controls
from gptcli.types import Channel, Delta, Event, Finished, Prefill, Started


class ChatText:
    """Streams one answer.

    `markdown`: style it where stdout is a capable terminal. `thinking`: show the reasoning, not only that there is
    some. `report_reused`: report how many prompt tokens came from the KV cache."""

    def __init__(
        self, terminal: Terminal, *, markdown: bool = True, thinking: bool = True, report_reused: bool = False
    ) -> None:
        self._terminal = terminal
        self._thinking = thinking
        self._report_reused = report_reused
        self._progress = PromptProgress(terminal)
        self._thought = self._last = ""
        self._stream = None
        if markdown and terminal.stdout_color:
            from gptcli.render.markdown import MarkdownStream

            self._stream = MarkdownStream(terminal.width)

    def show(self, event: Event) -> None:
        if isinstance(event, Delta) and event.index == 0:
            self._progress.end()
            (self._reason if event.channel is Channel.REASONING else self._answer)(event.text)
        elif isinstance(event, Started):
            self._progress.show(event)
            if self._report_reused and event.reused_tokens:
                reused = f"{event.reused_tokens:,} of {event.prompt_tokens:,} tokens"
                self._terminal.notice(f"{reused} were computed before.")
        elif isinstance(event, Prefill):
            self._progress.show(event)
        elif isinstance(event, Finished):
            self._end_reasoning()

    def close(self) -> None:
        """End the answer, whole or not; on a terminal, also its line."""
        self._progress.end()
        self._end_reasoning()
        if self._stream is not None and self._last:
            self._styled(self._stream.finish())
        if self._terminal.stdout_tty and self._last and not self._last.endswith("\n"):
            self._terminal.write("\n")

    def _answer(self, text: str) -> None:
        if not text:
            return
        self._end_reasoning()
        if self._stream is not None:
            self._styled(self._stream.push(text))
            self._last = self._last or text
        else:
            self._terminal.write(text)
            self._last = text

    def _styled(self, text: str) -> None:
        if text:
            self._terminal.write_styled(text)
            self._last = text

    def _reason(self, text: str) -> None:
        if not self._terminal.stderr_tty or self._terminal.quiet or not text:
            return
        if self._thinking:
            self._dim(text)
        elif not self._thought:
            self._dim("Thinking…")
        self._thought = text

    def _end_reasoning(self) -> None:
        if self._thought:
            self._dim("\n" if self._thought.endswith("\n") and self._thinking else "\n\n")
            self._thought = ""

    def _dim(self, text: str) -> None:
        shown = escape_controls(text)
        self._write_stderr(f"\x1b[2m{shown}\x1b[0m" if self._terminal.color and shown.strip() else shown)

    def _write_stderr(self, text: str) -> None:
        self._terminal.stderr.write(text)
        self._terminal.stderr.flush()
