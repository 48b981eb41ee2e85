"""What `/set` changes and `/show parameters` prints: how the next answers are generated and shown."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from gptcli.chat.context_window import Overflow
from gptcli.errors import GptcliError
from gptcli.params import PARAMS, SAMPLING_PARAMS, Kind, Param, ParamError, Sampling, find_param
from gptcli.types import JSON_OBJECT, Constraint, ConstraintKind

_SWITCHES: dict[str, tuple[str, bool]] = {
    "verbose": ("stats", True),
    "quiet": ("stats", False),
    "markdown": ("markdown", True),
    "plain": ("markdown", False),
    "history": ("history", True),
    "nohistory": ("history", False),
    "think shown": ("show_thinking", True),
    "think hidden": ("show_thinking", False),
}
_THINKING = ("think", "nothink", "think low", "think medium", "think high")
_NOT_IN_CHATS = ("n", "logprobs")
WORDS = ("parameter", "system", "overflow", "format", *_THINKING, *_SWITCHES)  # for completion
HELP = """\
/set parameter NAME VALUE   temperature, top_k, top_p, min_p, seed, num_predict...; "" restores the default
/set parameter stop TEXT…   end an answer before any of these; put quotes around a text with spaces
/set system TEXT            the system message
/set think [low|medium|high] | nothink   whether, and how hard, a reasoning model thinks
/set think shown | hidden   show its reasoning, or not
/set overflow CHOICE        when the context is full: ask, refuse, oldest or summarize
/set format json | SCHEMA | none   answers are JSON objects, or satisfy a schema (JSON, FILE or 'name, age int')
/set history | nohistory    save what you type to the history file, or not
/set verbose | quiet        print statistics after each answer, or not
/set markdown | plain       format answers as Markdown, or not"""


@dataclasses.dataclass(slots=True)
class Settings:
    """How the next answers are generated and shown."""

    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    constraint: Constraint | None = None
    close: bool = (
        False  # whether Ctrl-C ends an answer that has a constraint legally; /continue cannot go on from there
    )
    template_options: tuple[tuple[str, object], ...] = ()
    overflow: Overflow = Overflow.REFUSE
    stats: bool = False  # whether statistics follow each answer
    markdown: bool = True
    show_thinking: bool = True
    history: bool = True  # whether typed lines are saved to the history file

    def change(self, argument: str) -> str:
        """Carry out `/set ARGUMENT` and return a confirmation. Raises GptcliError for an unknown setting or value."""
        argument = " ".join(argument.split(None, 1)).strip()
        name, _, value = argument.partition(" ")
        if name == "parameter":
            return self._set_parameter(value)
        if argument in _SWITCHES:
            setattr(self, *_SWITCHES[argument])
        elif argument in _THINKING:
            options = dict(self.template_options) | {"enable_thinking": name == "think"}
            options |= {"reasoning_effort": value} if value else {}
            self.template_options = tuple(options.items())
        elif name == "format" and value:
            self.constraint = _constraint(value)
        elif name == "overflow" and value in {choice.value for choice in Overflow}:
            self.overflow = Overflow(value)
        else:
            raise GptcliError(f"There is no setting {argument}.", HELP)
        return f"Set: {argument}"

    def parameters(self) -> str:
        """What `/show parameters` prints."""
        sampling = self.sampling
        rows = [(name + "*" * (name in sampling.chosen), getattr(sampling, name)) for name in SAMPLING_PARAMS]
        rows += [(name, getattr(self, name)) for name in ("max_tokens", "stop", "ignore_eos")]
        rows += [("overflow", self.overflow.value), ("format", _format(self.constraint)), *self.template_options]
        lines = [f"{name:<22} {_shown(name, value)}" for name, value in rows]
        return "\n".join([*lines, "* set by you. The model's file may have its own defaults for the others."])

    def _set_parameter(self, argument: str) -> str:
        name, *rest = argument.split(None, 1) or [""]
        text = rest[0].strip() if rest else ""
        if not text:
            raise GptcliError("A parameter needs a name and a value.", HELP)
        if name == "num_ctx":
            raise GptcliError("The context grows as needed.", "To limit it, start with: gptcli chat --ctx-size N")
        param = find_param(name)
        if param is None:
            known = ", ".join(known for known in PARAMS if known not in _NOT_IN_CHATS)
            raise GptcliError(f"There is no parameter {name}.", f"Parameters: {known}.")
        if param.name in _NOT_IN_CHATS:
            raise GptcliError(f"{name} has no effect in a chat.", "Use it with `gptcli complete`.")
        reset = text == '""'
        value = param.default if reset else _parse(param, name, text)
        if param.name not in SAMPLING_PARAMS:
            setattr(self, param.name, None if value == -1 else value)
        else:
            self.sampling = self.sampling.with_params({param.name: value})
            if reset:
                self.sampling = dataclasses.replace(self.sampling, chosen=self.sampling.chosen - {param.name})
        return f"{name} has its default value again." if reset else f"{name} is now {text}."


def _constraint(text: str) -> Constraint | None:
    """What `/set format TEXT` means. Raises SchemaError."""
    if text in ("none", "json"):
        return JSON_OBJECT if text == "json" else None
    from gptcli.constraints.schema import load_schema

    return Constraint(ConstraintKind.JSON_SCHEMA, load_schema(text.strip("'")).text)


def _format(constraint: Constraint | None) -> str:
    if constraint is None:
        return "none"
    return "json" if constraint == JSON_OBJECT else f"{constraint.kind.value} {constraint.text}"


def _parse(param: Param, name: str, text: str) -> Any:
    try:
        return param.validate(shlex.split(text), name) if param.kind is Kind.TEXTS else param.parse(text, name)
    except ParamError as error:
        raise GptcliError(str(error), "/show parameters prints the current values.") from None
    except ValueError:
        raise GptcliError(f"{text} has an unclosed quote.", f'For example: /set parameter {name} "a b" c') from None


def _shown(name: str, value: object) -> str:
    if value is None:
        return "random" if name.startswith("seed") else "no limit"
    if value in ("", ()):
        return "none"
    if isinstance(value, tuple):
        return ";".join(value) if name.startswith("samplers") else " ".join(map(repr, value))
    return str(value)
