"""The options that several commands share. Those that are generation parameters are made from `gptcli.params`.

Annotations here are real objects and no strings, because typer evaluates them at every start."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar

from typer import Exit, Option, echo
from typer._click import Context, HelpFormatter
from typer._click.globals import get_current_context
from typer.core import TyperCommand, TyperOption

from gptcli.cli import suggestions
from gptcli.cli.defaults import with_settings
from gptcli.errors import UsageError
from gptcli.params import INT_MAX, PARAMS, SAMPLERS, SAMPLING_PARAMS, Kind, Param, ParamError, Sampling, parse_bias
from gptcli.runtime import CACHE_TYPES, EngineOptions

_model, _output = (functools.partial(Option, rich_help_panel=panel) for panel in ("Model", "Output"))
_count = functools.partial(_model, min=1, max=INT_MAX, metavar="N")
_cache_type = functools.partial(_model, metavar="TYPE", autocompletion=suggestions.one_of(*CACHE_TYPES))
_MAX_THREADS = 512
"""GGML_MAX_N_THREADS (ggml.h); many more end the process."""


_COMMON = {"temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed"}
_RARE = "More sampling"
"""The panel of the sampling flags that only --help-all shows."""
_GROUPS = "gptcli.groups"
_Function = TypeVar("_Function", bound=Callable[..., object])


def takes(**groups: type) -> Callable[[_Function], _Function]:
    """Let a command's parameter be a group of options.

    A group is a dataclass whose fields are `Annotated[..., typer.Option(...)]`, or `SamplingFlags`. Typer then sees the
    options of all groups beside the command's own parameters, and the command gets a value of each group. What the
    command line leaves open comes from the user's settings."""

    def expand(command: _Function) -> _Function:
        own = [p for p in inspect.signature(command).parameters.values() if p.name not in groups]
        options = {name: _parameters(group) for name, group in groups.items()}
        made = groups.items()

        @functools.wraps(command)
        def call(**values: object) -> object:
            context = get_current_context()

            def build(model: str | None) -> dict[str, object]:
                filled = with_settings(context, values, model)
                return {name: group(**{p.name: filled[p.name] for p in options[name]}) for name, group in made}

            context.meta[_GROUPS] = build
            model = values.get("model")
            return command(**{p.name: values[p.name] for p in own}, **build(model if isinstance(model, str) else None))

        ordered = [*own, *(parameter for group in options.values() for parameter in group)]
        call.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        call.__annotations__ = {}
        del call.__wrapped__  # typer would read the type hints of the command as it was
        return typing.cast(_Function, call)

    return expand


def groups_for(context: Context, model: str) -> dict[str, Any]:
    """The groups of options again, with the settings that `model` has; for a model that is known only later."""
    build: Callable[[str], dict[str, Any]] = context.meta[_GROUPS]
    return build(model)


def _parameters(group: type) -> list[inspect.Parameter]:
    if dataclasses.is_dataclass(group):
        return [_keyword(field.name, field.type, field.default) for field in dataclasses.fields(group)]
    return SamplingFlags.parameters()


class SamplingCommand(TyperCommand):
    """A command whose --help leaves out the less common sampling flags, and whose --help-all shows them too."""

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        for param in self.params:
            if isinstance(param, TyperOption) and param.rich_help_panel == _RARE:
                param.hidden = not ctx.meta.get("--help-all")
        super().format_help(ctx, formatter)


def _help_all(context: Context, wanted: bool) -> None:
    if wanted:
        context.meta["--help-all"] = True
        echo(context.get_help())
        raise Exit


class OutputFormat(str, Enum):
    """What is written to stdout."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


def param_option(name: str, **more: object) -> object:
    """The flag of a parameter, validated by its table; `more` replaces its help or adds a panel."""
    param = PARAMS[name]
    options: dict[str, Any] = {"help": param.help, "callback": lambda value: _validated(name, value)}
    flags = param.flags
    if param.kind is not Kind.BOOL:
        options["metavar"] = param.metavar
    else:
        flags = (f"{flags[0]}/{flags[0].replace('--', '--no-', 1)}",)
        options["show_default"] = False
    if param.kind in (Kind.INT, Kind.FLOAT):
        options["min"] = param.low if param.low > -INT_MAX else None
        options["max"] = param.high if param.high < INT_MAX else None
    return Option(*flags, **options | more)


def _validated(name: str, value: object) -> object:
    """A flag's value as the engine takes it; nothing, if it was not given. Raises UsageError."""
    param = PARAMS[name]
    if value in (None, ()):
        return value
    hint = "See `--help` for the range of each flag."
    try:
        if param.kind is Kind.BIAS:
            hint = "Digits are a token id; put them in double quotes for text."
            return tuple(parse_bias(text, param.flags[0]) for text in value)  # type: ignore[attr-defined]
        return param.validate(value, param.flags[0])
    except ParamError as error:
        raise UsageError(str(error), hint) from None


@dataclasses.dataclass(slots=True)
class LoadFlags:
    """Which model, and on what it is loaded."""

    model: Annotated[
        str | None,
        _model(
            "--model",
            "-m",
            metavar="REF",
            help="Alias, USER/REPO[:QUANT], URL or path of a GGUF.",
            autocompletion=suggestions.models,
        ),
    ] = None
    ctx_size: Annotated[int | None, _count("--ctx-size", help="Context size in tokens. (default: as needed)")] = None
    threads: Annotated[
        int | None,
        _count(
            "--threads", "-t", max=_MAX_THREADS, help="CPU threads. (default: a core each, fewer while others are busy)"
        ),
    ] = None
    threads_batch: Annotated[
        int | None, _count("--threads-batch", max=_MAX_THREADS, help="Threads for prompts. (default: same)")
    ] = None
    device: Annotated[
        str,
        _model(
            "--device",
            metavar="DEVICE",
            help="auto, cpu, metal, cuda or cuda:I; an error if unavailable.",
            autocompletion=suggestions.one_of("auto", "cpu", "metal", "cuda"),
        ),
    ] = "auto"
    gpu_layers: Annotated[
        int | None, _count("--gpu-layers", min=0, help="Layers to offload to the GPU. (default: all)")
    ] = None
    cache_type_k: Annotated[
        str | None, _cache_type("--cache-type-k", help="Keys of the KV cache: f16, q8_0, … (default: f16)")
    ] = None
    cache_type_v: Annotated[
        str | None, _cache_type("--cache-type-v", help="Values of the KV cache. (default: f16)")
    ] = None
    lora: Annotated[
        list[str] | None, _model("--lora", metavar="FILE[=SCALE]", help="A LoRA adapter (GGUF); repeatable.")
    ] = None
    offline: Annotated[bool, _model("--offline/--online", help="Never use the network.")] = False
    force: Annotated[bool, _model("--force", help="Load even if memory seems too small.")] = False

    def check(self) -> None:
        """Raises UsageError for flags that contradict each other."""
        if self.device == "cpu" and self.gpu_layers:
            raise UsageError(f"--device cpu and --gpu-layers {self.gpu_layers} contradict each other.", "Drop one.")
        for flag, name in (("--cache-type-k", self.cache_type_k), ("--cache-type-v", self.cache_type_v)):
            if name not in (None, *CACHE_TYPES):
                raise UsageError(f"{flag}: there is no type {name!r}.", f"Types: {', '.join(CACHE_TYPES)}.")
        self.engine_options()

    def engine_options(self, *, chat_template: str | None = None, verbose: bool = False) -> EngineOptions:
        """The same for the runtime. Raises UsageError for a LoRA file or a template that does not exist."""
        shared = {name: getattr(self, name) for name in _SHARED}
        template = None if chat_template is None else Path(chat_template).expanduser()
        if template is not None and not template.is_file():
            raise UsageError(f"--chat-template: there is no file {template}.", "Give a file with a jinja2 template.")
        adapters = tuple(map(_adapter, self.lora or []))
        return EngineOptions(**shared, chat_template=template, adapters=adapters, verbose=verbose)


_SHARED = [field.name for field in dataclasses.fields(LoadFlags) if field.name != "lora"]
"""The flags that are options of the same name."""


@dataclasses.dataclass(slots=True)
class ModelFlags(LoadFlags):
    """The same for commands that let a running server answer, if it has the model."""

    no_server: Annotated[bool, _model("--no-server", help="Load the model even if `gptcli serve` has it.")] = False

    def engine_options(self, *, chat_template: str | None = None, verbose: bool = False) -> EngineOptions:
        options = LoadFlags.engine_options(self, chat_template=chat_template, verbose=verbose)
        return dataclasses.replace(options, use_server=not self.no_server)


@dataclasses.dataclass(slots=True)
class SpeculationFlags:
    """Whether tokens are drafted before the model chooses them."""

    speculation: Annotated[
        bool | None,
        _model(
            "--speculation/--no-speculation",
            help="Draft what the text repeats, where that is faster. (default: where it changes no rounding)",
            show_default=False,
        ),
    ] = None
    draft: Annotated[
        str | None,
        _model(
            "--draft",
            metavar="REF",
            help="A smaller model of the same vocabulary that drafts, too.",
            autocompletion=suggestions.models,
        ),
    ] = None

    def applied(self, options: EngineOptions) -> EngineOptions:
        """The options with these. Raises UsageError for flags that contradict each other."""
        if self.draft is not None and self.speculation is False:
            raise UsageError("--draft and --no-speculation contradict each other.", "Drop one.")
        wanted = True if self.draft is not None else self.speculation  # who names a draft model wants its drafts
        return dataclasses.replace(options, speculation=wanted, draft=self.draft)


CHAT_TEMPLATE = _model("--chat-template", metavar="FILE", help="Read the chat template from FILE.")


def _adapter(text: str) -> tuple[Path, float]:
    """`FILE` or `FILE=SCALE`."""
    name, _, scale = text.rpartition("=")
    try:
        path, strength = Path(name or text).expanduser(), float(scale if name else 1)
    except ValueError:
        path, strength = Path(text).expanduser(), 1.0
    if not path.is_file():
        raise UsageError(f"--lora: there is no file {path}.", "Give FILE or FILE=SCALE.")
    return path, strength


class SamplingFlags:
    """The sampling parameters that were given; the others are left to the model's own defaults."""

    def __init__(self, **given: object) -> None:
        self._given = {name: value for name, value in given.items() if name in PARAMS and value is not None}

    @property
    def given(self) -> dict[str, object]:
        """The parameters that were given, by name."""
        return dict(self._given)

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """A flag for each sampling parameter, for `takes`."""
        every = Option("--help-all", help="Show all flags.", is_eager=True, expose_value=False, callback=_help_all)
        return [*map(_parameter, SAMPLING_PARAMS.values()), _keyword("help_all", Annotated[bool, every], False)]

    def check(self) -> None:
        """Raises UsageError for flags that contradict each other."""
        given = self._given
        if given.get("mirostat"):
            for name in ("top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "samplers"):
                if name in given:
                    flag = SAMPLING_PARAMS[name].flags[0]
                    raise UsageError(f"--mirostat replaces the samplers, so {flag} would do nothing.", "Drop one.")
        sampling = self.sampling()
        if "adaptive_target" in given and "adaptive_p" not in sampling.samplers:
            raise UsageError("--adaptive-target needs adaptive_p among --samplers.", "Add it there.")

    def sampling(self) -> Sampling:
        """The same for the engine. Raises UsageError."""
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in self._given.items()}
        return Sampling().with_params(values)


_TYPES: dict[Kind, Any] = {Kind.INT: int | None, Kind.FLOAT: float | None}
_TYPES |= dict.fromkeys((Kind.TEXTS, Kind.BIAS), list[str] | None)


def _parameter(param: Param) -> inspect.Parameter:
    default = ";".join(SAMPLERS) if param.kind is Kind.SAMPLERS else param.default
    shown = isinstance(default, (int, float, str)) and default != ""
    help = f"{param.help} (default: {default})" if shown else param.help
    panel = "Sampling" if param.name in _COMMON else _RARE
    option = param_option(param.name, help=help, rich_help_panel=panel, show_default=False)
    return _keyword(param.name, Annotated[_TYPES.get(param.kind, str | None), option])


def _keyword(name: str, annotation: object, default: object = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


@dataclasses.dataclass(slots=True)
class TextFlags:
    """How much text to generate, and where it ends."""

    max_tokens: Annotated[int, param_option("max_tokens")] = 256
    stop: Annotated[list[str] | None, param_option("stop")] = None
    ignore_eos: Annotated[bool, param_option("ignore_eos")] = False

    @property
    def limit(self) -> int | None:
        """Tokens to generate at most; None for no limit."""
        return None if self.max_tokens < 0 else self.max_tokens


@dataclasses.dataclass(slots=True)
class OutputFlags:
    """What is written, and where."""

    format: Annotated[OutputFormat, _output("--format", help="Plain text, one JSON object, or JSON lines.")] = (
        OutputFormat.TEXT
    )
    logprobs: Annotated[
        int | None,
        param_option("logprobs", help="Log-probabilities with K alternatives; JSON only.", rich_help_panel="Output"),
    ] = None
    stream_items: Annotated[
        bool, _output("--stream-items", help="Write items of a JSON answer as lines, with --format jsonl.")
    ] = False
    stats: Annotated[bool, _output("--stats/--no-stats", help="Print rates, counts and the seed to stderr.")] = False
    verbose: Annotated[bool, _output("--verbose", "-v", help="Show llama.cpp's log.")] = False
    quiet: Annotated[bool, _output("--quiet", "-q", help="Only errors on stderr.")] = False

    def check(self) -> None:
        """Raises UsageError for flags that contradict each other."""
        if self.verbose and self.quiet:
            raise UsageError("--verbose and --quiet contradict each other.", "Drop one.")
        if self.logprobs is not None and self.format is OutputFormat.TEXT:
            raise UsageError("--logprobs cannot be shown as plain text.", "Add --format json or --format jsonl.")
        if self.stream_items and self.format is not OutputFormat.JSONL:
            raise UsageError("--stream-items writes JSON lines.", "Add --format jsonl.")
        if self.stream_items and self.logprobs is not None:
            raise UsageError("--stream-items has no place for --logprobs.", "Drop one.")
