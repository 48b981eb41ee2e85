"""Every setting, once: the generation parameters of `gptcli.params`, and what else can be chosen for all runs.

The keys of the settings file, the names of the `GPTCLI_*` variables and `gptcli config` are made from this table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from gptcli.params import PARAMS, Kind, Param, ParamError, find_param, parse_bias

_MOST_THREADS = 512
"""GGML_MAX_N_THREADS (ggml.h)."""
_OVERFLOWS = ("refuse", "oldest", "summarize")
_YES, _NO = ("1", "true", "on", "yes"), ("0", "false", "off", "no")

MODEL_SETTINGS = (
    Param("ctx_size", Kind.INT, "Context size in tokens; as needed if not set.", low=1),
    Param("threads", Kind.INT, "CPU threads; the physical cores if not set.", low=1, high=_MOST_THREADS),
    Param("threads_batch", Kind.INT, "Threads for prompts; as `threads` if not set.", low=1, high=_MOST_THREADS),
    Param("device", Kind.TEXT, "auto, cpu, metal, cuda or cuda:I.", "auto"),
    Param("gpu_layers", Kind.INT, "Layers to offload to the GPU; all if not set.", low=0),
    Param("cache_type_k", Kind.TEXT, "Type of the keys in the KV cache, such as q8_0.", "f16"),
    Param("cache_type_v", Kind.TEXT, "Type of the values in the KV cache.", "f16"),
    Param("speculation", Kind.BOOL, "Draft what a text repeats; where it changes no rounding if not set."),
    Param("draft", Kind.TEXT, "A smaller model of the same vocabulary that drafts tokens."),
    Param("chat_template", Kind.TEXT, "File with a chat template, in place of the model's own."),
)
"""How a model is loaded and fed."""
COMMAND_SETTINGS = (
    Param("offline", Kind.BOOL, "Never use the network.", False),
    Param("stats", Kind.BOOL, "Print rates, counts and the seed to stderr.", False),
    Param("plain", Kind.BOOL, "Do not format Markdown in chats.", False),
    Param("no_think", Kind.BOOL, "Disable thinking in chats.", False),
    Param("hide_thinking", Kind.BOOL, "Do not show the model's reasoning in chats.", False),
    Param("no_save", Kind.BOOL, "Do not save chats.", False),
    Param("overflow", Kind.TEXT, "When a chat's context is full: refuse, oldest or summarize."),
)
"""What is the same for every model."""
MODEL = Param("model", Kind.TEXT, "The default model: alias, USER/REPO[:QUANT], URL or path of a GGUF.")
SETTINGS: dict[str, Param] = {
    param.name: param for param in (MODEL, *MODEL_SETTINGS, *COMMAND_SETTINGS, *PARAMS.values())
}
PER_MODEL = SETTINGS.keys() - {"model"} - {param.name for param in COMMAND_SETTINGS}
"""Settings that a model's own section may have."""


def validate(name: str, value: object, label: str = "") -> Any:
    """`value`, as TOML has it, in the type of the setting. Raises ParamError."""
    param, label = SETTINGS[name], label or name
    if param.kind is Kind.BIAS and not isinstance(value, Mapping):
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
            raise ParamError(f"{label} must be a list of texts such as '15043=+1'.")
        return tuple(parse_bias(text, label) for text in texts)
    value = param.validate(value, label)
    if name == "overflow" and value not in _OVERFLOWS:
        raise ParamError(f"{label} must be {', '.join(_OVERFLOWS[:-1])} or {_OVERFLOWS[-1]}, not {value!r}.")
    return value


def parse(name: str, text: str, label: str = "") -> Any:
    """The value in a text: an environment variable, or an argument of `gptcli config set`. Raises ParamError.

    A list is written in JSON; any other text is one element of it."""
    param = SETTINGS[name]
    if param.kind is Kind.BOOL:
        word = text.strip().lower()
        return validate(name, True if word in _YES else False if word in _NO else text, label)
    if param.kind in (Kind.TEXTS, Kind.BIAS, Kind.SAMPLERS):
        value: object = text
        if text.startswith("["):
            try:
                value = json.loads(text)
            except ValueError:
                value = text
        return validate(name, value, label)
    if param.kind in (Kind.INT, Kind.FLOAT):
        return param.parse(text, label)
    return validate(name, text, label)


def plain(name: str, value: Any) -> Any:
    """A setting's value as TOML and JSON have it."""
    if SETTINGS[name].kind is Kind.BIAS:
        return [f"{json.dumps(what, ensure_ascii=False) if isinstance(what, str) else what}={n!r}" for what, n in value]
    return list(value) if isinstance(value, tuple) else value


def literal(name: str, value: Any) -> str:
    """A setting's value as TOML writes it, on one line."""
    return _literal(plain(name, value))


def text(name: str, value: Any) -> str:
    """A setting's value such that `parse` reads it."""
    found = plain(name, value)
    if isinstance(found, bool):
        return str(found).lower()
    return json.dumps(found, ensure_ascii=False) if isinstance(found, list) else str(found)


def _literal(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, float):
        return repr(value)
    # A basic string of TOML has the escapes of JSON, and no DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name among `known` that `name` may have been meant for: by another of its names, or by its spelling."""
    spelled = name.strip("-").replace("-", "_").lower()
    found = find_param(spelled)
    known = [*known]
    if found is not None and found.name in known:
        return found.name
    return next(iter(get_close_matches(spelled, known, 1, 0.6)), None)
