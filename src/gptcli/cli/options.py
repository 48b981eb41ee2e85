"""The options that several commands take, each written once, with llama.cpp's names and defaults.

It knows flags, their help and what they may not be combined with; it loads nothing. Annotations here are real objects
and no strings, because typer evaluates them at every start.
"""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from gptcli.cli import suggestions, values
from gptcli.errors import UsageError
from gptcli.params import SAMPLERS, Sampling

_MODEL, _SAMPLING, _OUTPUT = "Model", "Sampling", "Output"
_MOST = 2**31 - 1
"""llama.cpp counts in 32 bits with a sign; a larger number would arrive as another one."""
_MOST_THREADS = 512
"""GGML_MAX_N_THREADS (ggml.h); many more end the process."""


def _sampling(*names: str, help: str, **more: Any) -> Any:
    return Option(*names, help=help, rich_help_panel=_SAMPLING, show_default=False, **more)


@dataclasses.dataclass(slots=True)
class ModelFlags:
    """Which model, and on what it runs."""

    model: Annotated[
        str | None,
        Option(
            "--model",
            "-m",
            metavar="REF",
            autocompletion=suggestions.models,
            help="Alias, USER/REPO[:QUANT], URL or a GGUF's path.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    ctx_size: Annotated[
        int | None,
        Option(
            "--ctx-size",
            min=1,
            max=_MOST,
            metavar="N",
            help="Tokens a text may have. (default: what it needs)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    threads: Annotated[
        int | None,
        Option(
            "--threads",
            "-t",
            min=1,
            max=_MOST_THREADS,
            metavar="N",
            help="Threads for decoding. (default: physical cores)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    threads_batch: Annotated[
        int | None,
        Option(
            "--threads-batch",
            min=1,
            max=_MOST_THREADS,
            metavar="N",
            help="Threads for prompts. (default: as --threads)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    device: Annotated[
        str,
        Option(
            "--device",
            metavar="DEVICE",
            autocompletion=suggestions.one_of("auto", "cpu", "metal", "cuda"),
            help="auto, cpu, metal, cuda or cuda:I; refused if not there.",
            rich_help_panel=_MODEL,
        ),
    ] = "auto"
    gpu_layers: Annotated[
        int | None,
        Option(
            "--gpu-layers",
            min=0,
            max=_MOST,
            metavar="N",
            help="Layers to put on the GPU. (default: all, if there is one)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    lora: Annotated[
        list[str] | None,
        Option("--lora", metavar="FILE[=SCALE]", help="A LoRA adapter (GGUF); repeatable.", rich_help_panel=_MODEL),
    ] = None
    offline: Annotated[bool, Option("--offline", help="Never use the network.", rich_help_panel=_MODEL)] = False
    force: Annotated[bool, Option("--force", help="Load even if memory seems too small.", rich_help_panel=_MODEL)] = (
        False
    )

    def adapters(self) -> list[tuple[Path, float]]:
        """LoRA files and their strengths. Raises UsageError."""
        return [values.adapter(text) for text in self.lora or []]

    def check(self) -> None:
        """Raises UsageError for what contradicts itself."""
        if self.device == "cpu" and self.gpu_layers:
            raise UsageError(f"--device cpu and --gpu-layers {self.gpu_layers} contradict each other.", "Drop one.")
        self.adapters()


@dataclasses.dataclass(slots=True)
class SamplingFlags:
    """How tokens are chosen. None means: not said, so that the model file's own default may stand."""

    temperature: Annotated[
        float | None,
        _sampling("--temperature", "--temp", metavar="T", help="0 takes the likeliest token. (default: 0.8)"),
    ] = None
    top_k: Annotated[
        int | None, _sampling("--top-k", max=_MOST, metavar="K", help="Keep the K likeliest; 0: all. (default: 40)")
    ] = None
    top_p: Annotated[
        float | None,
        _sampling("--top-p", min=0, max=1, metavar="P", help="Keep the likeliest that make up P. (default: 0.95)"),
    ] = None
    min_p: Annotated[
        float | None,
        _sampling(
            "--min-p", min=0, max=1, metavar="P", help="Keep those P times as likely as the first. (default: 0.05)"
        ),
    ] = None
    typical_p: Annotated[
        float | None,
        _sampling("--typical-p", "--typical", min=0, max=1, metavar="P", help="Locally typical. (default: 1.0)"),
    ] = None
    top_n_sigma: Annotated[
        float | None,
        _sampling("--top-n-sigma", "--top-nsigma", metavar="N", help="Keep logits within N sigma. (default: -1)"),
    ] = None
    xtc_probability: Annotated[
        float | None,
        _sampling("--xtc-probability", min=0, max=1, metavar="P", help="Drop the top choices. (default: 0)"),
    ] = None
    xtc_threshold: Annotated[
        float | None, _sampling("--xtc-threshold", min=0, max=1, metavar="P", help="Those above P. (default: 0.1)")
    ] = None
    dynatemp_range: Annotated[
        float | None, _sampling("--dynatemp-range", min=0, metavar="R", help="Temperature by entropy, ±R. (default: 0)")
    ] = None
    dynatemp_exponent: Annotated[
        float | None, _sampling("--dynatemp-exp", metavar="X", help="Its exponent. (default: 1.0)")
    ] = None
    repeat_last_n: Annotated[
        int | None,
        _sampling(
            "--repeat-last-n", min=0, max=_MOST, metavar="N", help="Tokens the penalties look back. (default: 64)"
        ),
    ] = None
    repeat_penalty: Annotated[
        float | None,
        _sampling("--repeat-penalty", min=0.01, metavar="X", help="Divide repeated logits. (default: 1.0)"),
    ] = None
    presence_penalty: Annotated[
        float | None, _sampling("--presence-penalty", metavar="X", help="Subtract once from what came. (default: 0)")
    ] = None
    frequency_penalty: Annotated[
        float | None, _sampling("--frequency-penalty", metavar="X", help="Subtract each time it came. (default: 0)")
    ] = None
    dry_multiplier: Annotated[
        float | None, _sampling("--dry-multiplier", min=0, metavar="X", help="DRY: against repeated runs. (default: 0)")
    ] = None
    dry_base: Annotated[float | None, _sampling("--dry-base", metavar="X", help="DRY's base. (default: 1.75)")] = None
    dry_allowed_length: Annotated[
        int | None,
        _sampling("--dry-allowed-length", min=0, max=_MOST, metavar="N", help="Runs DRY lets pass. (default: 2)"),
    ] = None
    dry_penalty_last_n: Annotated[
        int | None,
        _sampling("--dry-penalty-last-n", min=0, max=_MOST, metavar="N", help="Tokens DRY looks back. (default: 64)"),
    ] = None
    dry_sequence_breakers: Annotated[
        list[str] | None,
        _sampling("--dry-sequence-breaker", metavar="TEXT", help='Where runs end; repeatable. (default: \\n : " *)'),
    ] = None
    mirostat: Annotated[
        int | None,
        _sampling("--mirostat", min=0, max=2, metavar="V", help="1 or 2: instead of all samplers. (default: 0)"),
    ] = None
    mirostat_tau: Annotated[
        float | None, _sampling("--mirostat-tau", "--mirostat-ent", metavar="X", help="Its entropy. (default: 5.0)")
    ] = None
    mirostat_eta: Annotated[
        float | None,
        _sampling("--mirostat-eta", "--mirostat-lr", metavar="X", help="Its learning rate. (default: 0.1)"),
    ] = None
    adaptive_target: Annotated[
        float | None,
        _sampling("--adaptive-target", max=1, metavar="P", help="Adaptive-p's aim, in --samplers. (default: -1)"),
    ] = None
    adaptive_decay: Annotated[
        float | None, _sampling("--adaptive-decay", min=0, max=0.99, metavar="X", help="Its memory. (default: 0.9)")
    ] = None
    min_keep: Annotated[
        int | None,
        _sampling("--min-keep", min=0, max=_MOST, metavar="N", help="Tokens a sampler leaves at least. (default: 0)"),
    ] = None
    samplers: Annotated[
        str | None, _sampling("--samplers", metavar="A;B;…", help=f"Their order. (default: {';'.join(SAMPLERS)})")
    ] = None
    logit_bias: Annotated[
        list[str] | None,
        _sampling("--logit-bias", "-l", metavar="TOKEN=BIAS", help="Token id or text; -inf forbids it; repeatable."),
    ] = None
    grammar: Annotated[str | None, _sampling("--grammar", metavar="GBNF", help="A grammar the text must follow.")] = (
        None
    )
    grammar_file: Annotated[
        Path | None,
        _sampling("--grammar-file", metavar="FILE", help="The same from a file.", exists=True, dir_okay=False),
    ] = None
    seed: Annotated[
        int | None,
        _sampling("--seed", min=0, max=2**32 - 1, metavar="N", help="For the same text again. (default: random)"),
    ] = None

    def check(self) -> None:
        """Raises UsageError for what contradicts itself."""
        if self.grammar is not None and self.grammar_file is not None:
            raise UsageError("--grammar and --grammar-file contradict each other.", "Give one of them.")
        if self.mirostat:
            for name in ("top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "samplers"):
                if getattr(self, name) is not None:
                    flag = name.replace("_", "-")
                    raise UsageError(f"--mirostat replaces the samplers, so --{flag} would do nothing.", "Drop one.")
        if self.adaptive_target is not None and "adaptive_p" not in (self.samplers or "").split(";"):
            raise UsageError("--adaptive-target needs adaptive_p among --samplers.", "Name it there.")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"--{field.name.replace('_', '-')} {value} is no number to compute with.", "Give one.")
        self.sampling()

    def sampling(self) -> Sampling:
        """The same as the engine wants it, with what was not said marked as such. Raises UsageError."""
        said = {
            field.name: value
            for field in dataclasses.fields(self)
            if field.name != "grammar_file" and (value := getattr(self, field.name)) is not None
        }
        if self.samplers is not None:
            said["samplers"] = values.samplers(self.samplers)
        if self.logit_bias is not None:
            said["logit_bias"] = tuple(values.bias(text) for text in self.logit_bias)
        if self.dry_sequence_breakers is not None:
            said["dry_sequence_breakers"] = tuple(self.dry_sequence_breakers)
        if self.grammar_file is not None:
            said["grammar"] = values.grammar(self.grammar_file)
        return Sampling(**said, chosen=frozenset(said))


@dataclasses.dataclass(slots=True)
class TextFlags:
    """How much text, and where it ends."""

    max_tokens: Annotated[
        int,
        Option("--max-tokens", "-n", "--n-predict", min=-1, metavar="N", help="Tokens to generate; -1: until the end."),
    ] = 256
    stop: Annotated[list[str] | None, Option("--stop", metavar="TEXT", help="End before TEXT; repeatable.")] = None
    ignore_eos: Annotated[bool, Option("--ignore-eos", help="Go on when the model would end.")] = False


@dataclasses.dataclass(slots=True)
class OutputFlags:
    """How results and what else there is to say come out."""

    format: Annotated[
        values.OutputFormat, Option("--format", help="text, one JSON object, or JSON lines.", rich_help_panel=_OUTPUT)
    ] = values.OutputFormat.TEXT
    logprobs: Annotated[
        int | None,
        Option(
            "--logprobs",
            min=0,
            max=1000,
            metavar="K",
            help="Probabilities with K alternatives; JSON only.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None
    stats: Annotated[bool, Option("--stats", help="Say rates, counts and seed on stderr.", rich_help_panel=_OUTPUT)] = (
        False
    )
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show llama.cpp's log.", rich_help_panel=_OUTPUT)] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only errors on stderr.", rich_help_panel=_OUTPUT)] = False

    def check(self) -> None:
        """Raises UsageError for what contradicts itself."""
        if self.verbose and self.quiet:
            raise UsageError("--verbose and --quiet contradict each other.", "Drop one.")
        if self.logprobs is not None and self.format is values.OutputFormat.TEXT:
            raise UsageError("--logprobs has no place in plain text.", "Add --format json or --format jsonl.")
