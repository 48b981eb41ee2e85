"""Compares `gptcli batch` with llama-server, a loop of the high-level class, and itself without shared prefixes.

`python -m bench.batch --peers DIR` from the root of the checkout, on a machine that does nothing else. It knows how
each program is given the same rows and what is promised about it.
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
from bench.server import ask, server
from gptcli import settings
from gptcli.llama.quantize import quantize
from gptcli.models.gguf import quantization
from gptcli.models.progress import Silent
from gptcli.models.refs.resolve import resolve

HERE = Path(__file__).parent
SLOTS = (8, 16, 32, 64)
"""Of llama-server; the best of them is what gptcli is compared with."""
ALONE = 32
"""Rows that are answered one after the other: by the loop, by `complete`, with --deterministic."""
AT_ONCE = 32
"""Rows at once where readers and writers are timed."""
APART = 64
"""Rows of the long instruction whose prompts are computed whole."""


@dataclass(frozen=True, slots=True)
class Work:
    """What every program is given, and the KV cells of a slot that hold a row of it."""

    name: str
    prompts: list[str]
    tokens: int
    cells: int


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: tokens generated a second, and what gptcli says of itself."""

    rate: float
    texts: list[str]
    facts: dict[str, float]


Other = tuple[str, Callable[[], Done], float | None]
"""What it is called, how it is run, and how many times as fast gptcli should be at least."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements of one model share."""

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
        """A whole process, from its start to its end."""
        output, stats = self.folder / "out.jsonl", self.folder / "stats.json"
        files = ["-o", str(output), "--out-format", "simple", "--overwrite", "--stats-file", str(stats), "-q"]
        found = run([program(), "batch", str(self.file(work)), *self.sampling(work.tokens), *files, *more])
        facts = json.loads(stats.read_text())
        texts = [json.loads(line)["text"] for line in output.read_text("utf-8").splitlines()]
        if facts["tokens"] != len(texts) * work.tokens:
            raise SystemExit(f"gptcli made {facts['tokens']} tokens in {len(texts)} rows")
        return Done(facts["tokens"] / found.seconds, texts, facts)

    def server(self, work: Work, slots: int) -> Done:
        """All rows at once; the server was started and warmed up before, which is not counted."""
        assert self.peers is not None
        binary = self.peers / "llama-server"
        with server(binary, str(self.model), self.threads, slots, work.cells) as port:
            load = ask(port, work.prompts, work.tokens)
        if load.tokens != len(work.prompts) * work.tokens:
            raise SystemExit(f"llama-server made {load.tokens} tokens in {len(load.texts)} rows")
        return Done(load.tokens / load.seconds, load.texts, {})

    def loop(self, work: Work) -> Done:
        """Row after row; importing and loading are not counted, and a row may end before `tokens`."""
        numbers = [str(self.threads), str(work.cells), str(work.tokens)]
        command = [sys.executable, str(HERE / "high_level_loop.py"), str(self.model), *numbers]
        prompts = json.dumps(work.prompts[:ALONE])
        found = json.loads(subprocess.run(command, input=prompts, capture_output=True, text=True, check=True).stdout)
        return Done(found["tokens"] / found["seconds"], [], found)

    def complete(self, prompt: str, tokens: int) -> str:
        output = run([program(), "complete", *self.sampling(tokens), prompt]).output
        return output.decode("utf-8", "replace")


def best_slots(bench: Bench, work: Work) -> int:
    """How many slots llama-server answers this work fastest with."""
    rates = {}
    for slots in SLOTS:
        rates[slots] = bench.server(work, slots).rate
        say(f"  {work.name}, {bench.kind}: llama-server -np {slots} makes {rates[slots]:.0f} tokens/s")
    return max(rates, key=lambda slots: rates[slots])


def rates(bench: Bench, work: Work, others: list[Other]) -> list[Row]:
    """gptcli and the others by turns, round by round."""
    found = []
    for _ in range(bench.rounds):
        found.append([bench.gptcli(work), *(other() for _, other, _ in others)])
        say(f"  {work.name}, {bench.kind}: {', '.join(f'{done.rate:.0f}' for done in found[-1])} tokens/s")
    ours = [turn[0].rate for turn in found]
    rows: list[Row] = []
    for number, (peer, _, bound) in enumerate(others, 1):
        theirs = [turn[number].rate for turn in found]
        rows.append(Comparison(f"{work.name}, {bench.kind}", peer, "tokens/s", ours, theirs, bound, True))
    own = [turn[0].facts["tokens_per_second"] for turn in found]
    rows.append(Comparison(f"{work.name}, {bench.kind}", "its own --stats-file", "tokens/s", ours, own, None, True))
    return rows


def unrelated_rows(bench: Bench, count: int) -> list[Row]:
    """Rows that share nothing: batching alone."""
    work = Work("unrelated rows", unrelated(count), 64, 256)
    others: list[Other] = [
        ("loop of the high-level class", partial(bench.loop, work), 3.5 if bench.kind == "Q4_0" else None)
    ]
    if bench.peers:
        slots = best_slots(bench, work)
        others.insert(0, (f"llama-server -np {slots}", partial(bench.server, work, slots), 1.0))
    return rates(bench, work, others) + same_text(bench, work) + overhead(bench, work)


def same_text(bench: Bench, work: Work) -> list[Row]:
    """Greedy rows that come out as `complete` has them, byte for byte."""
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
    """What readers and writers add to the time that the engine takes in the same run."""
    numbers = [str(bench.threads), str(AT_ONCE), str(work.tokens)]
    command = [sys.executable, str(HERE / "batch_overhead.py"), str(bench.model), *numbers, str(bench.file(work))]
    found = [json.loads(run(command).output) for _ in range(bench.rounds)]
    whole, engine = [one["seconds"] for one in found], [one["engine"] for one in found]
    return [Comparison(f"readers and writers, {bench.kind}", "its engine's time", "s", whole, engine, 1.05)]


def instructed_rows(bench: Bench, count: int) -> list[Row]:
    """Rows that begin with the same 500 tokens: what finding that is worth."""
    work = Work("one instruction", instructed(count), 32, 768)
    apart = Work("instructions apart", instructed_apart(min(count, APART)), 32, 768)
    others: list[Other] = [("itself, prompts computed whole", partial(bench.gptcli, apart), 4.5)]
    if bench.peers:
        slots = best_slots(bench, work)
        others.insert(0, (f"llama-server -np {slots}", partial(bench.server, work, slots), 1.6))
    check_lengths(bench, apart)
    return rates(bench, work, others)


def check_lengths(bench: Bench, apart: Work) -> None:
    """The rows that share nothing must be the same work as those that do. Raises SystemExit."""
    count = len(apart.prompts)
    together = Work("one instruction", instructed(count), 1, apart.cells)
    ours, theirs = bench.gptcli(together).facts, bench.gptcli(Work(apart.name, apart.prompts, 1, apart.cells)).facts
    if ours["prompt_tokens"] != theirs["prompt_tokens"] or theirs["reused_tokens"] > 2 * count:
        raise SystemExit(f"not the same work for this model's tokenizer: {ours}, {theirs}")


def requantized(model: Path, kind: str) -> Path:
    """`model` as `kind`, made once and kept in the cache."""
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


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, and with --write keep."""
    parser = flags.parser("batch", __doc__)
    parser.add_argument("--peers", type=Path, metavar="DIR", help="folder of llama.cpp's programs; without: not asked")
    parser.add_argument("--kinds", default="Q4_0,as it is", help="of the model (default: Q4_0,as it is)")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"at most {ROWS} (default: {ROWS})")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program, by turns (default: 3)")
    arguments = parser.parse_args()
    model = resolve(arguments.model, offline=False, report=Silent()).path
    rows: list[Row] = []
    for kind in arguments.kinds.split(","):
        path = model if kind == "as it is" else requantized(model, kind)
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(path, arguments.threads, arguments.rounds, arguments.peers, Path(folder))
            for part in (unrelated_rows, instructed_rows):
                say(f"measuring: {part.__name__}, {bench.kind} …")
                rows += part(bench, arguments.rows)
    names = ("rounds", "threads")
    facts = {"model": model.name, "rows of each work": str(arguments.rows)} | {
        name: str(getattr(arguments, name)) for name in names
    }
    publish("batch", rows, machine() | versions() | native_version(arguments.peers) | facts, write=arguments.write)


if __name__ == "__main__":
    main()
