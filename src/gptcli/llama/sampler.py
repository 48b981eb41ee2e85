"""Chains of llama.cpp's samplers, made from a `Sampling`; `LlamaSampler` owns one.

To add a sampler or one of its parameters: its entry in `gptcli/params.py`, and its link in `_CHAIN` here."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from gptcli.errors import EngineError, LoadError, RequestError
from gptcli.llama.library import C
from gptcli.llama.vocabulary import LlamaVocabulary
from gptcli.params import SAMPLER_NAMES, Sampling

_FORBIDDEN = float("-inf")
_LOWEST = -1e30
_BLOCK = 256
_FEW = 1500
"""So many tokens are chosen among without numpy, 1 µs each, rather than wait for its import of 70 ms."""
_MIROSTAT_WINDOW = 100
"""Tokens that Mirostat 1 estimates its exponent from, as in common/sampling.cpp."""


class _Sampler:
    """Implements `engine.backend.Sampler`; `context` returns the `llama_context` that holds the logits now.

    From damaged weights come NaN, or zeros, and with them the same token again and again. So the logits are looked at
    for the first token and after one that was repeated: 3 µs, and nothing for the others."""

    def __init__(self, vocabulary_size: int, context: Callable[[], Any], keeps: int = 0) -> None:
        """`keeps`: the number of likeliest tokens from which one is chosen, or more; 0 where it may be any."""
        self._size = vocabulary_size
        self._keeps = keeps
        self._context = context
        self._last = -1
        self._repeated = True
        self._masked: Any = None

    def sample(self, row: int) -> int:
        if self._repeated:
            self._check_logits(row)
        token = self._choose(row)
        self._last, self._repeated = token, token == self._last
        return token

    def choose(self, row: int, mask: bytearray) -> int:
        if self._repeated:
            self._check_logits(row)
        few = self._choose_few(row, mask) if "numpy" not in sys.modules else None
        token, logit = few or self._choose_many(row, mask)
        if logit == _FORBIDDEN:
            raise EngineError(
                "the constraint allows none of the remaining tokens.",
                "Remove logit biases that forbid what the constraint requires.",
            )
        self._last, self._repeated = token, token == self._last
        return token

    def accept(self, token: int) -> None:
        pass

    def close(self) -> None:
        pass

    def _choose(self, row: int) -> int:
        raise NotImplementedError

    def _choose_few(self, row: int, mask: bytearray) -> tuple[int, float] | None:
        """One of the allowed tokens, and its logit, without numpy; None where that would take longer."""
        return None

    def _choose_many(self, row: int, mask: bytearray) -> tuple[int, float]:
        import numpy as np

        bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=min(self._size, 8 * len(mask)), bitorder="little")
        logits = self._logits(row)
        return self._choose_from(logits, self._best(logits, bits.view(bool)))

    def _choose_from(self, logits: Any, allowed: Any) -> tuple[int, float]:
        """One of the allowed tokens, and its logit."""
        raise NotImplementedError

    def _best(self, logits: Any, allowed: Any) -> Any:
        """The ids of the allowed tokens, or of fewer, among which are as many of the likeliest as the chain keeps.

        Each block of the vocabulary has a token as likely as its maximum. So as many tokens as there are blocks with a
        maximum above a bound are above it too, and no others are needed: a quarter of the time for the chain."""
        import numpy as np

        count, blocks = self._keeps, len(allowed) // _BLOCK
        if not 0 < count < blocks // 2 or np.count_nonzero(allowed) < len(allowed) // 2:
            return np.flatnonzero(allowed)
        if self._masked is None:  # an array of this size that is made anew costs 50 page faults
            self._masked = np.empty(len(allowed), np.float32)
        np.copyto(self._masked, logits[: len(allowed)])
        self._masked[np.flatnonzero(~allowed)] = _FORBIDDEN  # they are few; a mask for all costs three times as much
        highest = self._masked[: blocks * _BLOCK].reshape(_BLOCK, blocks).max(axis=0)
        bound = np.partition(highest, blocks - count)[blocks - count]
        return np.flatnonzero(self._masked >= max(bound, _LOWEST))

    def _logits(self, row: int) -> Any:
        import numpy as np

        pointer = C.llama_get_logits_ith(self._context(), row)
        array = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float * self._size)).contents
        return np.frombuffer(memoryview(array), np.float32)

    def _check_logits(self, row: int) -> None:
        logits = C.llama_get_logits_ith(self._context(), row)
        some = {logits[index] for index in range(0, self._size, 1 + self._size // 16)}
        if len(set(filter(math.isfinite, some))) < 2:
            raise no_usable_logits()


def no_usable_logits() -> LoadError:
    """The error for logits that come of damaged weights."""
    message = "the model computes no usable numbers (NaN, or the same for every token): it is probably damaged."
    return LoadError(message, "Check it with `gptcli models verify`, or download it again.")


class LlamaSampler(_Sampler):
    """A chain of llama.cpp's samplers.

    A mask comes before the chain, which then sees the allowed tokens only: whatever its samplers cut off, an allowed
    token is left."""

    def __init__(self, chain: Any, vocabulary_size: int, context: Callable[[], Any], keeps: int) -> None:
        super().__init__(vocabulary_size, context, keeps)
        self._chain = chain

    def accept(self, token: int) -> None:
        C.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        if self._chain is not None:
            C.llama_sampler_free(self._chain)
        self._chain = None

    def _choose(self, row: int) -> int:
        return int(C.llama_sampler_sample(self._chain, self._context(), row))

    def _choose_few(self, row: int, mask: bytearray) -> tuple[int, float] | None:
        if int.from_bytes(mask, "little").bit_count() > _FEW:
            return None
        bits = (8 * index + bit for index, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1)
        allowed = [token for token in bits if token < self._size]
        logits = C.llama_get_logits_ith(self._context(), row)
        table = (C.llama_token_data * len(allowed))(*((token, logits[token], 0) for token in allowed))
        return self._apply(table, len(allowed))

    def _choose_from(self, logits: Any, allowed: Any) -> tuple[int, float]:
        import numpy as np

        count = len(allowed)
        table = np.empty(count, dtype=[("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
        table["id"] = allowed
        table["logit"] = logits[allowed]
        table["p"] = 0
        return self._apply(table.ctypes.data, count)

    def _apply(self, table: Any, count: int) -> tuple[int, float]:
        """The token that the chain chooses from a table of `llama_token_data`, and its logit."""
        pointer = ctypes.cast(table, ctypes.POINTER(C.llama_token_data))
        candidates = C.llama_token_data_array(pointer, count, -1, False)
        C.llama_sampler_apply(self._chain, ctypes.byref(candidates))
        chosen = candidates.data[candidates.selected]
        return int(chosen.id), float(chosen.logit)


class GreedySampler(_Sampler):
    """The most likely token by argmax: 6 µs a token, where llama.cpp's sampler chain takes 50. Of equally likely tokens
    it picks the first, as llama.cpp does."""

    def __init__(self, vocabulary_size: int, banned: frozenset[int], context: Callable[[], Any]) -> None:
        super().__init__(vocabulary_size, context, keeps=len(banned) + 1)
        self._banned = banned

    def _choose(self, row: int) -> int:
        logits = self._logits(row)
        token = int(logits.argmax())
        if token in self._banned:
            allowed = logits.copy()
            allowed[list(self._banned)] = _FORBIDDEN
            token = int(allowed.argmax())
        return token

    def _choose_from(self, logits: Any, allowed: Any) -> tuple[int, float]:
        found = logits[allowed]
        if self._banned:
            import numpy as np

            found[np.isin(allowed, list(self._banned))] = _FORBIDDEN
        best = int(found.argmax())
        return int(allowed[best]), float(found[best])


def make_sampler(
    sampling: Sampling,
    seed: int,
    history: list[int],
    vocabulary: LlamaVocabulary,
    context: Callable[[], Any],
    ignore_end: bool,
    fast_greedy: bool,
) -> LlamaSampler | GreedySampler:
    """A chain that has accepted the end of `history`; with `fast_greedy`, plain greedy sampling gets a GreedySampler.

    Raises RequestError for a bad bias or sampler name."""
    if fast_greedy and _is_plain_greedy(sampling):
        banned = {*vocabulary.suppressed, *(vocabulary.ends if ignore_end else ())}
        return GreedySampler(vocabulary.size, frozenset(banned), context)
    parameters = C.llama_sampler_chain_default_params()
    parameters.no_perf = True
    chain = C.llama_sampler_chain_init(parameters)
    sampler = LlamaSampler(chain, vocabulary.size, context, _keeps(sampling))
    try:
        for link in [*_bias(sampling, vocabulary, ignore_end), *_links(sampling, seed, vocabulary)]:
            C.llama_sampler_chain_add(chain, link)
    except RequestError:
        sampler.close()
        raise
    for token in history[-max(sampling.repeat_last_n, sampling.dry_penalty_last_n, 1) :]:
        C.llama_sampler_accept(chain, token)
    return sampler


def _links(s: Sampling, seed: int, vocabulary: LlamaVocabulary) -> list[Any]:
    """The chain's samplers in order, without those that change nothing: each costs time for every token."""
    if s.mirostat:
        mirostat = (
            C.llama_sampler_init_mirostat(vocabulary.size, seed, s.mirostat_tau, s.mirostat_eta, _MIROSTAT_WINDOW)
            if s.mirostat == 1
            else C.llama_sampler_init_mirostat_v2(seed, s.mirostat_tau, s.mirostat_eta)
        )
        return [C.llama_sampler_init_temp(s.temperature), mirostat]
    for name in s.samplers:
        if name not in SAMPLER_NAMES:
            raise RequestError(f"there is no sampler named {name}.", f"Samplers: {', '.join(SAMPLER_NAMES)}.")
    links = [_CHAIN[name].make(s, seed, vocabulary) for name in s.samplers if name in _CHAIN and _matters(name, s)]
    if "adaptive_p" in s.samplers:  # it chooses the token, so it comes last wherever it is named
        return [*links, C.llama_sampler_init_adaptive_p(s.adaptive_target, s.adaptive_decay, seed)]
    return [*links, C.llama_sampler_init_greedy() if _is_greedy(s) else C.llama_sampler_init_dist(seed)]


def _keeps(s: Sampling) -> int:
    """How many of the likeliest tokens the first sampler keeps; 0 where that is not their number."""
    first = next((name for name in s.samplers if _matters(name, s)), None)
    if s.mirostat or s.logit_bias or "adaptive_p" in s.samplers:
        return 0
    return s.top_k if first == "top_k" else int(first is None and _is_greedy(s))


def _is_greedy(s: Sampling) -> bool:
    return s.temperature <= 0 and s.dynatemp_range <= 0 and not s.mirostat


def _matters(name: str, s: Sampling) -> bool:
    """Whether the sampler can change which token is chosen."""
    link = _CHAIN.get(name)
    return link is None or (link.is_active(s) and not (link.keeps_best and _is_greedy(s)))


def _is_plain_greedy(s: Sampling) -> bool:
    """Whether the most likely token is chosen, and nothing else influences the choice."""
    return _is_greedy(s) and not s.logit_bias and not any(_matters(name, s) for name in s.samplers)


def _bias(sampling: Sampling, vocabulary: LlamaVocabulary, ignore_end: bool) -> list[Any]:
    biases = dict.fromkeys(vocabulary.suppressed, _FORBIDDEN)
    if ignore_end:
        biases |= dict.fromkeys(vocabulary.ends, _FORBIDDEN)
    for target, bias in sampling.logit_bias:
        tokens = (
            [target]
            if isinstance(target, int)
            else vocabulary.tokenize(target.encode("utf-8", "surrogateescape"), add_special=False, parse_special=True)
        )
        for token in tokens:
            if not 0 <= token < vocabulary.size:
                hint = f"This model's token ids range from 0 to {vocabulary.size - 1}."
                raise RequestError(f"logit_bias: there is no token {token}.", hint)
            biases[token] = bias
    if not biases:
        return []
    array = (C.llama_logit_bias * len(biases))(*[C.llama_logit_bias(*pair) for pair in biases.items()])
    return [C.llama_sampler_init_logit_bias(vocabulary.size, len(biases), array)]


def _penalizes(s: Sampling) -> bool:
    return s.repeat_last_n != 0 and (s.repeat_penalty, s.frequency_penalty, s.presence_penalty) != (1.0, 0.0, 0.0)


def _dry(s: Sampling, seed: int, vocabulary: LlamaVocabulary) -> Any:
    breakers = [breaker.encode("utf-8", "surrogateescape") for breaker in s.dry_sequence_breakers]
    return C.llama_sampler_init_dry(
        vocabulary.handle,
        s.dry_multiplier,
        s.dry_base,
        s.dry_allowed_length,
        s.dry_penalty_last_n,
        (ctypes.c_char_p * len(breakers))(*breakers),
        len(breakers),
    )


class _Link(NamedTuple):
    """A sampler of the chain."""

    is_active: Callable[[Sampling], bool]
    """False where its parameters switch it off."""
    make: Callable[[Sampling, int, LlamaVocabulary], Any]
    keeps_best: bool = False
    """It only cuts the tail or divides, so the most likely token stays the most likely."""


_CHAIN: dict[str, _Link] = {
    "penalties": _Link(
        _penalizes,
        lambda s, seed, v: C.llama_sampler_init_penalties(
            v.size, s.repeat_last_n, s.repeat_penalty, s.frequency_penalty, s.presence_penalty
        ),
    ),
    "dry": _Link(lambda s: s.dry_multiplier != 0 and s.dry_base >= 1 and s.dry_penalty_last_n != 0, _dry),
    "top_n_sigma": _Link(
        lambda s: s.top_n_sigma > 0, lambda s, seed, v: C.llama_sampler_init_top_n_sigma(s.top_n_sigma), True
    ),
    "top_k": _Link(lambda s: s.top_k > 0, lambda s, seed, v: C.llama_sampler_init_top_k(s.top_k), True),
    "typ_p": _Link(lambda s: s.typical_p < 1, lambda s, seed, v: C.llama_sampler_init_typical(s.typical_p, s.min_keep)),
    "top_p": _Link(lambda s: s.top_p < 1, lambda s, seed, v: C.llama_sampler_init_top_p(s.top_p, s.min_keep), True),
    "min_p": _Link(lambda s: s.min_p > 0, lambda s, seed, v: C.llama_sampler_init_min_p(s.min_p, s.min_keep), True),
    "xtc": _Link(
        lambda s: s.xtc_probability > 0,
        lambda s, seed, v: C.llama_sampler_init_xtc(s.xtc_probability, s.xtc_threshold, s.min_keep, seed),
    ),
    "temperature": _Link(
        lambda s: True,
        lambda s, seed, v: C.llama_sampler_init_temp_ext(s.temperature, s.dynatemp_range, s.dynatemp_exponent),
        True,
    ),
    "infill": _Link(lambda s: True, lambda s, seed, v: C.llama_sampler_init_infill(v.handle)),
}
