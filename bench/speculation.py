"""Decoding with drafts of n-grams against decoding without, on works that copy and on prose.

    python -m bench.speculation copying|prose|equality [--model FILE.gguf] [--rounds 5]
        [--length 100] [--prompts 100] [--write]

`copying` renames a variable in 62 lines, extracts fields into JSON and corrects spelling. The starter model is too
small for such works, so its sampler says the right answer (bench/data/speculation/*.answer.txt), whatever the logits
are: what a model that does the work well would gain. The model's own answers are measured too. `prose` writes on from
three beginnings, at the default temperature with a fixed seed. Each run knows no step times and no acceptance at
first, as in a new process. `equality` compares greedy texts, with drafts verified wherever there are
any, whether they pay or not."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

from bench import results
from bench.pairs import Comparison
from gptcli.engine.backend import Sampler
from gptcli.engine.drafting import StepTimes
from gptcli.engine.engine import LocalEngine
from gptcli.engine.speculation import Speculator
from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import Offload, choose_threads
from gptcli.llama.model import Model
from gptcli.models.gguf.header import read_header
from gptcli.models.progress import Silent
from gptcli.models.resolve import resolve
from gptcli.params import Sampling
from gptcli.types import Finished, Request, TextPrompt, TokenPrompt

DATA = Path(__file__).with_name("data") / "speculation"
COPYING = {"rename": "rename a variable in 62 lines", "extract": "fields into JSON", "spelling": "correct spelling"}
PROSE = {
    "story": "Once upon a time there was a little village at the edge of a deep forest, where an old clockmaker lived.",
    "letter": "Dear Anna,\n\nthank you for your letter. You asked me how the summer in the mountains was, and",
    "essay": "Why do people keep gardens? There is more than one answer to this question. First of all,",
}
MOST_TOKENS = 300
PROSE_TOKENS = 200
GREEDY = Sampling(temperature=0, seed=1)
BOUNDS = {"copying": 1.8, "prose": 0.98}
EQUAL_TOKENS = 24


class Taught:
    """A sampler that chooses as the model would, and says what it is told."""

    def __init__(self, sampler: Sampler, answer: list[int]) -> None:
        self._sampler = sampler
        self._answer = iter(answer)

    def sample(self, row: int) -> int:
        self._sampler.sample(row)
        return next(self._answer)

    def choose(self, row: int, mask: bytearray) -> int:
        raise NotImplementedError

    def accept(self, token: int) -> None:
        self._sampler.accept(token)

    def close(self) -> None:
        self._sampler.close()


class Teacher(LlamaBackend):
    """Its samplers say `answer`, if there is one."""

    answer: list[int] | None = None

    def sampler(self, sampling: Sampling, seed: int, history: list[int], *, ignore_end: bool) -> Sampler:
        made = super().sampler(sampling, seed, history, ignore_end=ignore_end)
        return made if self.answer is None else Taught(made, self.answer)


class FreeSteps(StepTimes):
    """Every step costs the same, so that every draft is verified."""

    def of(self, tokens: int) -> float:
        return 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("copying", "prose", "equality"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--length", type=int, default=100, help="tokens of each prompt, for equality")
    parser.add_argument("--prompts", type=int, default=100, help="for equality")
    parser.add_argument("--write", action="store_true", help="update bench/RESULTS.md")
    options = parser.parse_args()
    path = options.model or resolve("smollm2", offline=True, report=Silent()).path
    threads, interrupt = choose_threads(options.threads, None), Interrupt()
    with Teacher(Model.load(path, Offload((), 0)), threads, interrupt) as backend:
        if options.part == "equality":
            rows = equality(backend, options.length, options.prompts)
        else:
            rows = {"copying": copying, "prose": prose}[options.part](backend, options.rounds)
    format = read_header(path.resolve()).quantization
    facts = {"model": f"{path.name} ({format})", "threads": str(threads[0]), **results.machine(), **results.versions()}
    part = options.part if options.part != "equality" else f"equality after {options.length} tokens"
    results.publish(f"speculation: {part}, {format}", rows, facts, write=options.write)


def copying(backend: Teacher, rounds: int) -> list[results.Row]:
    """The copying works, with the right answers and with the model's own."""
    rows: list[results.Row] = []
    for (name, title), taught in itertools.product(COPYING.items(), (True, False)):
        engine = LocalEngine(backend, context=2048, speculation=True)
        prompt = (DATA / f"{name}.txt").read_bytes()
        answer = list(engine.tokenize((DATA / f"{name}.answer.txt").read_bytes()))[:MOST_TOKENS]
        backend.answer = answer if taught else None
        request = Request("0", TextPrompt(prompt), GREEDY, max_tokens=len(answer), ignore_eos=True)
        rows.append(compare(engine, request, rounds if taught else 1, title, BOUNDS["copying"] if taught else None))
    return rows


def prose(backend: Teacher, rounds: int) -> list[results.Row]:
    rows: list[results.Row] = []
    for name, text in PROSE.items():
        engine = LocalEngine(backend, context=512, speculation=True)
        request = Request("0", TextPrompt(text.encode()), Sampling(seed=1), max_tokens=PROSE_TOKENS, ignore_eos=True)
        rows.append(compare(engine, request, rounds, name, BOUNDS["prose"]))
    return rows


def compare(engine: LocalEngine, request: Request, rounds: int, title: str, bound: float | None) -> results.Row:
    """Rates with and without drafts, in turn."""
    answer(engine, replace(request, max_tokens=8), Speculator())
    drafted, pairs = [], []
    for _ in range(rounds):
        ends = [answer(engine, request, speculator) for speculator in (Speculator(), None)]
        drafted.append(ends[0])
        pairs.append([(end.completion_tokens - 1) / end.decode_seconds for end in ends])
    last = drafted[-1]
    name = f"{title}{'' if bound else ', its own answer'}: {last.accepted} of {last.drafted} drafted tokens accepted"
    ours, theirs = ([pair[index] for pair in pairs] for index in (0, 1))
    return Comparison(name, "no drafts", "tokens/s", ours, theirs, bound, more_is_better=True)


def answer(engine: LocalEngine, request: Request, speculator: Speculator | None) -> Finished:
    """How the request ended, with drafts by this speculator or without."""
    (core,) = engine._cores
    core.speculator = speculator
    (end,) = [event for event in engine.stream([request]) if isinstance(event, Finished)]
    return end


def equality(backend: Teacher, length: int, prompts: int) -> list[results.Row]:
    """Greedy texts behind prompts of so many tokens, cut from the documentation."""
    text = "\n".join(file.read_text("utf-8") for file in sorted(Path("docs").glob("*.md"))).encode()
    engine = LocalEngine(backend, context=1024, speculation=True, reuse=False)
    tokens, same, drafted = engine.tokenize(text), 0, 0
    for number in range(prompts):
        start = number * (len(tokens) - length) // prompts
        prompt = TokenPrompt(tokens[start : start + length])
        request = Request("0", prompt, GREEDY, max_tokens=EQUAL_TOKENS, ignore_eos=True)
        ours, theirs = (answer(engine, request, one) for one in (Speculator(times=FreeSteps()), None))
        same += ours.tokens == theirs.tokens
        drafted += ours.drafted
    name = f"greedy texts of {EQUAL_TOKENS} tokens after {length}, equal; {drafted:,} tokens drafted"
    exact = length + EQUAL_TOKENS <= backend.exact_tokens
    return [results.Check(name, "no drafts", same, prompts, required=exact)]


if __name__ == "__main__":
    main()
