"""/set and /show: the settings of a talk by the names that people know from ollama.

It knows names, types, ranges and current values; what a setting does is elsewhere.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from typing import TYPE_CHECKING

from gptcli.chat import formatting as reports
from gptcli.chat.context_window import Overflow
from gptcli.errors import GptcliError
from gptcli.params import Sampling

if TYPE_CHECKING:
    from gptcli.chat.repl import Repl

_OTHER_NAMES = {"typ_p": "typical_p", "temp": "temperature"}
_NUMBERS: dict[str, type[int] | type[float]] = {
    field.name: int if type(field.default) is int else float
    for field in dataclasses.fields(Sampling)
    if type(field.default) in (int, float)
}
_RANGES = {
    **dict.fromkeys(("top_p", "min_p", "typical_p", "xtc_probability", "xtc_threshold"), (0, 1)),
    **dict.fromkeys(("dynatemp_range", "repeat_last_n", "dry_multiplier", "dry_allowed_length"), (0, math.inf)),
    **dict.fromkeys(("dry_penalty_last_n", "min_keep"), (0, math.inf)),
    "repeat_penalty": (0.01, math.inf),
    "mirostat": (0, 2),
    "adaptive_target": (-math.inf, 1),
    "adaptive_decay": (0, 0.99),
    "seed": (-1, 2**32 - 2),
    "num_predict": (-1, 2**31),
}
"""What `gptcli chat --help` allows, too."""
_SWITCHES = {
    "verbose": ("stats", True),
    "quiet": ("stats", False),
    "markdown": ("markdown", True),
    "plain": ("markdown", False),
}
_EFFORTS = ("low", "medium", "high")
WORDS = ("parameter", "system", "think", "nothink", "overflow", "history", "nohistory", *_SWITCHES)
SHOWN = ("info", "parameters", "system", "template")
HELP = """\
/set parameter NAME VALUE   temperature, top_k, top_p, min_p, seed, num_predict, repeat_penalty and the others
/set parameter stop TEXT…   end an answer before any of these; "" around one with spaces
/set system TEXT            the system message
/set think [low|medium|high] | nothink   whether, and how hard, a model that can think does
/set think shown | hidden   whether that is shown
/set overflow CHOICE        ask, refuse, oldest or summarize when the context is full
/set history | nohistory    remember what is typed, or not
/set verbose | quiet        say counts and rates after each answer, or not
/set markdown | plain       how answers look"""


def change(talk: Repl, argument: str) -> str:
    """Do what /set says; returns what to tell. Raises GptcliError for what there is not."""
    what, *rest = argument.split(None, 1)
    value = rest[0].strip() if rest else ""
    settings = talk.session.settings
    if what == "parameter":
        return _parameter(talk, value)
    if what == "system":
        talk.session.set_system(value.strip('"'))
        return "The system message is set; what was said stays." if value else "There is no system message any more."
    if what in _SWITCHES and not value:
        setattr(talk, *_SWITCHES[what])
    elif what in ("history", "nohistory") and not value:
        talk.remember(what == "history")
    elif what == "think" and value in ("shown", "hidden"):
        talk.show_thinking = value == "shown"
    elif what in ("think", "nothink") and (not value or (what == "think" and value in _EFFORTS)):
        options = dict(settings.template_options) | {"enable_thinking": what == "think"}
        options |= {"reasoning_effort": value} if value else {}
        settings.template_options = tuple(options.items())
    elif what == "overflow" and value in {choice.value for choice in Overflow}:
        settings.overflow = Overflow(value)
    else:
        raise GptcliError(f"There is nothing to set as {argument}.", HELP)
    return f"Set: {argument}"


def shown(talk: Repl, argument: str) -> str:
    """What /show tells. Raises GptcliError for what there is not."""
    voice, settings = talk.session.voice, talk.session.settings
    if argument in ("", "info"):
        return f"{voice.name}: {voice.description}\n{voice.reference}\ncontext: {voice.engine.limit:,} tokens"
    if argument == "system":
        return reports.system(talk.session.conversation)
    if argument == "template":
        return voice.template or "This model brings no chat template; ChatML is used."
    if argument == "parameters":
        sampling = settings.sampling
        rows = [(name + "*" * (name in sampling.chosen), str(getattr(sampling, name))) for name in _NUMBERS]
        rows.append(("seed", "random" if sampling.seed is None else str(sampling.seed)))
        rows.append(("num_predict", str(settings.max_tokens or "until the end")))
        rows.append(("overflow", settings.overflow.value))
        rows += [("stop", repr(stop)) for stop in settings.stop]
        rows += [(name, str(value)) for name, value in settings.template_options]
        lines = [f"{name:<21} {value}" for name, value in rows]
        return "\n".join([*lines, "* as you said; of the others, the model's own file may say otherwise."])
    raise GptcliError(f"There is nothing to show as {argument}.", f"There are: {', '.join(SHOWN)}.")


def _parameter(talk: Repl, text: str) -> str:
    name, *rest = text.split(None, 1)[:2] or [""]
    value = rest[0].strip() if rest else ""
    settings = talk.session.settings
    field = _OTHER_NAMES.get(name, name)
    if not value:
        raise GptcliError("A parameter wants a name and a value.", HELP)
    if name == "stop":
        settings.stop = _words(value)
        return f"An answer ends before {' or '.join(map(repr, settings.stop))} from now on."
    if name in ("num_predict", "max_tokens"):
        count = int(_number("num_predict", value, int))
        settings.max_tokens = None if count < 0 else count
    elif field == "seed":
        seed = int(_number(field, value, int))
        settings.sampling = _with(settings.sampling, field, None if seed < 0 else seed)
    elif field in _NUMBERS:
        settings.sampling = _with(settings.sampling, field, _number(field, value, _NUMBERS[field]))
    elif name == "num_ctx":
        raise GptcliError("The context grows by itself.", "Set a limit at the start: gptcli chat --ctx-size N")
    else:
        known = ", ".join(_NUMBERS)
        raise GptcliError(f"There is no parameter {name}.", f"There are: {known}, seed, stop, num_predict")
    return f"{name} is {value} from now on."


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise GptcliError(
            f"{text} has a quote that does not end.", 'For example: /set parameter stop "a b" c'
        ) from error


def _number(name: str, text: str, kind: type[int] | type[float]) -> float:
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    try:
        value = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise GptcliError(f"{name} cannot be {text}.", f"It wants {what}.") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise GptcliError(f"{name} cannot be {text}.", f"It goes from {low} to {high}.")
    return value


def _with(sampling: Sampling, field: str, value: float | None) -> Sampling:
    return dataclasses.replace(sampling, **{field: value}, chosen=sampling.chosen | {field})  # type: ignore[arg-type]
