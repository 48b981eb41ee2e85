"""The contract between commands and engines: a `Request` goes in, events come out.

Text is `str` decoded from UTF-8 with `surrogateescape`: bytes that are no UTF-8 survive as lone surrogates, so that
a pipe gets them back exactly (`text.encode("utf-8", "surrogateescape")`)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from gptcli.errors import GptcliError
from gptcli.params import PARAMS, Sampling


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; role is system, user, assistant or tool."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Text to continue, as bytes; with a suffix, the text between the two is wanted (fill-in-the-middle)."""

    data: bytes
    suffix: bytes | None = None


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A whole conversation, every turn of it; the engine's chat template makes tokens of it."""

    messages: tuple[Message, ...]
    continue_final: bool = False
    """The last message is an unfinished answer, to be continued from exactly there."""
    template_options: tuple[tuple[str, object], ...] = ()
    """Extra variables for the template, e.g. ("enable_thinking", False)."""
    answer_tokens: tuple[int, ...] = ()
    """Token ids of the answer so far (`Finished.tokens`), to be continued from exactly there, even in the middle of a
    character or of reasoning. Where they are not known, `continue_final` goes on from text."""


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids, as a client sent them or as `Engine.encode` made them of another prompt, to be sent in its place."""

    tokens: tuple[int, ...]
    is_chat: bool = False
    """Whether the model may set reasoning apart in its answer."""
    thinking: bool = False
    """Whether the prompt ends inside reasoning."""
    answer_length: int = 0
    """How many of the last tokens are the beginning of the answer, which is not sent again as text."""


Prompt = TextPrompt | ChatPrompt | TokenPrompt


class ConstraintKind(str, Enum):
    """What a constraint's text is."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"  # of the whole answer, as for re.fullmatch
    CHOICE = "choice"  # a JSON list of texts, one of which is the answer
    GBNF = "gbnf"  # llama.cpp's grammars
    LARK = "lark"  # llguidance's grammars


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an answer must be; reasoning before it is free."""

    kind: ConstraintKind
    text: str

    @property
    def is_json(self) -> bool:
        """Whether every answer is a JSON value."""
        return self.kind is ConstraintKind.JSON_SCHEMA


JSON_OBJECT = Constraint(ConstraintKind.JSON_SCHEMA, '{"type":"object"}')
"""Any JSON object."""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and what is wanted of it; stateless, whole and independent of any other."""

    id: str
    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    """Tokens to generate at most; None: until the text ends or the context is full."""
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    n: int = 1
    """Independent samples of the one prompt; they share its prefill."""
    logprobs: int | None = None
    """None: none. k: each token's log-probability with the k likeliest alternatives (k may be 0)."""
    echo: bool = False
    """Each sample's first `Delta` is the prompt: its text, and its tokens if `prompt_logprobs` asks for them. With
    `logprobs`, a token that ends the text is among the tokens too, so that these are one more than the text has."""
    prompt_logprobs: int | None = None
    """The same as `logprobs` for the prompt's own tokens, which come in `PromptLogprobs`, or as an echo."""
    prompt_logprobs_start: int = 0
    """Position of the first prompt token that is scored; those before it may be reused from an earlier prompt."""
    continuations: tuple[tuple[int, ...], ...] = ()
    """Token ids that may follow the prompt, each to be scored in its place (`ContinuationLogprobs`, with as many
    alternatives as `logprobs` says). What several of them begin with is computed once. Nothing is generated."""
    stream: bool = True
    """False: one `Delta` with the whole text before `Finished`, for those who do not show it."""
    constraint: Constraint | None = None
    close: bool = True
    """Whether an answer with a constraint gets its shortest legal ending when it is cancelled. At a limit it always
    does."""


class FinishReason(str, Enum):
    """Why a sample ended."""

    STOP = "stop"  # the model ended its text, or a stop string came
    LENGTH = "length"  # max_tokens
    CONTEXT = "context"  # the context is full
    CANCELLED = "cancelled"


class Channel(str, Enum):
    """What a piece of text is part of."""

    ANSWER = "answer"
    REASONING = "reasoning"  # what a model thinks before it answers, set apart by its own markers


@dataclass(slots=True)
class Alternative:
    """A token that could have come, and the natural logarithm of its probability."""

    token: int
    text: str
    logprob: float


@dataclass(slots=True)
class TokenInfo:
    """A token that came: its natural log-probability under the model, before any sampler, and what else could have."""

    token: int
    text: str
    logprob: float
    """NaN for the first token of a prompt: nothing comes before it."""
    top: list[Alternative]
    forced: bool = False
    """Whether the constraint allowed no other token."""


@dataclass(slots=True)
class Started:
    """The prompt is known; `reused_tokens` of its `prompt_tokens` need no computing."""

    id: str
    prompt_tokens: int
    reused_tokens: int


@dataclass(slots=True)
class Prefill:
    """`computed` of `total` prompt tokens are in the KV cache."""

    id: str
    computed: int
    total: int


@dataclass(slots=True)
class PromptLogprobs:
    """Scored tokens of the prompt from position `start` on, in order; one event for each step that computes some."""

    id: str
    start: int
    tokens: list[TokenInfo]


@dataclass(slots=True)
class ContinuationLogprobs:
    """The tokens of continuation `index`, scored after the prompt; they come in any order, each index once."""

    id: str
    index: int
    tokens: list[TokenInfo]


@dataclass(slots=True)
class Delta:
    """More text of sample `index`; `tokens` are those whose text this completes, when logprobs were wanted."""

    id: str
    index: int
    text: str
    tokens: list[TokenInfo]
    channel: Channel = Channel.ANSWER


@dataclass(slots=True)
class Finished:
    """Sample `index` has ended. Counts are tokens, times are seconds."""

    id: str
    index: int
    reason: FinishReason
    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    seed: int
    prompt_seconds: float
    decode_seconds: float
    stop: str | None = None
    """The stop string that ended it, if one did."""
    dropped_bytes: int = 0
    """Bytes of a character that the last token left unfinished; they are in no delta."""
    tokens: tuple[int, ...] = ()
    """The ids of the tokens that were generated."""
    closed: bool = False
    """Whether its constraint, not the model, ended the text: a limit or a cancellation came, and it is legal all the
    same."""
    drafted: int = 0
    """Draft tokens of speculative decoding that the model verified."""
    accepted: int = 0
    """How many of them the text went on with."""


@dataclass(slots=True)
class Failed:
    """The whole request, with all its samples, ended with an error; others go on."""

    id: str
    error: GptcliError


Event = Started | Prefill | PromptLogprobs | ContinuationLogprobs | Delta | Finished | Failed


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; a request that needs more is refused by name before it is sent."""

    tokenize: bool = True
    """Whether `encode` and `count` work."""
    token_prompts: bool = True
    params: frozenset[str] = frozenset(PARAMS)
    """Names of the parameters (`params.PARAMS`) that it honours."""
    scoring: bool = True
    """Whether `prompt_logprobs` and `continuations` work."""
    max_logprobs: int = 1000
    max_samples: int = 256


class Engine(Protocol):
    """What answers requests: llama.cpp in this process, a fake one in tests, later an endpoint."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def limit(self) -> int:
        """The most tokens that one sequence may have, prompt and answer together."""

    @property
    def parallel(self) -> int:
        """The most requests that are computed at once."""

    def encode(self, prompt: Prompt) -> TokenPrompt:
        """The exact tokens of a prompt, to be counted, shown or sent in its place. Raises RequestError, LoadError."""

    def tokenize(self, text: bytes, *, begins: bool = False) -> tuple[int, ...]:
        """The tokens of a text in which nothing is a control token, in the middle of another one; or, if it `begins`
        one, with BOS where the model expects that."""

    def token_text(self, token: int) -> str:
        """A token as a reader would want it shown, control tokens included."""

    def stream(self, requests: Iterable[Request | None]) -> Generator[Event, None, None]:
        """Answer requests, pulling the next ones when there is room for one; closing the generator cancels the rest.

        An iterator of requests may give None while others run: nothing has come yet, it is asked again after a step.
        Every request ends with one `Finished` for each sample, or with one `Failed`."""

    def cancel(self, request_id: str) -> None:
        """End one request within a step: what it has said so far is delivered, and each of its samples ends with
        `FinishReason.CANCELLED`. Safe to call from another thread; an unknown id does nothing."""

    def save_prefix(self) -> None:
        """Keep what the last request computed for other processes. Raises OSError."""
