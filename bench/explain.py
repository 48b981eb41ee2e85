"""Whether `gptcli explain` names the sentence that holds the answer: 50 prompts, one such sentence among nine others.

python -m bench.explain [--write] [--model REF]
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence

from bench.results import Check, machine, publish, versions
from gptcli.explain.attribution import attribute
from gptcli.explain.divergence import diverge
from gptcli.models.progress import Silent
from gptcli.runtime import EngineOptions
from gptcli.runtime.loader import EngineLoader
from gptcli.scoring.choices import score
from gptcli.types import Engine, TextPrompt

PROMPTS = 50
FACTS = (
    ("{name} lives in {value}.", "Where does {name} live?", "Lisbon York Cairo Oslo Lima Turin Quebec Nairobi"),
    ("{name} keeps a {value} as a pet.", "What pet does {name} keep?", "parrot lizard hamster tortoise ferret goat"),
    ("{name} plays the {value} in a band.", "What does {name} play?", "trumpet cello drums harp flute accordion"),
    ("{name} drives a {value} car.", "What colour is the car of {name}?", "purple yellow silver orange green brown"),
    ("{name} works as a {value}.", "What is the job of {name}?", "plumber dentist judge tailor pilot florist"),
    ("The password of {name} is {value}.", "What is the password of {name}?", "thunder biscuit lantern velvet magnet"),
)
NAMES = "Anna Peter Maria Tom Clara Hugo Nina Oscar Paula Victor Ruth Simon Edith Frank Gina Henry"
OTHERS = (
    "The library closes at six on Fridays.",
    "It rained all morning and the streets were empty.",
    "The new bridge was opened by the mayor in May.",
    "A kilo of apples costs two pounds at the market.",
    "The train to the coast was late again.",
    "Nobody knows who painted the old wall.",
    "The museum shows coins from the middle ages.",
    "Our neighbours are building a wooden fence.",
    "The bakery sells fresh rolls from seven.",
    "The river froze twice last winter.",
    "The concert hall has nine hundred seats.",
    "Two students won a prize for their robot.",
    "The lift is being repaired until Monday.",
    "A fox was seen behind the school.",
    "The shop has moved to Mill Lane.",
)


def prompts() -> list[tuple[list[str], int, str, str]]:
    """Sentences, the place of the one that holds the answer, the question and the answer; always the same."""
    draw = random.Random(2026)
    made = []
    for number in range(PROMPTS):
        fact, question, values = FACTS[number % len(FACTS)]
        name, value = draw.choice(NAMES.split()), draw.choice(values.split())
        sentences = draw.sample(OTHERS, 9)
        place = draw.randrange(10)
        sentences.insert(place, fact.format(name=name, value=value))
        made.append((sentences, place, question.format(name=name), f" {value}"))
    return made


def text_of(sentences: Sequence[str], question: str) -> TextPrompt:
    return TextPrompt(f"{' '.join(sentences)}\nQuestion: {question}\nAnswer:".encode())


def leave_one_out(engine: Engine, sentences: list[str], question: str, answer: str) -> list[float]:
    """What gptcli does."""
    found = attribute(engine, sentences, lambda kept: text_of([sentences[index] for index in kept], question), answer)
    return [part.support for part in found.parts]


def leave_one_in(engine: Engine, sentences: list[str], question: str, answer: str) -> list[float]:
    """The answer's likelihood with each sentence alone."""
    return [score(engine, text_of([one], question), [answer])[0].logprob for one in sentences]


def against_other(engine: Engine, sentences: list[str], question: str, answer: str) -> list[float]:
    """The change of the difference to the model's own answer without the sentences."""
    other = " yes"
    whole = diverge(engine, text_of(sentences, question), answer, other).difference
    rest = [[one for one in sentences if one is not left] for left in sentences]
    return [whole - diverge(engine, text_of(kept, question), answer, other).difference for kept in rest]


METHODS: dict[str, Callable[[Engine, list[str], str, str], list[float]]] = {
    "leave one out (gptcli explain)": leave_one_out,
    "leave one in": leave_one_in,
    "leave one out, against another answer": against_other,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--all", action="store_true", help="the other methods too")
    given = parser.parse_args()
    loader = EngineLoader(EngineOptions(model=given.model), Silent(), print)
    rows = []
    with loader.open(parallel=16) as loaded:
        for name, method in METHODS.items() if given.all else list(METHODS.items())[:1]:
            first = 0
            for number, (sentences, place, question, answer) in enumerate(prompts(), 1):
                support = method(loaded.engine, sentences, question, answer)
                first += support.index(max(support)) == place
                sys.stderr.write(f"{name}: {first} of {number}\n")
            rows.append(Check(f"the sentence with the answer is first: {name}", "50 prompts", first, PROMPTS, False))
    publish("explain", rows, machine() | versions() | {"model": loader.model.name}, write=given.write)


if __name__ == "__main__":
    main()
