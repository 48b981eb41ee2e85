"""Compares `gptcli batch` with llama-server, and with itself at fixed widths, on five kinds of rows as jobs have them.

Run `python -m bench.works --peers DIR` from the root of the checkout, on an idle machine. The rows are other ones than
those of `bench.batch`, on which the engine was tuned.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench import flags
from bench.batch import report, requantized
from bench.pairs import Comparison, run
from bench.programs import native_version, program
from bench.results import machine, publish, versions
from bench.server import complete, server
from gptcli.models.gguf import quantization
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve

SLOTS = (8, 16, 32, 64)
"""Of llama-server; gptcli is compared with the best of them."""
WIDTHS = (8, 16, 32, 64, 128)
"""Of gptcli, for the sweep."""
_NOUNS = "anchor candle desk engine feather glove hammer jacket kettle ladder needle orchard pencil quilt saddle tunnel"
_VERBS = "borrowed counted dropped found hid lost mended painted sold stole traded washed"
_PEOPLE = "Agnes Boris Clara Dmitri Elena Felix Greta Hassan Ivy Jonas Karin Leo Mona Nils Olga Pablo Rosa Sven Tara"
_TASKS = "shorten translate grade rename explain title classify correct continue question"


@dataclass(frozen=True, slots=True)
class Work:
    """Rows as pairs of a prompt and the number of tokens to write; `cells` of KV cache hold any of them."""

    name: str
    rows: list[tuple[str, int]]
    cells: int
    bound: float

    @property
    def tokens(self) -> int:
        """Tokens to write, in all rows together."""
        return sum(count for _, count in self.rows)


def sentence(draw: random.Random) -> str:
    """About a dozen tokens, different each time."""
    who, other = draw.sample(_PEOPLE.split(), 2)
    verb, nouns = draw.choice(_VERBS.split()), draw.sample(_NOUNS.split(), 2)
    return f"{who} {verb} the {nouns[0]} of {other} {draw.randrange(2, 60)} days before the {nouns[1]} came."


def text(draw: random.Random, tokens: int) -> str:
    """About so many tokens."""
    return " ".join(sentence(draw) for _ in range(max(1, tokens // 16)))


def works(size: float) -> list[Work]:
    """The five of them, with so many times their usual number of rows."""
    draw = random.Random(7)

    def count(rows: int) -> int:
        return max(16, int(rows * size))

    strangers = [(sentence(draw), 64) for _ in range(count(256))]
    mixed = [
        (text(draw, min(800, int(draw.lognormvariate(4.2, 1.1)))), max(1, min(300, int(draw.lognormvariate(3.6, 1.0)))))
        for _ in range(count(160))
    ]
    instructions = [f"Rules to {task} a text. {text(draw, 110)}\n\nText: " for task in _TASKS.split()]
    groups = [(instructions[row % 10] + sentence(draw), 24) for row in range(count(240))]
    rules = f"Follow these rules. {text(draw, 500)}\n\nText: "
    instructed = [(rules + sentence(draw), 32) for _ in range(count(256))]
    chats, turns = [""] * count(64), []
    for _ in range(3):
        for index, before in enumerate(chats):
            chats[index] = f"{before}User: {sentence(draw)}\nBot: "
            turns.append((chats[index], 24))
            chats[index] += f"{sentence(draw)} {sentence(draw)}\n"
    return [
        Work("256 strangers", strangers, 256, 1.15),
        Work("log-normal lengths", mixed, 1280, 1.15),
        Work("ten instructions", groups, 512, 1.15),
        Work("one instruction", instructed, 768, 1.8),
        Work("64 chats of three turns", turns, 512, 1.15),
    ]


@dataclass(frozen=True, slots=True)
class Bench:
    """What the measurements of a model have in common."""

    model: Path
    threads: int
    peers: Path
    folder: Path

    def gptcli(self, work: Work, *more: str) -> float:
        """Tokens a second of one process, from start to end."""
        rows, output, stats = self.folder / "rows.jsonl", self.folder / "out.jsonl", self.folder / "stats.json"
        rows.write_text(
            "".join(json.dumps({"prompt": prompt, "max_tokens": tokens}) + "\n" for prompt, tokens in work.rows)
        )
        fixed = ["-m", str(self.model), "-t", str(self.threads), "--temp", "0", "--ignore-eos", "-q"]
        files = ["-o", str(output), "--overwrite", "--stats-file", str(stats)]
        found = run([program(), "batch", str(rows), *fixed, *files, *more])
        if (made := json.loads(stats.read_text())["tokens"]) != work.tokens:
            raise SystemExit(f"gptcli made {made} tokens, not {work.tokens}")
        return work.tokens / found.seconds

    def server(self, work: Work, slots: int) -> float:
        """The same of llama-server, all rows at once; starting and warming it up is not counted."""
        prompts, tokens = zip(*work.rows, strict=True)
        binary = self.peers / "llama-server"
        with server(binary, str(self.model), self.threads, slots, work.cells) as port:
            load = complete(port, prompts, tokens)
        if load.tokens != work.tokens:
            raise SystemExit(f"llama-server made {load.tokens} tokens, not {work.tokens}")
        return load.tokens / load.seconds


def against_server(bench: Bench, work: Work, kind: str, rounds: int, slots: Sequence[int]) -> Comparison:
    """In turn, with the number of slots at which llama-server is fastest."""
    tried = {number: bench.server(work, number) for number in slots} if len(slots) > 1 else {slots[0]: 0.0}
    best = max(tried, key=lambda number: tried[number])
    report(f"{work.name}, {kind}: llama-server makes {tried}")
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(bench.gptcli(work))
        theirs.append(bench.server(work, best))
        report(f"  {ours[-1]:.0f} against {theirs[-1]:.0f} tokens/s")
    return Comparison(f"{work.name}, {kind}", f"llama-server -np {best}", "tokens/s", ours, theirs, work.bound, True)


def against_widths(bench: Bench, work: Work, kind: str, rounds: int) -> Comparison:
    """The number of rows at once that is chosen, beside the best of the fixed ones."""
    found: dict[int, list[float]] = {width: [] for width in (0, *WIDTHS)}
    for _ in range(rounds):
        for width, rates in found.items():
            rates.append(bench.gptcli(work, *(["--parallel", str(width)] if width else [])))
    medians = {width: statistics.median(rates) for width, rates in found.items()}
    report(f"{work.name}, {kind}: " + ", ".join(f"{width or 'chosen'} {rate:.0f}" for width, rate in medians.items()))
    best = max(WIDTHS, key=lambda width: medians[width])
    name = f"{work.name}, {kind}, width as chosen"
    return Comparison(name, f"--parallel {best}, the best", "tokens/s", found[0], found[best], 0.95, True)


def merged(path: Path, rows: Sequence[Comparison]) -> list[Comparison]:
    """All comparisons that the file has with these added to them; it is made, and written anew."""
    found = {}
    if path.exists():
        found = {(one["name"], one["peer"]): Comparison(**one) for one in json.loads(path.read_text("utf-8"))}
    for row in rows:
        before = found.get((row.name, row.peer), replace(row, ours=[], theirs=[]))
        found[row.name, row.peer] = replace(row, ours=before.ours + row.ours, theirs=before.theirs + row.theirs)
    path.write_text(json.dumps([asdict(row) for row in found.values()]), "utf-8")
    return list(found.values())


def main() -> None:
    parser = flags.parser("works", __doc__ or "")
    parser.add_argument("--peers", type=Path, required=True, metavar="DIR", help="folder with llama.cpp's programs")
    parser.add_argument("--kinds", default="Q4_0,Q4_K_M", help="quantizations of the model (default: Q4_0,Q4_K_M)")
    parser.add_argument("--only", type=int, action="append", help="the number of a work, from 1 (default: all)")
    parser.add_argument("--size", type=float, default=1.0, help="times the usual number of rows (default: 1)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program, in turn (default: 5)")
    parser.add_argument("--slots", default=",".join(map(str, SLOTS)), help="of llama-server, to choose the best of")
    parser.add_argument("--sweep", action="store_true", help="compare with fixed widths instead of llama-server")
    parser.add_argument("--merge", type=Path, metavar="FILE", help="add the rounds to those of earlier calls in FILE")
    options = parser.parse_args()
    model = resolve(options.model, offline=True, report=Silent()).path
    chosen = [work for number, work in enumerate(works(options.size), 1) if number in (options.only or range(1, 6))]
    slots = [int(number) for number in options.slots.split(",")]
    rows: list[Comparison] = []
    for kind in options.kinds.split(","):
        path = model if kind == quantization.of(model.name) else requantized(model, kind)
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(path, options.threads, options.peers, Path(folder))
            for work in chosen:
                if options.sweep:
                    rows.append(against_widths(bench, work, kind, options.rounds))
                else:
                    rows.append(against_server(bench, work, kind, options.rounds, slots))
    shown = merged(options.merge, rows) if options.merge else rows
    rounds = ", ".join(str(len(row.ours)) for row in shown)
    facts = {"model": model.name, "rows": f"{options.size} of all", "rounds": rounds}
    name = "widths of a batch" if options.sweep else "five works of a batch"
    facts |= machine() | versions() | native_version(options.peers)
    publish(name, shown, facts, write=options.write)


if __name__ == "__main__":
    main()
