"""How well the shipped roles do on small sets that we wrote ourselves (bench/data/roles), through `gptcli batch`.

    python -m bench.roles -m smollm2            every role, as a table
    python -m bench.roles -m smollm2 --write    and into docs/roles.md

An item scores from 0 to 1. `equals`: the answer is that text. `contains`: the share of these words that are in the
answer. `json`: F1 over the names in each list. `matches`: one of these expressions matches all of it. `yes`, `no`: what
the answer, a regular expression, should match and not. `rows`: what the answer, a query, should find in SQLite.
`shorter`, `max_words`, `max_chars`, `without` and `changed` are conditions, without which an item scores 0."""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "roles"
PAGE = Path(__file__).parents[1] / "docs" / "roles.md"
JSON_ROLES = ("entities", "keywords")
_STEPS = 1_000_000
"""Of SQLite's machine that a query may take."""


def contains(answer: str, words: str) -> bool:
    """Whether one of the words, which are separated by bars, is in the answer."""
    return any(word in answer.lower() for word in words.lower().split("|"))


def names_score(answer: str, expected: dict[str, list[str]]) -> float:
    """F1 of the pairs of a list and a name in it."""
    try:
        document = json.loads(answer)
        found = {(kind, str(name).lower()) for kind, names in document.items() for name in names}
    except (ValueError, AttributeError, TypeError):
        return 0.0
    wanted = {(kind, name.lower()) for kind, names in expected.items() for name in names}
    both = len(found & wanted)
    return 1.0 if found == wanted else 2 * both / max(1, len(found) + len(wanted))


def regex_score(answer: str, yes: list[str], no: list[str]) -> float:
    """1 if the expression matches all of each text in `yes`, and of none in `no`."""
    try:
        pattern = re.compile(answer)
    except re.error:
        return 0.0
    return float(all(map(pattern.fullmatch, yes)) and not any(map(pattern.fullmatch, no)))


def query_score(answer: str, item: dict[str, Any]) -> float:
    """1 if the query finds the rows that were wanted."""
    database = sqlite3.connect(":memory:")
    database.executescript(item["setup"])
    database.set_progress_handler(lambda: 1, _STEPS)
    try:
        rows = [list(row) for row in database.execute(answer)]
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return 0.0
    finally:
        database.close()
    order = (lambda rows: rows) if item["ordered"] else (lambda rows: sorted(rows, key=repr))
    return float(order(rows) == order(item["rows"]))


def allowed(answer: str, item: dict[str, Any]) -> bool:
    """Whether an answer meets the conditions."""
    return (
        len(answer) <= item.get("shorter", 1e9) * len(item["input"])
        and len(answer.split()) <= item.get("max_words", 1e9)
        and len(answer) <= item.get("max_chars", 1e9)
        and not any(word in answer.lower() for word in item.get("without", ()))
        and not (item.get("changed") and answer == item["input"])
    )


def score(answer: str, item: dict[str, Any]) -> float:
    """From 0 to 1."""
    answer = answer.strip()
    if not allowed(answer, item):
        return 0.0
    if "equals" in item:
        return float(answer == item["equals"])
    if "contains" in item:
        return statistics.mean(contains(answer, words) for words in item["contains"])
    if "json" in item:
        return names_score(answer, item["json"])
    if "matches" in item:
        return float(any(re.fullmatch(pattern, answer) for pattern in item["matches"]))
    if "yes" in item:
        return regex_score(answer, item["yes"], item["no"])
    return query_score(answer, item)


def is_json(answer: str) -> bool:
    try:
        json.loads(answer)
    except ValueError:
        return False
    return True


def answers(role: str, items: list[dict[str, Any]], model: str) -> list[str]:
    """What `gptcli batch --role` says to each item."""
    with tempfile.TemporaryDirectory() as folder:
        rows, out = Path(folder) / "rows.jsonl", Path(folder) / "out.jsonl"
        rows.write_text("".join(json.dumps({"input": i["input"]} | i.get("variables", {})) + "\n" for i in items))
        command = [
            sys.executable,
            "-m",
            "gptcli",
            "batch",
            "-q",
            "-m",
            model,
            "--role",
            role,
            str(rows),
            "-o",
            str(out),
        ]
        subprocess.run(command, check=True)
        lines = map(json.loads, out.read_text().splitlines())
        return [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.roles", description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="smollm2", help="the model (default: smollm2)")
    parser.add_argument("--show", action="store_true", help="print each answer and its score")
    parser.add_argument("--write", action="store_true", help="put the table into docs/roles.md")
    parser.add_argument("roles", nargs="*", help="roles (default: all)")
    arguments = parser.parse_args()
    lines = ["| role | items | score | whole | valid JSON |", "| --- | ---: | ---: | ---: | ---: |"]
    result: dict[str, Any] = {"model": arguments.model}
    for path in sorted(DATA.glob("*.jsonl")):
        if arguments.roles and path.stem not in arguments.roles:
            continue
        items = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found = answers(path.stem, items, arguments.model)
        scores = [score(answer, item) for answer, item in zip(found, items, strict=True)]
        valid = f"{statistics.mean(map(is_json, found)):.0%}" if path.stem in JSON_ROLES else ""
        mean, whole = statistics.mean(scores), statistics.mean(one == 1 for one in scores)
        print(f"{path.stem}: {mean:.0%}", file=sys.stderr, flush=True)
        lines.append(f"| {path.stem} | {len(items)} | {mean:.0%} | {whole:.0%} | {valid} |")
        result[path.stem] = {"items": len(items), "score": mean, "whole": whole, "valid": valid}
        for answer, item, one in zip(found, items, scores, strict=True) if arguments.show else ():
            print(f"{one:.2f} {item['input'][-60:]!r} -> {answer!r}", file=sys.stderr)
    print("\n".join(lines))
    print(json.dumps(result))
    if arguments.write:
        text = PAGE.read_text(encoding="utf-8")
        start, end = "<!-- bench.roles -->\n", "\n<!-- end -->"
        before, rest = text.split(start)
        PAGE.write_text(before + start + "\n".join(lines) + end + rest.split(end)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
