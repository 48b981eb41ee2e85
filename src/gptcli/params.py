"""Every generation parameter, once: type, range, default, names, GGUF key and one line of help.

Command-line flags, `/set`, the fields of batch rows and the bodies of OpenAI requests are made from this table. Names,
defaults and meanings are llama.cpp's (common/common.h, `common_params_sampling`)."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

INT_MAX = 2**31 - 1
"""llama.cpp counts in 32 bits with a sign; a larger number would arrive as another one."""
SEEDS = 2**32 - 1
"""How many seeds there are: llama.cpp reads 2**32 - 1 as "pick one at random" (LLAMA_DEFAULT_SEED)."""
SAMPLERS = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
"""llama.cpp's default order of samplers."""
SAMPLER_NAMES = (*SAMPLERS, "infill", "adaptive_p")
"""Every sampler that a chain may have."""

_SPELLINGS = {name.replace("_", ""): name for name in SAMPLER_NAMES}
_SPELLINGS |= {"temp": "temperature", "typ": "typ_p", "typical": "typ_p", "typicalp": "typ_p", "nucleus": "top_p"}
_NATIVE_BIAS = re.compile(r"(\d+)([+-](?:\d+(?:\.\d+)?|inf))")


class ParamError(ValueError):
    """A value that a parameter cannot have; the text is a whole sentence that names the parameter and its range."""


class Kind(Enum):
    """What a parameter's value is."""

    INT = "a whole number"
    FLOAT = "a number"
    BOOL = "true or false"
    TEXT = "a text"
    TEXTS = "a text or a list of texts"
    SAMPLERS = "a list of sampler names"
    BIAS = "an object of token ids and numbers"


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. `flags` are its spellings on the command line, `aliases` its other names everywhere else."""

    name: str
    kind: Kind
    help: str
    default: object = None
    low: float = -INT_MAX
    high: float = INT_MAX
    flags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    metavar: str = "N"
    gguf: str | None = None
    """Key of a model file's own default (llama.cpp, LLAMA_MODEL_META_KEY_SAMPLING_*)."""

    def validate(self, value: object, label: str = "") -> Any:
        """`value`, as JSON or Python has it, in the type of the parameter's field. Raises ParamError.

        `label` is what the user calls the parameter, if not by its name."""
        return _CHECKS[self.kind](self, label or self.name, value)

    def parse(self, text: str, label: str = "") -> Any:
        """The same from text: the value of a flag, of `/set` or of a table's cell. Raises ParamError."""
        value: object = text
        if self.kind is Kind.BIAS:
            return (parse_bias(text, label or self.name),)
        if self.kind is Kind.BOOL:
            value = {"true": True, "false": False}.get(text.strip().lower(), text)
        elif self.kind in (Kind.INT, Kind.FLOAT):
            with contextlib.suppress(ValueError):
                value = int(text) if self.kind is Kind.INT else float(text)
        return self.validate(value, label)

    def _range(self, value: object) -> str:
        """The range that `value` is not in."""
        too_large = isinstance(value, (int, float)) and value > self.high
        if self.low > -INT_MAX and self.high == INT_MAX and not too_large:
            return f"{self.kind.value} of at least {self.low}"
        return f"{self.kind.value} from {self.low} to {self.high}"


def _number_in_range(param: Param, label: str, value: object) -> int | float:
    types = (int,) if param.kind is Kind.INT else (int, float)
    if type(value) not in types or not param.low <= value <= param.high:  # type: ignore[operator] # NaN is in no range
        raise ParamError(f"{label} must be {param._range(value)}, not {_short(value)}.")
    return value if param.kind is Kind.INT else float(value)  # type: ignore[return-value, arg-type]


def _bool(param: Param, label: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ParamError(f"{label} must be true or false, not {_short(value)}.")
    return value


def _text(param: Param, label: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ParamError(f"{label} must be a text that is not empty.")
    try:
        value.encode("utf-8", "surrogateescape")  # bytes of a command line that are not UTF-8 are kept
    except UnicodeEncodeError:
        raise ParamError(f"{label} holds half a character (a lone surrogate).") from None
    return value


def _texts(param: Param, label: str, value: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not all(isinstance(text, str) and text for text in values):
        raise ParamError(f"{label} must be a text or a list of texts, none of them empty.")
    return tuple(_text(param, label, text) for text in values)


def _samplers(param: Param, label: str, value: object) -> tuple[str, ...]:
    names = value.split(";") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ParamError(f"{label} must be {param.kind.value}.")
    found = []
    for name in filter(None, map(str.strip, names)):
        known = sampler_name(name)
        if known is None:
            raise ParamError(f"{label}: there is no sampler {_short(name)}. Samplers: {', '.join(SAMPLER_NAMES)}.")
        found.append(known)
    return tuple(found)


def _bias(param: Param, label: str, value: object) -> tuple[tuple[int | str, float], ...]:
    if not isinstance(value, Mapping):
        raise ParamError(f"{label} must be {param.kind.value}.")
    return tuple((_token_id(label, key), _amount(label, amount)) for key, amount in value.items())


def _is_digits(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdecimal()


def _token_id(label: str, text: str) -> int:
    if not _is_digits(text) or len(text) > 10 or int(text) > INT_MAX:
        raise ParamError(f"{label}: {_short(text)} is not a token id.")
    return int(text)


def _amount(label: str, value: object) -> float:
    if type(value) not in (int, float) or not (abs(value) <= INT_MAX or abs(value) == math.inf):  # type: ignore[arg-type]
        raise ParamError(f"{label}: a bias must be a number of at most {INT_MAX}, or -inf, not {_short(value)}.")
    return float(value)  # type: ignore[arg-type]


_CHECKS = {
    Kind.INT: _number_in_range,
    Kind.FLOAT: _number_in_range,
    Kind.BOOL: _bool,
    Kind.TEXT: _text,
    Kind.TEXTS: _texts,
    Kind.SAMPLERS: _samplers,
    Kind.BIAS: _bias,
}


def parse_bias(text: str, label: str = "logit_bias") -> tuple[int | str, float]:
    """`15043=+1`, `" the"=-2`, ` the=-inf`, or llama.cpp's own `15043+1`. Raises ParamError.

    Digits are a token id; in double quotes, with JSON's escapes, they are text."""
    if native := _NATIVE_BIAS.fullmatch(text):
        return _token_id(label, native[1]), _amount(label, float(native[2]))
    what, _, amount = text.rpartition("=")
    try:
        number = float(amount if what else "")
    except ValueError:
        examples = """' the=-2', 15043=+1 or '"42"=-inf'"""
        raise ParamError(f"{label} must be TOKEN=BIAS, such as {examples}, not {text!r}.") from None
    if _is_digits(what):
        return _token_id(label, what), _amount(label, number)
    if len(what) > 1 and what[0] == what[-1] == '"':
        try:
            what = json.loads(what)
        except ValueError:
            raise ParamError(f"{label}: the quoted text in {text!r} has a bad escape; JSON's rules apply.") from None
    return what, _amount(label, number)


def sampler_name(text: str) -> str | None:
    """The sampler that is spelled so in a flag or in a model file, as llama.cpp reads it; None for no sampler."""
    return _SPELLINGS.get(text.strip().lower().replace("-", "").replace("_", ""))


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _field(kind: Kind, default: object, metavar: str, help: str, *flags: str, **more: Any) -> Any:
    """A field of `Sampling` with its entry for the table; `flags` are spellings besides the field's own name."""
    return field(default=default, metadata={"kind": kind, "metavar": metavar, "help": help, "flags": flags} | more)


def _number(default: float, metavar: str, help: str, *flags: str, **more: Any) -> Any:
    kind = Kind.INT if isinstance(default, int) else Kind.FLOAT
    return _field(kind, default, metavar, help, *flags, **more)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. To add a parameter: a field here, and its use in `llama/sampler.py`."""

    temperature: float = _number(
        *(0.8, "T", "Sampling temperature; 0 picks the most likely token.", "--temp"),
        low=0,
        aliases=("temp",),
        gguf="temp",
    )
    top_k: int = _number(40, "K", "Keep the K most likely tokens; 0: all.", low=-1, gguf="top_k")
    top_p: float = _number(0.95, "P", "Keep the most likely tokens that add up to P.", low=0, high=1, gguf="top_p")
    min_p: float = _number(0.05, "P", "Keep tokens P times as likely as the best.", low=0, high=1, gguf="min_p")
    typical_p: float = _number(
        1.0, "P", "Locally typical sampling; 1: off.", "--typical", low=0, high=1, aliases=("typ_p",)
    )
    top_n_sigma: float = _number(-1.0, "N", "Keep logits within N sigma of the best; -1: off.", "--top-nsigma", low=-1)
    xtc_probability: float = _number(
        0.0, "P", "XTC: chance of dropping the top tokens.", low=0, high=1, gguf="xtc_probability"
    )
    xtc_threshold: float = _number(0.1, "P", "XTC: drop tokens likelier than P.", low=0, high=1, gguf="xtc_threshold")
    dynatemp_range: float = _number(0.0, "R", "Vary the temperature by up to R.", low=0)
    dynatemp_exponent: float = _number(1.0, "X", "Exponent of the dynamic temperature.", "--dynatemp-exp", low=0)
    repeat_last_n: int = _number(64, "N", "Tokens that the penalties look back.", low=0, gguf="penalty_last_n")
    repeat_penalty: float = _number(
        *(1.0, "X", "Divide the logits of repeated tokens by X."),
        low=0.01,
        aliases=("repetition_penalty",),
        gguf="penalty_repeat",
    )
    presence_penalty: float = _number(0.0, "X", "Subtract X from tokens that have occurred.")
    frequency_penalty: float = _number(0.0, "X", "Subtract X for each time a token occurred.")
    dry_multiplier: float = _number(0.0, "X", "DRY: strength of the penalty on repeated runs.", low=0)
    dry_base: float = _number(1.75, "X", "DRY: base of the penalty.", low=1)
    dry_allowed_length: int = _number(2, "N", "DRY: longest run without a penalty.", low=0)
    dry_penalty_last_n: int = _number(64, "N", "DRY: tokens to look back.", low=0)
    dry_sequence_breakers: tuple[str, ...] = _field(
        *(Kind.TEXTS, ("\n", ":", '"', "*"), "TEXT", "DRY: text that ends a run; repeatable."), "--dry-sequence-breaker"
    )
    mirostat: int = _number(0, "V", "Use Mirostat 1 or 2 instead of the samplers.", low=0, high=2, gguf="mirostat")
    mirostat_tau: float = _number(5.0, "X", "Mirostat: target entropy.", "--mirostat-ent", low=0, gguf="mirostat_tau")
    mirostat_eta: float = _number(0.1, "X", "Mirostat: learning rate.", "--mirostat-lr", low=0, gguf="mirostat_eta")
    adaptive_target: float = _number(-1.0, "P", "Adaptive-p: target probability; -1: off.", low=-1, high=1)
    adaptive_decay: float = _number(0.9, "X", "Adaptive-p: decay of its memory.", low=0, high=0.99)
    min_keep: int = _number(0, "N", "Tokens that every sampler keeps at least.", low=0)
    samplers: tuple[str, ...] = _field(Kind.SAMPLERS, SAMPLERS, "A;B;…", "Samplers, in order.", gguf="sequence")
    logit_bias: tuple[tuple[int | str, float], ...] = _field(
        Kind.BIAS, (), "TOKEN=BIAS", "Add to the logit of a token; -inf forbids it; repeatable.", "-l"
    )
    """Pairs of a token id, or a text whose every token is meant, and what is added to its logit."""
    seed: int | None = _field(Kind.INT, None, "N", "Seed for reproducible text; -1: random.", low=-1, high=2**64 - 1)
    """None: a random one, which `Finished` reports. Sample i of a request uses seed + i (modulo `SEEDS`)."""
    chosen: frozenset[str] = frozenset()
    """Fields that the user set; a model's own defaults replace only the others."""

    def with_params(self, values: Mapping[str, Any]) -> Sampling:
        """A copy with these fields, validated already, marked as chosen by the user."""
        changes = dict(values)
        if "seed" in changes:
            changes["seed"] = None if changes["seed"] in (None, -1) else changes["seed"] & 0xFFFFFFFF
        return dataclasses.replace(self, **changes, chosen=self.chosen.union(changes)) if changes else self


def _param(entry: dataclasses.Field[Any]) -> Param:
    """The table's entry for a field of `Sampling`; its first flag is its name, as a flag is spelled."""
    more = dict(entry.metadata)
    own = "--" + entry.name.replace("_", "-")
    more["flags"] = tuple(dict.fromkeys((own, *more["flags"])))
    more["gguf"] = f"general.sampling.{more['gguf']}" if "gguf" in more else None
    return Param(entry.name, default=entry.default, **more)


SAMPLING_PARAMS: dict[str, Param] = {
    entry.name: _param(entry) for entry in dataclasses.fields(Sampling) if entry.metadata
}
REQUEST_PARAMS: dict[str, Param] = {
    param.name: param
    for param in (
        Param(
            "max_tokens",
            Kind.INT,
            "Maximum number of tokens to generate; -1: no limit.",
            low=-1,
            flags=("--max-tokens", "-n", "--n-predict"),
            aliases=("max_completion_tokens", "num_predict", "n_predict"),
        ),
        Param("stop", Kind.TEXTS, "Stop before TEXT; repeatable.", (), flags=("--stop",), metavar="TEXT"),
        Param("ignore_eos", Kind.BOOL, "Continue past the end-of-text token.", False, flags=("--ignore-eos",)),
        Param("n", Kind.INT, "Number of samples.", 1, low=1, high=256, flags=("--samples",), aliases=("samples",)),
        Param("logprobs", Kind.INT, "Log-probabilities of K tokens.", low=0, high=1000, flags=("--logprobs",)),
    )
}
"""Parameters of a request that are not about choosing a token; the fields of `types.Request` of the same names."""
PARAMS: dict[str, Param] = SAMPLING_PARAMS | REQUEST_PARAMS
_BY_ALIAS = {alias: param for param in PARAMS.values() for alias in param.aliases}


def find_param(name: str) -> Param | None:
    """The parameter of that name or alias."""
    return PARAMS.get(name) or _BY_ALIAS.get(name)
