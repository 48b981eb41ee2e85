"""Chains of llama.cpp's samplers, made from a `Sampling`; the owner of a `llama_sampler`.

It knows which samplers there are, their order and their native arguments; what is sampled for, it does not know.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from gptcli.errors import EngineError, RequestError
from gptcli.llama.greedy import GreedySampler
from gptcli.llama.library import C, captured_log, log_tail
from gptcli.llama.vocabulary import LlamaVocabulary
from gptcli.params import Sampling

_NO_BIAS = float("-inf")
_DEAD_END = "Leave --ignore-eos away, and logit biases that forbid what the grammar wants."
_MIROSTAT_WINDOW = 100
"""Tokens that mirostat 1 estimates its exponent from; common/sampling.cpp has the same number."""


class LlamaSampler:
    """Implements `engine.backend.Sampler`; `context` says which `llama_context` the logits are in now.

    A grammar is applied after the chain: the chain's choice is tested alone, and only if it is refused the grammar is
    run over the vocabulary and the chain again (common/sampling.cpp, common_sampler_sample). Tested first it would
    cost a pass over the vocabulary at every token.
    """

    def __init__(self, chain: Any, grammar: Any, vocabulary_size: int, context: Callable[[], Any]) -> None:
        self._chain = chain
        self._grammar = grammar
        self._size = vocabulary_size
        self._context = context
        self._candidates: Any = None

    def sample(self, row: int) -> int:
        if self._grammar is None:
            return int(C.llama_sampler_sample(self._chain, self._context(), row))
        token, _ = self._choose(row, grammar_first=False)
        if not self._allowed(token):
            token, logit = self._choose(row, grammar_first=True)
            if logit == _NO_BIAS:  # told to accept it, llama.cpp might end the process
                raise EngineError("the grammar allows none of the tokens that are left to choose from.", _DEAD_END)
        C.llama_sampler_accept(self._grammar, token)
        C.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        for sampler in (self._chain, self._grammar):
            if sampler is not None:
                C.llama_sampler_free(sampler)
        self._chain = self._grammar = None

    def _choose(self, row: int, *, grammar_first: bool) -> tuple[int, float]:
        candidates = self._fill(row)
        if grammar_first:
            C.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        C.llama_sampler_apply(self._chain, ctypes.byref(candidates))
        chosen = candidates.data[candidates.selected]
        return chosen.id, chosen.logit

    def _allowed(self, token: int) -> bool:
        one = (C.llama_token_data * 1)(C.llama_token_data(token, 1.0, 0.0))
        alone = C.llama_token_data_array(one, 1, -1, False)
        C.llama_sampler_apply(self._grammar, ctypes.byref(alone))
        return bool(one[0].logit != _NO_BIAS)

    def _fill(self, row: int) -> Any:
        import numpy as np

        if self._candidates is None:
            self._candidates = (C.llama_token_data * self._size)()
        table = np.frombuffer(self._candidates, dtype=[("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
        logits = C.llama_get_logits_ith(self._context(), row)
        table["id"] = np.arange(self._size, dtype="<i4")
        table["logit"] = np.ctypeslib.as_array(logits, (self._size,))
        table["p"] = 0.0
        return C.llama_token_data_array(self._candidates, self._size, -1, False)


def make_sampler(
    sampling: Sampling,
    seed: int,
    history: list[int],
    vocabulary: LlamaVocabulary,
    vocabulary_handle: Any,
    context: Callable[[], Any],
    *,
    ignore_end: bool,
    many: bool,
) -> LlamaSampler | GreedySampler:
    """A chain that has seen the end of `history`; where `many` texts are written, something quicker for greedy ones.

    Raises RequestError for a bad grammar, bias or sampler name."""
    if many and _is_plain(sampling):
        banned = {*vocabulary.suppressed, *(vocabulary.ends if ignore_end else ())}
        return GreedySampler(vocabulary.size, frozenset(banned), context)
    grammar = _grammar(sampling.grammar, vocabulary_handle) if sampling.grammar else None
    parameters = C.llama_sampler_chain_default_params()
    parameters.no_perf = True
    chain = C.llama_sampler_chain_init(parameters)
    sampler = LlamaSampler(chain, grammar, vocabulary.size, context)
    try:
        for part in _parts(sampling, seed, vocabulary, vocabulary_handle, ignore_end):
            C.llama_sampler_chain_add(chain, part)
    except RequestError:
        sampler.close()
        raise
    for token in history[-max(sampling.repeat_last_n, sampling.dry_penalty_last_n, 1) :]:
        C.llama_sampler_accept(chain, token)
    return sampler


def _parts(sampling: Sampling, seed: int, vocabulary: LlamaVocabulary, handle: Any, ignore_end: bool) -> list[Any]:
    """The chain's samplers in order; one that would change nothing is left out, for each costs time at every token."""
    parts = [_bias(sampling, vocabulary, ignore_end)]
    s = sampling
    if s.mirostat:
        parts.append(C.llama_sampler_init_temp(s.temperature))
        if s.mirostat == 1:
            parts.append(
                C.llama_sampler_init_mirostat(vocabulary.size, seed, s.mirostat_tau, s.mirostat_eta, _MIROSTAT_WINDOW)
            )
        else:
            parts.append(C.llama_sampler_init_mirostat_v2(seed, s.mirostat_tau, s.mirostat_eta))
        return [part for part in parts if part is not None]
    greedy = s.temperature <= 0 and s.dynatemp_range <= 0
    adaptive = "adaptive_p" in s.samplers
    for name in s.samplers:
        if name not in _MAKERS and name != "adaptive_p":
            names = ", ".join([*_MAKERS, "adaptive_p"])
            raise RequestError(f"there is no sampler named {name}.", f"Those of llama.cpp are: {names}.")
        # The likeliest token stays the likeliest through every sampler that only cuts the tail or divides.
        if name in _MAKERS and not (greedy and name in _KEEP_THE_FIRST):
            parts.append(_MAKERS[name](s, seed, vocabulary, handle))
    if adaptive:
        parts.append(C.llama_sampler_init_adaptive_p(s.adaptive_target, s.adaptive_decay, seed))
    elif greedy:
        parts.append(C.llama_sampler_init_greedy())
    else:
        parts.append(C.llama_sampler_init_dist(seed))
    return [part for part in parts if part is not None]


def _bias(sampling: Sampling, vocabulary: LlamaVocabulary, ignore_end: bool) -> Any:
    biases = dict.fromkeys(vocabulary.suppressed, _NO_BIAS)
    if ignore_end:
        biases |= dict.fromkeys(vocabulary.ends, _NO_BIAS)
    for what, bias in sampling.logit_bias:
        tokens = (
            [what]
            if isinstance(what, int)
            else vocabulary.tokenize(what.encode("utf-8", "surrogateescape"), add_special=False, parse_special=True)
        )
        for token in tokens:
            if not 0 <= token < vocabulary.size:
                raise RequestError(
                    f"there is no token {token} to bias.", f"This model's go from 0 to {vocabulary.size - 1}."
                )
            biases[token] = bias
    if not biases:
        return None
    array = (C.llama_logit_bias * len(biases))(*[C.llama_logit_bias(*pair) for pair in biases.items()])
    return C.llama_sampler_init_logit_bias(vocabulary.size, len(biases), array)


def _grammar(source: str, handle: Any) -> Any:
    try:
        data = source.encode()
    except UnicodeEncodeError:
        raise RequestError("the grammar is no text in UTF-8.", "Give GBNF, with bytes as \\x escapes.") from None
    with captured_log():
        grammar = C.llama_sampler_init_grammar(handle, data, b"root")
    if not grammar:  # a null pointer of a pointer type, not None
        raise RequestError(
            "the grammar is not valid GBNF with a rule named root.",
            "llama.cpp has just printed what it does not like.",  # straight to stderr (llama-grammar.cpp, parse)
            log=log_tail(),
        )
    return grammar


def _penalizes(s: Sampling) -> bool:
    return s.repeat_last_n != 0 and (s.repeat_penalty, s.frequency_penalty, s.presence_penalty) != (1.0, 0.0, 0.0)


def _dries(s: Sampling) -> bool:
    return s.dry_multiplier != 0 and s.dry_base >= 1 and s.dry_penalty_last_n != 0


def _penalties(s: Sampling, seed: int, vocabulary: LlamaVocabulary, handle: Any) -> Any:
    if not _penalizes(s):
        return None
    return C.llama_sampler_init_penalties(
        vocabulary.size, s.repeat_last_n, s.repeat_penalty, s.frequency_penalty, s.presence_penalty
    )


def _dry(s: Sampling, seed: int, vocabulary: LlamaVocabulary, handle: Any) -> Any:
    if not _dries(s):
        return None
    breakers = [breaker.encode("utf-8", "surrogateescape") for breaker in s.dry_sequence_breakers]
    return C.llama_sampler_init_dry(
        handle,
        s.dry_multiplier,
        s.dry_base,
        s.dry_allowed_length,
        s.dry_penalty_last_n,
        (ctypes.c_char_p * len(breakers))(*breakers),
        len(breakers),
    )


_Maker = Callable[[Sampling, int, LlamaVocabulary, Any], Any]
_MAKERS: dict[str, _Maker] = {
    "penalties": _penalties,
    "dry": _dry,
    "top_n_sigma": lambda s, seed, v, h: C.llama_sampler_init_top_n_sigma(s.top_n_sigma) if s.top_n_sigma > 0 else None,
    "top_k": lambda s, seed, v, h: C.llama_sampler_init_top_k(s.top_k) if s.top_k > 0 else None,
    "typ_p": lambda s, seed, v, h: C.llama_sampler_init_typical(s.typical_p, s.min_keep) if s.typical_p < 1 else None,
    "top_p": lambda s, seed, v, h: C.llama_sampler_init_top_p(s.top_p, s.min_keep) if s.top_p < 1 else None,
    "min_p": lambda s, seed, v, h: C.llama_sampler_init_min_p(s.min_p, s.min_keep) if s.min_p > 0 else None,
    "xtc": lambda s, seed, v, h: (
        C.llama_sampler_init_xtc(s.xtc_probability, s.xtc_threshold, s.min_keep, seed)
        if s.xtc_probability > 0
        else None
    ),
    "temperature": lambda s, seed, v, h: C.llama_sampler_init_temp_ext(
        s.temperature, s.dynatemp_range, s.dynatemp_exponent
    ),
    "infill": lambda s, seed, v, h: C.llama_sampler_init_infill(h),
}
_KEEP_THE_FIRST = {"top_n_sigma", "top_k", "top_p", "min_p", "temperature"}
_LEAVE_ALL: dict[str, Callable[[Sampling], bool]] = {
    "penalties": lambda s: not _penalizes(s),
    "dry": lambda s: not _dries(s),
    "typ_p": lambda s: s.typical_p >= 1,
    "xtc": lambda s: s.xtc_probability <= 0,
} | dict.fromkeys(_KEEP_THE_FIRST, lambda s: True)


def _is_plain(s: Sampling) -> bool:
    """Whether the token that the model finds likeliest is taken, and nothing has a say in it."""
    greedy = s.temperature <= 0 and s.dynatemp_range <= 0 and not s.mirostat
    quiet = all(name in _LEAVE_ALL and _LEAVE_ALL[name](s) for name in s.samplers)
    return greedy and quiet and not s.grammar and not s.logit_bias


_SHORT = {"temp": "temperature", "typ": "typ_p", "nucleus": "top_p"}


def known_samplers(text: str) -> tuple[str, ...]:
    """The samplers that a model's file names, in its order; spellings are llama.cpp's, as is passing over a name that
    nobody knows (common/sampling.cpp, common_sampler_types_from_names)."""
    spelt = {name.replace("_", ""): name for name in (*_MAKERS, "adaptive_p")} | _SHORT
    names = (word.strip().lower().replace("-", "").replace("_", "") for word in text.split(";"))
    return tuple(spelt[name] for name in names if name in spelt)
