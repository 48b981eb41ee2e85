"""What all routes share: the engine, the names of its model, and the limits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gptcli.errors import InvalidRequest
from gptcli.prompt.encoding import Vocabulary
from gptcli.runtime.loaded import LoadedEngine
from gptcli.server.engine_thread import EngineThread
from gptcli.server.errors import UnknownModel
from gptcli.server.metrics import Metrics
from gptcli.types import Request


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may use."""

    body: int = 4 << 20
    """Bytes of a body."""
    body_seconds: float = 60.0
    """Time for a body to arrive."""
    seconds: float = 600.0
    """Time for an answer, waiting included; 600 is what OpenAI's clients wait."""
    tokens: int | None = None
    """Tokens of an answer; None: as many as the context has room for."""


@dataclass(slots=True)
class Service:
    """Everything that a route needs."""

    engine: EngineThread
    loaded: LoadedEngine
    names: Sequence[str]
    """What clients may call the model; the first is what the server calls it."""
    limits: Limits
    metrics: Metrics
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the model."""
        assert self.loaded.vocabulary is not None, "a server's engine is never that of another server"
        return self.loaded.vocabulary

    def check_model(self, name: str | None) -> None:
        """Raise UnknownModel for a name that is not the model's."""
        if name is not None and name not in self.names:
            raise UnknownModel(f"the model {name[:80]!r} does not exist here; this server has {self.names[0]!r}.")

    def limited(self, base: Request) -> Request:
        """A request whose answer is no longer than the limit, for clients that set none."""
        if self.limits.tokens is None:
            return base
        return replace(base, max_tokens=min(base.max_tokens or self.limits.tokens, self.limits.tokens))

    def check_tokens(self, request: Request) -> None:
        """Raise InvalidRequest if an answer may become longer than the limit."""
        most = self.limits.tokens
        if most is not None and (request.max_tokens is None or request.max_tokens > most):
            wanted = "no limit" if request.max_tokens is None else f"{request.max_tokens:,}"
            message = f"max_tokens is {wanted}; this server allows {most:,} tokens."
            raise InvalidRequest(message, param="max_tokens")

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of tokens, control tokens included. Raises InvalidRequest for one that does not exist."""
        vocabulary = self.vocabulary
        if unknown := [token for token in tokens if token >= vocabulary.size]:
            message = f"There is no token {unknown[0]}: this model has {vocabulary.size:,}."
            raise InvalidRequest(message, param="tokens")
        pieces = (
            vocabulary.piece(token) or vocabulary.name(token).encode("utf-8", "surrogateescape") for token in tokens
        )
        return b"".join(pieces).decode("utf-8", "surrogateescape")
