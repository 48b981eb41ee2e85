"""`gptcli bench`: how fast a model runs on this machine, and the settings that make it fast."""

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from gptcli.cli import suggestions
from gptcli.cli.main import CommandContext
from gptcli.errors import UsageError
from gptcli.runtime import EngineOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gptcli.models.resolve import ModelFile
    from gptcli.render.benchmark import Section
    from gptcli.runtime.benchmark import ModelBenchmark, Speed, Workload
    from gptcli.terminal import Terminal

app = typer.Typer(add_completion=False)

_EPILOG = "Example: gptcli bench smollm2 --formats Q4_0,Q4_K_M,Q8_0 --save"
_MOST = 512


def _numbers(flag: str, text: str | None) -> list[int] | None:
    """The numbers in `1,2,4`. Raises UsageError."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= _MOST for word in words):
        raise UsageError(f"{flag} must be whole numbers from 1 to {_MOST} with commas, not {text!r}.", "Such as 1,2,4.")
    return sorted({int(word) for word in words})


@app.command(epilog=_EPILOG)
def bench(
    ctx: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REF]...", autocompletion=suggestions.models, help="Models to compare. (default: yours)"
        ),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option("--threads", "-t", metavar="N,N,…", help="Threads. (default: up to all)", rich_help_panel="Tests"),
    ] = None,
    parallel: Annotated[
        str, typer.Option("--parallel", metavar="N,N,…", help="Rows at once.", rich_help_panel="Tests")
    ] = "1,4,16,32",
    formats: Annotated[
        str | None,
        typer.Option(
            "--formats",
            metavar="TYPE,…",
            help="Also measure temporary copies in these formats.",
            rich_help_panel="Tests",
        ),
    ] = None,
    prompt_tokens: Annotated[
        int, typer.Option("--n-prompt", min=1, metavar="N", help="Tokens of a prompt.", rich_help_panel="Tests")
    ] = 512,
    generated_tokens: Annotated[
        int, typer.Option("--n-gen", min=1, metavar="N", help="Tokens to decode.", rich_help_panel="Tests")
    ] = 128,
    repetitions: Annotated[
        int, typer.Option("--repetitions", min=1, metavar="N", help="Runs of each test.", rich_help_panel="Tests")
    ] = 3,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, metal, cuda or cuda:I.")
    ] = "auto",
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Output")] = False,
    save: Annotated[
        bool, typer.Option("--save", help="Write the fastest threads to the settings.", rich_help_panel="Output")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors on stderr.", rich_help_panel="Output")
    ] = False,
) -> None:
    """Measure how fast a model runs on this machine, and recommend settings.

    The tests are those of llama-bench: pp512 is a prompt of 512 tokens, tg128 is 128 tokens decoded one by one.
    Each rate is a mean with its standard deviation."""
    context: CommandContext = ctx.obj
    context.terminal.quiet = quiet
    tried, rows = _numbers("--threads", threads), _numbers("--parallel", parallel)
    from gptcli.runtime.benchmark import Workload, check_formats

    kinds = check_formats([word.strip() for word in formats.split(",")]) if formats else []
    workload = Workload(prompt_tokens, generated_tokens, repetitions)
    options = [EngineOptions(model=model, device=device, offline=offline) for model in models or (None,)]
    run = _Run(context, options, workload, as_json=as_json)
    recommended = run.measure(tried, rows or [], kinds)
    if as_json:
        run.write_json(recommended)
    else:
        _advise(context.terminal, recommended)
    if save:
        _save(context.terminal, recommended)


class _Run:
    """One run of the command: it measures, and draws each section as soon as it is measured."""

    def __init__(
        self, context: CommandContext, options: "list[EngineOptions]", workload: "Workload", *, as_json: bool
    ) -> None:
        self._context, self._options, self._workload, self._as_json = context, options, workload, as_json
        self._speeds: list[Speed] = []

    def measure(self, threads: list[int] | None, rows: list[int], formats: list[str]) -> dict[str, int]:
        """All tests; the recommended settings. Raises LoadError, OutOfMemory, Cancelled."""
        from gptcli.render.benchmark import Section
        from gptcli.runtime.benchmark import recommend, threads_to_try

        files = [self._context.find_model(options) for options in self._options]
        with self._load(files[0], self._options[0]) as model:
            tried = threads or (threads_to_try() if model.is_cpu else [threads_to_try()[-1]])
            prompts = self._each(tried, model.prompt, "prompt, {} threads")
            decodes = self._each(tried, model.decode, "decoding, {} threads")
            self._draw(Section("threads", list(map(str, tried)), {"prompt": prompts, "decode": decodes}))
            best, best_prompt = recommend(decodes), recommend(prompts)
            many = self._each(rows, lambda count: model.many(best, count), "{} rows at once")
            self._draw(Section("rows at once", list(map(str, rows)), {"decode": many}))
        self._compare(files, formats, best_prompt, best)
        return {"threads": best, "threads_batch": best_prompt}

    def _compare(self, files: "list[ModelFile]", formats: list[str], prompt_threads: int, threads: int) -> None:
        """The given models beside each other, and the first one in other formats."""
        from gptcli.render.benchmark import Section
        from gptcli.runtime.benchmark import in_formats

        labels, prompts, decodes = [], [], []
        with contextlib.ExitStack() as stack:
            compared = list(zip(files, self._options, strict=True)) if len(files) > 1 else []
            if formats:
                copies = stack.enter_context(in_formats(files[0], formats, self._notify))
                compared += [(copy, self._options[0]) for copy in copies]
            for file, options in compared:
                with self._load(file, options) as model:
                    prompts += self._each([prompt_threads], model.prompt, f"{file.name}, prompt")
                    decodes += self._each([threads], model.decode, f"{file.name}, decoding")
                    labels.append(f"{file.name}  {prompts[-1].size / 1e6:,.0f} MB")
        self._draw(Section("model", labels, {"prompt": prompts, "decode": decodes}))

    def _load(self, file: "ModelFile", options: EngineOptions) -> "contextlib.closing[ModelBenchmark]":
        from gptcli.runtime.benchmark import ModelBenchmark

        return contextlib.closing(ModelBenchmark.load(file, options, self._notify, self._workload))

    def _each(self, numbers: "Sequence[int]", test: "Callable[[int], Speed]", label: str) -> "list[Speed]":
        found = []
        for number in numbers:
            self._notify(f"Measuring {label.format(number)}.")
            found.append(test(number))
        self._speeds += found
        return found

    def _notify(self, text: str) -> None:
        self._context.terminal.notice(text)

    def _draw(self, section: "Section") -> None:
        from gptcli.render.benchmark import draw

        if section.labels and not self._as_json:
            draw(self._context.terminal, section)

    def write_json(self, recommended: dict[str, int]) -> None:
        """Everything that was measured, to stdout."""
        import platform
        from importlib.metadata import version

        from gptcli import __version__
        from gptcli.render.benchmark import json_text

        facts = {"gptcli": __version__, "llama-cpp-python": version("llama-cpp-python"), "machine": platform.platform()}
        self._context.terminal.write(json_text(self._speeds, recommended, facts))


def _advise(terminal: "Terminal", recommended: dict[str, int]) -> None:
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in recommended.items())
    terminal.notice(f"The fastest here: {flags}. `gptcli batch` finds the number of rows at once by itself.")


def _save(terminal: "Terminal", recommended: dict[str, int]) -> None:
    from gptcli import settings
    from gptcli.settings.edit import set_value

    for name, value in recommended.items():
        set_value(name, value)
    values = " and ".join(f"{name} = {value}" for name, value in recommended.items())
    terminal.report(f"Saved {values} in {settings.settings_file()}.")
