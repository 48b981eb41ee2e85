"""Build OpenAI's objects from events: completions, chat completions, and the chunks of their streams.

https://platform.openai.com/docs/api-reference. Bytes that are not valid UTF-8 become U+FFFD, for JSON cannot hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gptcli.openai.logprobs import Alignment, chat_logprobs
from gptcli.types import Channel, Delta, Finished, FinishReason, TokenInfo

_FIELDS = {Channel.ANSWER: "content", Channel.REASONING: "reasoning_content"}
"""Fields of a message. OpenAI has none for reasoning; this is what llama-server and vLLM call it."""


@dataclass(slots=True)
class Sample:
    """One sample of a request, as its events have it so far."""

    answer: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    tokens: list[TokenInfo] = field(default_factory=list)
    finished: Finished | None = None

    @property
    def text(self) -> str:
        """The answer."""
        return readable("".join(self.answer))

    @property
    def reasoning(self) -> str:
        """What the model wrote before its answer, set apart by its own markers."""
        return readable("".join(self.thoughts))

    @property
    def end(self) -> Finished:
        assert self.finished is not None, "the sample has not ended"
        return self.finished


class Answer:
    """Collects the events of one request."""

    __slots__ = ("_running", "continuations", "prompt", "samples")

    def __init__(self, n: int = 0) -> None:
        """`n`: samples that are certain to come; more are added as their events arrive."""
        self.samples = [Sample() for _ in range(n)]
        self.prompt: list[TokenInfo] = []
        """The prompt's own tokens, if the request asked for them."""
        self.continuations: dict[int, list[TokenInfo]] = {}
        """The tokens of each continuation, by its index."""
        self._running = n

    def delta(self, event: Delta) -> None:
        sample = self._sample(event.index)
        (sample.answer if event.channel is Channel.ANSWER else sample.thoughts).append(event.text)
        sample.tokens += event.tokens

    def finished(self, event: Finished) -> bool:
        """Record the end of a sample; returns whether it was the last one."""
        self._sample(event.index).finished = event
        self._running -= 1
        return not self._running

    def _sample(self, index: int) -> Sample:
        while len(self.samples) <= index:
            self.samples.append(Sample())
            self._running += 1
        return self.samples[index]

    @property
    def ends(self) -> list[Finished]:
        return [sample.end for sample in self.samples]


@dataclass(slots=True)
class ResponseBuilder:
    """Builds the objects of one request."""

    model: str
    key: str
    """Makes the object's id."""
    created: int
    """Seconds since 1970."""
    chat: bool
    logprobs: bool = False
    first_index: int = 0
    """Index of its first choice; others come before it if a body had several prompts."""
    text_offset: int = 0
    """Offset of a text completion's first character in its `logprobs`."""
    null_fields: bool = False
    """Whether to write `refusal` and `system_fingerprint`, which are always null."""
    cached_tokens: bool = True
    """Whether the usage of a whole object has the number of prompt tokens that were cached."""
    _lengths: dict[int, int] = field(default_factory=dict)
    """Characters of each sample that have been streamed."""
    _alignments: dict[int, Alignment] = field(default_factory=dict)

    def completion(self, answer: Answer) -> dict[str, object]:
        """The whole object; every sample must have ended."""
        value = self._head("chat.completion")
        numbered = enumerate(answer.samples, self.first_index)
        value["choices"] = [self._choice(index, sample) for index, sample in numbered]
        value["usage"] = usage(answer.ends, cached_tokens=self.cached_tokens)
        return value | {"system_fingerprint": None} if self.null_fields else value

    def role_chunk(self, index: int) -> dict[str, object] | None:
        """The chunk without text that each sample of a chat begins with in OpenAI's streams; None if it has begun."""
        if not self.chat or index in self._lengths:
            return None
        self._lengths[index] = 0
        delta = {"role": "assistant", "content": ""} | ({"refusal": None} if self.null_fields else {})
        choice = {"index": self.first_index + index, "delta": delta, "logprobs": None, "finish_reason": None}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def chunk(self, event: Delta | Finished) -> dict[str, object]:
        """The chunk of a stream for more text, or for the end of a sample."""
        first = event.index not in self._lengths
        text = readable(event.text if isinstance(event, Delta) else "")
        self._lengths[event.index] = self._lengths.get(event.index, 0) + len(text)
        choice: dict[str, object] = {"text": text, "index": self.first_index + event.index}
        if self.chat:
            role = {"role": "assistant"} if first else {}
            more = {_FIELDS[event.channel]: text} if isinstance(event, Delta) else {}
            choice = {"index": self.first_index + event.index, "delta": role | more}
        choice["logprobs"] = self._chunk_logprobs(event) if self.logprobs and isinstance(event, Delta) else None
        choice["finish_reason"] = finish_reason(event.reason) if isinstance(event, Finished) else None
        if isinstance(event, Finished) and event.closed:
            choice["closed"] = True
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, counts: dict[str, object]) -> dict[str, object]:
        """The last chunk of a stream, which has no choices."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": counts}

    def _chunk_logprobs(self, event: Delta) -> dict[str, object]:
        if self.chat:
            return chat_logprobs(event.tokens)
        alignment = self._alignments.setdefault(event.index, Alignment(self.text_offset))
        return alignment.logprobs(event.tokens, self._lengths[event.index])

    def _head(self, chat_kind: str) -> dict[str, object]:
        prefix, kind = ("chatcmpl", chat_kind) if self.chat else ("cmpl", "text_completion")
        return {"id": f"{prefix}-{self.key}", "object": kind, "created": self.created, "model": self.model}

    def _choice(self, index: int, sample: Sample) -> dict[str, object]:
        if self.chat:
            choice: dict[str, object] = {"index": index, "message": self._message(sample)}
            logprobs = chat_logprobs(sample.tokens) if self.logprobs else None
        else:
            choice = {"text": sample.text, "index": index}
            logprobs = text_logprobs(sample, self.text_offset) if self.logprobs else None
        closed = {"closed": True} if sample.end.closed else {}
        return choice | {"logprobs": logprobs, "finish_reason": finish_reason(sample.end.reason)} | closed

    def _message(self, sample: Sample) -> dict[str, object]:
        refusal = {"refusal": None} if self.null_fields else {}
        reasoning = {"reasoning_content": sample.reasoning} if sample.thoughts else {}
        return {"role": "assistant", "content": sample.text, **refusal, **reasoning}


def usage(ends: Sequence[Finished], *, cached_tokens: bool = True) -> dict[str, object]:
    """Token counts of a request from the ends of its samples, which share one prompt."""
    prompt = ends[0].prompt_tokens if ends else 0
    completion = sum(end.completion_tokens for end in ends)
    details = {"prompt_tokens_details": {"cached_tokens": ends[0].reused_tokens if ends else 0}}
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**counts, **details} if cached_tokens else {**counts}


def join_completions(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One object with the choices of all, and their usage together."""
    choices = [choice for value in objects for choice in value["choices"]]
    return {**objects[0], "choices": choices, "usage": add_usage([value["usage"] for value in objects])}


def add_usage(counts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sum of token counts."""
    total = dict(counts[0])
    for other in counts[1:]:
        for name, value in other.items():
            total[name] = add_usage([total[name], value]) if isinstance(value, dict) else total[name] + value
    return total


def text_logprobs(sample: Sample, offset: int) -> dict[str, object]:
    """The `logprobs` of a text completion."""
    return Alignment(offset).logprobs(sample.tokens, len(sample.text))


def finish_reason(reason: FinishReason) -> str:
    """OpenAI's word for why a text ended; it has none for a full context or an interrupt."""
    return "stop" if reason is FinishReason.STOP else "length"


def readable(text: str) -> str:
    """`text` with U+FFFD for every byte that is not valid UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
