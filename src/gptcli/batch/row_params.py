"""What a row may ask for besides its prompt: sampling, limits, samples, logprobs, by OpenAI's names and llama.cpp's.

It knows names, types and ranges; each is honoured or refused by name, none is dropped in silence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import fields, replace

from gptcli.batch.row import Code, Refusal
from gptcli.params import Sampling
from gptcli.types import Prompt, Request

_ALIASES = {"repetition_penalty": "repeat_penalty", "seed": "seed"}
_NUMBERS: dict[str, type] = {f.name: type(f.default) for f in fields(Sampling) if type(f.default) in (int, float)}
_NUMBERS |= {"seed": int, "repetition_penalty": float}

_LEAST = {"temperature": 0.0, "top_p": 0.0, "min_p": 0.0, "typical_p": 0.0, "repeat_penalty": 0.0}
_MOST = {"top_p": 1.0, "min_p": 1.0, "xtc_probability": 1.0}

_MEANINGLESS: dict[str, tuple[object, ...]] = {
    "stream": (False,),
    "echo": (False,),
    "store": (False,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "response_format": ({"type": "text"},),
}
"""Values that ask for nothing beyond what happens anyway; any other value of these is refused."""

_LABELS = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key"})
"""They say who asks and where to bill it, and change no answer."""

MAX_SAMPLES = 128
MAX_LOGPROBS = 20

_Changes = dict[str, object]


def request(name: str, prompt: Prompt, wished: Iterable[tuple[str, object]], base: Request) -> Request:
    """`base` with another id and prompt, and changed as `wished`; None wishes nothing.

    Raises Refusal for a name that is not known and for a value that cannot be honoured."""
    sampling: _Changes = {}
    changes: _Changes = {"id": name, "prompt": prompt}
    for key, value in wished:
        if value is None:
            continue
        if key in _NUMBERS:
            field = _ALIASES.get(key, key)
            sampling[field] = _seed(value) if field == "seed" else _number(key, value, _NUMBERS[key])
        elif key in _SPECIAL:
            _SPECIAL[key](key, value, sampling, changes)
        elif key in _MEANINGLESS:
            if value not in _MEANINGLESS[key]:
                raise Refusal(Code.UNSUPPORTED, f"{key} {json.dumps(value)[:60]} is not possible here.")
        elif key not in _LABELS:
            raise Refusal(Code.UNSUPPORTED, f"{_short(key)} is not possible here.")
    _settle(changes)
    if sampling:
        chosen = base.sampling.chosen | sampling.keys()
        changes["sampling"] = replace(base.sampling, chosen=chosen, **sampling)  # type: ignore[arg-type]
    return replace(base, **changes)  # type: ignore[arg-type]


def is_wish(name: str) -> bool:
    """Whether a field of that name says how to answer."""
    return name in _NUMBERS or name in _SPECIAL


def from_cell(name: str, cell: str) -> object:
    """A table's text as the value that `name` takes; an empty cell wishes nothing."""
    if not cell:
        return None
    if name in ("stop", "grammar"):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise Refusal(Code.INVALID_REQUEST, f"{name} {cell[:40]!r} is no number.") from None


def _number(name: str, value: object, kind: type) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refusal(Code.INVALID_REQUEST, f"{name} must be a number.")
    if kind is int and (not isinstance(value, int) or abs(value) >= 1 << 31):
        raise Refusal(Code.INVALID_REQUEST, f"{name} must be a whole number below 2^31.")
    if (not isinstance(value, int) and not math.isfinite(value)) or abs(value) >= 1 << 31:
        raise Refusal(Code.INVALID_REQUEST, f"{name} must be a number below 2^31.")
    least, most = _LEAST.get(name, -math.inf), _MOST.get(name, math.inf)
    if not least <= value <= most:
        raise Refusal(Code.INVALID_REQUEST, f"{name} is {value}, it must lie between {least:g} and {most:g}.")
    return kind(value)  # type: ignore[no-any-return]


def _seed(value: object) -> int:
    """OpenAI's seeds are whole numbers of 64 bits, llama.cpp's have 32: the lower half counts."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 64:
        raise Refusal(Code.INVALID_REQUEST, "seed must be a whole number of at most 64 bits.")
    return value & 0xFFFFFFFF


def _whole(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Refusal(Code.INVALID_REQUEST, f"{name} must be a whole number from {least} to {most}.")
    return value


def _max_tokens(name: str, value: object, sampling: _Changes, changes: _Changes) -> None:
    tokens = _whole(name, value, 0, (1 << 31) - 1)
    if changes.setdefault("max_tokens", tokens) != tokens:
        raise Refusal(Code.INVALID_REQUEST, "max_tokens and max_completion_tokens contradict each other.")


def _stop(name: str, value: object, sampling: _Changes, changes: _Changes) -> None:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise Refusal(Code.INVALID_REQUEST, "stop must be a text or a list of texts, none of them empty.")
    for stop in stops:
        whole_text(name, stop)
    changes["stop"] = tuple(stops)


def _n(name: str, value: object, sampling: _Changes, changes: _Changes) -> None:
    changes["n"] = _whole(name, value, 1, MAX_SAMPLES)


def _best_of(name: str, value: object, sampling: _Changes, changes: _Changes) -> None:
    changes["best_of"] = _whole(name, value, 1, MAX_SAMPLES)


def _ignore_eos(name: str, value: object, sampling: _Changes, changes: _Changes) -> None:
    if not isinstance(value, bool):
        raise Refusal(Code.INVALID_REQUEST, "ignore_eos must be true or false.")
    changes["ignore_eos"] = value


def _logprobs(name: str, value: object, sampling: _Changes, changes: _Changes) -> None:
    """For chats true or false, with the number in top_logprobs; for completions the number."""
    if isinstance(value, bool):
        changes["logprobs"] = 0 if value else None
    else:
        changes["logprobs"] = _whole(name, value, 0, MAX_LOGPROBS)


def _top_logprobs(name: str, value: object, sampling: _Changes, changes: _Changes) -> None:
    changes["top_logprobs"] = _whole(name, value, 0, MAX_LOGPROBS)


def _logit_bias(name: str, value: object, sampling: _Changes, changes: _Changes) -> None:
    if not isinstance(value, dict):
        raise Refusal(Code.INVALID_REQUEST, "logit_bias must be an object of token ids and numbers.")
    pairs = []
    for key, bias in value.items():
        if not (key.isascii() and key.isdecimal() and len(key) < 10):
            raise Refusal(Code.INVALID_REQUEST, f"logit_bias: {_short(key)} is no token id.")
        pairs.append((int(key), float(_number(name, bias, float))))
    sampling["logit_bias"] = tuple(pairs)


def _grammar(name: str, value: object, sampling: _Changes, changes: _Changes) -> None:
    if not isinstance(value, str):
        raise Refusal(Code.INVALID_REQUEST, "grammar must be a text.")
    sampling["grammar"] = whole_text(name, value)


def _settle(changes: _Changes) -> None:
    """Join the wishes that only mean something together."""
    best_of = changes.pop("best_of", None)
    if best_of not in (None, changes.get("n", 1)):
        raise Refusal(Code.UNSUPPORTED, "best_of other than n is not possible here.")
    top = changes.pop("top_logprobs", None)
    if top is not None:
        if changes.get("logprobs") is None:
            raise Refusal(Code.INVALID_REQUEST, "top_logprobs means nothing without logprobs: true.")
        changes["logprobs"] = top


def whole_text(name: str, text: str) -> str:
    """`text`, which UTF-8 can carry. Raises Refusal for half a character (a lone surrogate, as JSON may escape it)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(Code.INVALID_REQUEST, f"{name} holds half a character (a lone surrogate).") from None
    return text


def _short(name: str) -> str:
    return json.dumps(name[:40])


_SPECIAL: dict[str, Callable[[str, object, _Changes, _Changes], None]] = {
    "max_tokens": _max_tokens,
    "max_completion_tokens": _max_tokens,
    "stop": _stop,
    "n": _n,
    "best_of": _best_of,
    "ignore_eos": _ignore_eos,
    "logprobs": _logprobs,
    "top_logprobs": _top_logprobs,
    "logit_bias": _logit_bias,
    "grammar": _grammar,
}
