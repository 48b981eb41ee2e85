"""Compares `gptcli batch` with llama-server, a loop over the high-level class, and itself without shared prefixes.

Run `python -m bench.batch --peers DIR` from the root of the checkout, on an idle machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import flags
from bench.batch_prompts import ROWS, instructed, instructed_apart, unrelated
from bench.pairs import Comparison, run
from bench.programs import native_version, program
from bench.results import Check, Row, machine, publish, versions
from bench.server import complete, server
from gptcli import settings
from gptcli.llama.quantize import quantize
from gptcli.models.gguf import quantization
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

HERE = Path(__file__).parent
SLOTS = (8, 16, 32, 64)
"""Of llama-server; gptcli is compared with the best of them."""
ALONE = 32
"""Rows answered one after the other: by the loop, by `complete`, with --deterministic."""
AT_ONCE = 32
"""Parallel rows where readers and writers are timed."""
APART = 64
"""Rows with the long instruction and no shared prefix."""


@dataclass(frozen=True, slots=True)
class Work:
    """The same work for every program; `cells` of KV cache hold one row."""

    name: str
    prompts: list[str]
    tokens: int
    cells: int


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome: tokens per second, and the content of gptcli's --stats-file."""

    rate: float
    texts: list[str]
    facts: dict[str, float]


Other = tuple[str, Callable[[], Done], float | None]
"""A peer's name, how to run it, and the ratio that gptcli should reach."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements of a model have in common."""

    model: Path
    threads: int
    rounds: int
    peers: Path | None
    folder: Path

    @property
    def kind(self) -> str:
        return quantization.of(self.model.name) or self.model.name

    def file(self, work: Work) -> Path:
        path = self.folder / "rows.jsonl"
        path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in work.prompts))
        return path

    def sampling(self, tokens: int) -> list[str]:
        return ["-m", str(self.model), "-t", str(self.threads), "-n", str(tokens), "--temp", "0", "--ignore-eos"]

    def gptcli(self, work: Work, *more: str) -> Done:
        """One process, from start to end."""
        output, stats = self.folder / "out.jsonl", self.folder / "stats.json"
        files = ["-o", str(output), "--out-format", "simple", "--overwrite", "--stats-file", str(stats), "-q"]
        found = run([program(), "batch", str(self.file(work)), *self.sampling(work.tokens), *files, *more])
        facts = json.loads(stats.read_text())
        texts = [json.loads(line)["text"] for line in output.read_text("utf-8").splitlines()]
        if facts["tokens"] != len(texts) * work.tokens:
            raise SystemExit(f"gptcli made {facts['tokens']} tokens in {len(texts)} rows")
        return Done(facts["tokens"] / found.seconds, texts, facts)

    def server(self, work: Work, slots: int) -> Done:
        """All rows at once; starting and warming up the server is not counted."""
        assert self.peers is not None
        binary = self.peers / "llama-server"
        with server(binary, str(self.model), self.threads, slots, work.cells) as port:
            load = complete(port, work.prompts, work.tokens)
        if load.tokens != len(work.prompts) * work.tokens:
            raise SystemExit(f"llama-server made {load.tokens} tokens in {len(load.texts)} rows")
        return Done(load.tokens / load.seconds, load.texts, {})

    def loop(self, work: Work) -> Done:
        """Row by row; importing and loading are not counted. A row may end before `tokens`."""
        numbers = [str(self.threads), str(work.cells), str(work.tokens)]
        command = [sys.executable, str(HERE / "high_level_loop.py"), str(self.model), *numbers]
        prompts = json.dumps(work.prompts[:ALONE])
        found = json.loads(subprocess.run(command, input=prompts, capture_output=True, text=True, check=True).stdout)
        return Done(found["tokens"] / found["seconds"], [], found)

    def complete(self, prompt: str, tokens: int) -> str:
        output = run([program(), "complete", *self.sampling(tokens), prompt]).output
        return output.decode("utf-8", "replace")


def best_slots(bench: Bench, work: Work) -> int:
    """The number of slots with which llama-server is fastest."""
    rates = {}
    for slots in SLOTS:
        rates[slots] = bench.server(work, slots).rate
        report(f"  {work.name}, {bench.kind}: llama-server -np {slots} makes {rates[slots]:.0f} tokens/s")
    return max(rates, key=lambda slots: rates[slots])


def rates(bench: Bench, work: Work, others: list[Other]) -> list[Row]:
    """gptcli and the others in turn, round by round."""
    found = []
    for _ in range(bench.rounds):
        found.append([bench.gptcli(work), *(other() for _, other, _ in others)])
        report(f"  {work.name}, {bench.kind}: {', '.join(f'{done.rate:.0f}' for done in found[-1])} tokens/s")
    ours = [turn[0].rate for turn in found]
    rows: list[Row] = []
    for number, (peer, _, bound) in enumerate(others, 1):
        theirs = [turn[number].rate for turn in found]
        rows.append(Comparison(f"{work.name}, {bench.kind}", peer, "tokens/s", ours, theirs, bound, True))
    own = [turn[0].facts["tokens_per_second"] for turn in found]
    rows.append(Comparison(f"{work.name}, {bench.kind}", "its own --stats-file", "tokens/s", ours, own, None, True))
    return rows


def unrelated_rows(bench: Bench, count: int) -> list[Row]:
    """Rows without a shared prefix: batching alone."""
    work = Work("unrelated rows", unrelated(count), 64, 256)
    others: list[Other] = [
        ("loop of the high-level class", partial(bench.loop, work), 3.5 if bench.kind == "Q4_0" else None)
    ]
    if bench.peers:
        slots = best_slots(bench, work)
        others.insert(0, (f"llama-server -np {slots}", partial(bench.server, work, slots), 1.0))
    return rates(bench, work, others) + same_text(bench, work) + overhead(bench, work)


def same_text(bench: Bench, work: Work) -> list[Row]:
    """Greedy rows whose text equals that of `complete`, byte for byte."""
    alone = [bench.complete(prompt, work.tokens) for prompt in work.prompts[:ALONE]]

    def check(name: str, texts: list[str], *, required: bool) -> Check:
        same = sum(ours == theirs for ours, theirs in zip(texts, alone, strict=False))
        return Check(f"greedy text, {bench.kind}, {name}", "gptcli complete", same, len(alone), required)

    some = Work(work.name, work.prompts[:ALONE], work.tokens, work.cells)
    return [
        check("rows at once", bench.gptcli(work).texts, required=False),
        check("--deterministic", bench.gptcli(some, "--deterministic").texts, required=True),
    ]


def overhead(bench: Bench, work: Work) -> list[Row]:
    """What readers and writers add to the engine's time in the same run."""
    numbers = [str(bench.threads), str(AT_ONCE), str(work.tokens)]
    command = [sys.executable, str(HERE / "batch_overhead.py"), str(bench.model), *numbers, str(bench.file(work))]
    found = [json.loads(run(command).output) for _ in range(bench.rounds)]
    whole, engine = [one["seconds"] for one in found], [one["engine"] for one in found]
    return [Comparison(f"readers and writers, {bench.kind}", "its engine's time", "s", whole, engine, 1.05)]


def instructed_rows(bench: Bench, count: int) -> list[Row]:
    """Rows that share a prefix of 500 tokens."""
    work = Work("one instruction", instructed(count), 32, 768)
    apart = Work("instructions apart", instructed_apart(min(count, APART)), 32, 768)
    others: list[Other] = [("itself, no shared prefix", partial(bench.gptcli, apart), 4.5)]
    if bench.peers:
        slots = best_slots(bench, work)
        others.insert(0, (f"llama-server -np {slots}", partial(bench.server, work, slots), 1.6))
    check_lengths(bench, apart)
    return rates(bench, work, others)


def check_lengths(bench: Bench, apart: Work) -> None:
    """Check that rows without the shared prefix are as long as those with it. Raises SystemExit."""
    count = len(apart.prompts)
    together = Work("one instruction", instructed(count), 1, apart.cells)
    ours, theirs = bench.gptcli(together).facts, bench.gptcli(Work(apart.name, apart.prompts, 1, apart.cells)).facts
    if ours["prompt_tokens"] != theirs["prompt_tokens"] or theirs["reused_tokens"] > 2 * count:
        raise SystemExit(f"this model's tokenizer makes different lengths of them: {ours}, {theirs}")


def requantized(model: Path, kind: str) -> Path:
    """`model` quantized to `kind`, kept in the cache."""
    name = f"{model.stem.removesuffix(quantization.of(model.name) or '')}{kind}.gguf"
    target: Path = settings.cache_dir() / "bench" / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        file_type = quantization.file_type(kind)
        assert file_type is not None
        quantize(model, part, file_type, requantize=True)
        part.rename(target)
    return target


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print; with --write, update RESULTS.md."""
    parser = flags.parser("batch", __doc__)
    parser.add_argument("--peers", type=Path, metavar="DIR", help="folder with llama.cpp's programs (default: none)")
    parser.add_argument("--kinds", default="Q4_0,as it is", help="quantizations of the model (default: Q4_0,as it is)")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"at most {ROWS} (default: {ROWS})")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program, in turn (default: 3)")
    arguments = parser.parse_args()
    model = resolve(arguments.model, offline=False, report=Silent()).path
    rows: list[Row] = []
    for kind in arguments.kinds.split(","):
        path = model if kind == "as it is" else requantized(model, kind)
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(path, arguments.threads, arguments.rounds, arguments.peers, Path(folder))
            for part in (unrelated_rows, instructed_rows):
                report(f"measuring: {part.__name__}, {bench.kind} …")
                rows += part(bench, arguments.rows)
    names = ("rounds", "threads")
    facts = {"model": model.name, "rows of each work": str(arguments.rows)} | {
        name: str(getattr(arguments, name)) for name in names
    }
    publish("batch", rows, machine() | versions() | native_version(arguments.peers) | facts, write=arguments.write)


if __name__ == "__main__":
    main()
