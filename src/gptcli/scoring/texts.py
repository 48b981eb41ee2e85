"""Texts of any length, scored: the log-probability of each of their own tokens."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field

from gptcli.errors import Cancelled, GptcliError
from gptcli.scoring.windows import Window, Windows
from gptcli.types import (
    Engine,
    Event,
    Failed,
    Finished,
    FinishReason,
    PromptLogprobs,
    Request,
    TextPrompt,
    TokenInfo,
    TokenPrompt,
)

SLIDING_TOKENS = 2048
"""Tokens of a sliding window, where neither the user nor the model sets another limit."""
_EXP_LIMIT = 709.0
"""e to a larger number is no float."""
LLAMA_TOKENS = 512
"""Tokens of a chunk of llama-perplexity's, where `-c` sets no other number."""
PARALLEL = 128
"""Requests at once to open an engine with, so that every thread has a core of its own. No more of them run than fill
two steps."""


@dataclass(frozen=True, slots=True)
class Text:
    """Token ids that are scored from position `start` on; `make_text` makes them of text."""

    id: str
    """Unique among those that are scored at the same time."""
    tokens: tuple[int, ...]
    start: int = 1
    bos: int | None = None
    """The token that every window of a longer text begins with, where the model expects one."""


@dataclass(slots=True)
class ScoredTokens:
    """More tokens of a text, in order, the first one at `position`."""

    id: str
    position: int
    tokens: list[TokenInfo]


@dataclass(slots=True)
class TextScore:
    """The sums of a text that has ended. Log-likelihood in nats; bytes are those of the scored tokens."""

    id: str
    tokens: int = 0
    bytes: int = 0
    logprob: float = 0.0

    @property
    def perplexity(self) -> float | None:
        """e to the mean negative log-likelihood, in nats; None for no tokens."""
        if not self.tokens:
            return None
        mean = -self.logprob / self.tokens
        return math.exp(mean) if mean < _EXP_LIMIT else math.inf

    @property
    def bits_per_byte(self) -> float | None:
        """Negative log-likelihood in bits, for each byte; None for no bytes."""
        return -self.logprob / math.log(2) / self.bytes if self.bytes else None


@dataclass(slots=True)
class NotScored:
    """Why a text or a prompt has no scores; others go on. After Ctrl-C the error is `Cancelled`."""

    id: str
    error: GptcliError


TextResult = ScoredTokens | TextScore | NotScored


def make_text(engine: Engine, id: str, data: bytes, given: bytes = b"", *, add_begin: bool = True) -> Text:
    """Tokenize a text, which may be empty; nothing in it is a control token. `given`: what it follows, which is not
    scored.

    A text that follows nothing is scored from its first token on, as in lm-eval: after BOS, or where a model adds none
    after the token that it begins an empty text with. Without `add_begin` such a model's first token has no score."""
    bos = engine.tokenize(b"", begins=True)
    before = engine.tokenize(given, begins=True)
    whole = engine.tokenize(given + data, begins=True)
    if whole[: len(before)] != before:  # the text's first characters would have merged with the given text
        whole = (*before, *engine.tokenize(data))
    if before or not add_begin:
        return Text(id, whole, max(1, len(before)), *bos[:1])
    begin = engine.encode(TextPrompt(b"")).tokens
    return Text(id, (*begin, *whole), len(begin))


def score_texts(
    engine: Engine, texts: Iterable[Text | None], windows: Windows, *, top: int = 0
) -> Generator[TextResult, None, None]:
    """Score texts in order: of each its tokens, in pieces, then one `TextScore`; or one `NotScored`.

    `top`: alternatives of each token. What waits for its turn are the tokens of a few windows, however long a text is.
    An iterable may give None while others run: nothing has come yet (`Engine.stream`)."""
    jobs = _Jobs(windows, top)
    requests = jobs.requests(texts)
    while not jobs.ended:  # a stream ends early where all that has come is empty
        pulled = jobs.pulled
        with closing(engine.stream(requests)) as events:
            for event in events:
                jobs.take(event)
                yield from jobs.ready()
        yield from jobs.ready()
        if jobs.pulled == pulled:  # the engine was interrupted
            return


@dataclass(slots=True)
class _Job:
    """One window of a text; `window` is None where there is nothing to compute."""

    text: Text
    window: Window | None
    is_last: bool
    ended: bool = False
    tokens: list[TokenInfo] = field(default_factory=list)
    error: GptcliError | None = None


class _Jobs:
    """The windows that run or wait for their turn to be delivered, in order, by the ids of their requests."""

    def __init__(self, windows: Windows, top: int) -> None:
        self.waiting: dict[str, _Job] = {}
        self.ended = False
        """Whether no more texts will come."""
        self.pulled = 0
        """How often the texts were asked for another one."""
        self._windows, self._top = windows, top
        self._count = 0
        self._failed: Text | None = None
        self._sum: TextScore | None = None

    def requests(self, texts: Iterable[Text | None]) -> Generator[Request | None, None, None]:
        """A request for each window."""
        for text in texts:
            self.pulled += 1
            if text is None:
                yield None
                continue
            try:
                cut = list(self._windows.cut(len(text.tokens), text.start))
            except GptcliError as error:
                self._add(_Job(text, None, True, ended=True, error=error))
                continue
            if not cut:
                self._add(_Job(text, None, True, ended=True))
            for window in cut:
                if self._failed is not text:
                    job = _Job(text, window, window is cut[-1])
                    yield self._request(self._add(job), text, window)
        self.ended = True

    def take(self, event: Event) -> None:
        """Keep what an event brings until its turn."""
        if isinstance(event, PromptLogprobs):
            self.waiting[event.id].tokens += event.tokens
        elif isinstance(event, Failed):
            self.waiting[event.id].error = event.error
        elif isinstance(event, Finished):
            self.waiting[event.id].ended = True
            if event.reason is FinishReason.CANCELLED:
                self.waiting[event.id].error = Cancelled("Cancelled.")

    def ready(self) -> Generator[TextResult, None, None]:
        """The results whose turn it is."""
        while self.waiting and ((job := next(iter(self.waiting.values()))).ended or job.error):
            del self.waiting[next(iter(self.waiting))]
            if self._failed is job.text:
                continue
            if job.error is not None:
                self._failed, self._sum = job.text, None
                yield NotScored(job.text.id, job.error)
                continue
            total = self._sum = self._sum or TextScore(job.text.id)
            if job.window is not None and job.tokens:
                yield ScoredTokens(job.text.id, job.window.scored, job.tokens)
                total.tokens += len(job.tokens)
                total.bytes += sum(len(info.text.encode("utf-8", "surrogateescape")) for info in job.tokens)
                total.logprob += math.fsum(info.logprob for info in job.tokens)
            if job.is_last:
                self._sum = None
                yield total

    def _add(self, job: _Job) -> str:
        key = str(self._count)
        self._count += 1
        self.waiting[key] = job
        return key

    def _request(self, key: str, text: Text, window: Window) -> Request:
        tokens = text.tokens[window.begin : window.end]
        if text.bos is not None and window.begin:
            tokens = (text.bos, *tokens[1:])
        prompt = TokenPrompt(tokens)
        start = window.scored - window.begin
        return Request(key, prompt, max_tokens=0, prompt_logprobs=self._top, prompt_logprobs_start=start, stream=False)
