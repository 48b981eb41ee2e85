"""Counts and rates of an answer on stderr."""

from __future__ import annotations

from gptcli.terminal import Terminal
from gptcli.types import Finished, FinishReason


def rate(tokens: int, seconds: float) -> str:
    """Tokens a second."""
    return f"{tokens / seconds:,.1f} tokens/s" if seconds > 0 and tokens > 0 else "-"


def show_stats(terminal: Terminal, ended: list[Finished], load_seconds: float, where: str) -> None:
    """Print what `--stats` shows: rates of load, prompt and decode, reused tokens, seeds and finish reasons."""
    if not ended:
        return
    first = ended[0]
    computed = first.prompt_tokens - first.reused_tokens
    # the first token of each sample comes from the prefill
    decoded = sum(max(0, event.completion_tokens - 1) for event in ended)
    decode_seconds = max(event.decode_seconds for event in ended)
    lines = [
        f"load:    {load_seconds:.3f} s on {where}",
        f"prompt:  {first.prompt_tokens} tokens, {first.reused_tokens} reused, {rate(computed, first.prompt_seconds)}",
        f"decode:  {sum(event.completion_tokens for event in ended)} tokens, {rate(decoded, decode_seconds)}",
        f"seed:    {', '.join(str(event.seed) for event in ended)}",
        f"finish:  {', '.join(_reason(event) for event in ended)}",
    ]
    terminal.report("\n".join(lines))


def _reason(event: Finished) -> str:
    return f"stop ({event.stop!r})" if event.stop is not None else event.reason.value


def report_cut_texts(terminal: Terminal, ended: list[Finished]) -> None:
    """Print a notice where a limit cut a text short."""
    for event in ended:
        if event.reason is FinishReason.LENGTH and event.completion_tokens:
            terminal.notice(f"Stopped after {event.completion_tokens} tokens (-n; -1 goes on until the end).")
        elif event.reason is FinishReason.CONTEXT and not terminal.quiet:
            held = event.prompt_tokens + event.completion_tokens - 1  # the last token needed no place in it any more
            terminal.report(f"Stopped: the context of {held:,} tokens is full (--ctx-size).")
        if event.dropped_bytes:
            terminal.notice(
                f"The last token left a character unfinished; its {event.dropped_bytes} bytes are left out."
            )
