"""`gptcli classify`, `filter`, `eval` and `explain` through `main`, on the tiny model, which knows nothing: what goes
where, what is refused, and exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from shell import Outcome, call

TESTS = Path(__file__).parents[1]
LINES = b"the first one\n\na \xff bad byte\nthe last one"


@pytest.fixture
def run(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: bytes = b"") -> Outcome:
        return call(*arguments, "--model", tiny, "--threads", 1, "--parallel", 4, stdin=stdin)

    return run


def test_lines_get_labels_in_order(run) -> None:
    outcome = run("classify", "--labels", "good,bad", stdin=b"the first one\n\nthe last\tone\n")
    cells = [line.split("\t") for line in outcome.text.splitlines()]
    assert outcome.code == 0
    assert [text for _, _, text in cells] == ["the first one", "the last one"]
    assert {label for label, _, _ in cells} <= {"good", "bad"}
    assert all(0.5 <= float(share) <= 1 for _, share, _ in cells)


def test_a_bad_row_is_named_and_others_go_on(run) -> None:
    outcome = run("classify", "--labels", "good,bad", "-q", "--format", "jsonl", "-o", "-", stdin=LINES)
    first, bad, last = map(json.loads, outcome.text.splitlines())
    assert outcome.code == 7
    assert (first["text"], last["text"]) == ("the first one", "the last one")
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert (bad["line"], bad["error"]["code"]) == (3, "invalid_encoding")


def test_a_table_gets_columns_and_the_job_is_resumed(run) -> None:
    Path("in.csv").write_text("id,text\n1,one\n2,two\n3,three\n")
    packed = run("classify", "--labels", "a,b", "in.csv", "-o", "out.csv.gz", "-q")
    assert packed.code == 2
    assert "could not be resumed" in packed.err
    assert run("classify", "--labels", "a,b", "in.csv", "-o", "out.csv", "--limit", 1, "-q").code == 0
    first = Path("out.csv").read_bytes()
    assert run("classify", "--labels", "a,b", "in.csv", "-o", "out.csv", "-q").code == 0
    assert Path("out.csv").read_bytes().startswith(first)
    rows = list(csv.DictReader(io.StringIO(Path("out.csv").read_text())))
    assert [row["text"] for row in rows] == ["one", "two", "three"]
    assert all(row["label"] in "ab" and 0.5 <= float(row["label_probability"]) <= 1 for row in rows)
    other = run("classify", "--labels", "a,c", "in.csv", "-o", "out.csv", "-q")
    assert other.code == 2
    assert "labels was" in other.err


def test_labels_with_a_common_beginning_and_a_text_that_is_too_long(run) -> None:
    text = b"short\n" + b"a long line of words " * 200 + b"\n"
    outcome = run("classify", "--labels", "new,new york", "--format", "jsonl", "-q", stdin=text)
    good, bad = map(json.loads, outcome.text.splitlines())
    assert outcome.code == 7
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert bad["error"]["code"] == "context_length_exceeded"


def test_independent_labels(run) -> None:
    outcome = run("classify", "--labels", "a,b,c", "--multi", "--threshold", 0, "--format", "jsonl", stdin=b"x\n")
    line = json.loads(outcome.text)
    assert line["label"] == ["a", "b", "c"]
    assert all(0 <= share <= 1 for share in line["probabilities"].values())


def test_a_role_gives_labels_examples_and_the_instruction(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GPTCLI_CONFIG_DIR", str(tmp_path / "config"))
    roles = tmp_path / "config" / "roles"
    roles.mkdir(parents=True)
    front = 'choices = ["good", "bad"]\nrequired = ["place"]\ntemplate = "In {{ place }}: {{ input }}"\n'
    example = '[[examples]]\nplace = "Rome"\ninput = "sunny"\noutput = "good"\n'
    (roles / "mood.md").write_text(f"+++\n{front}{example}+++\nJudge it.")
    Path("examples.tsv").write_text("good\tIn Rome: sunny\n")
    flags = ("--format", "jsonl", "-q")
    by_role = run("classify", "--role", "mood", "-p", "place=Oslo", *flags, stdin=b"rain\n")
    by_hand = run(
        "classify", "--labels", "good,bad", "--instruction", "Judge it.", "--examples", "examples.tsv", *flags,
        stdin=b"In Oslo: rain\n",
    )  # fmt: skip
    found = json.loads(by_role.text)
    assert found["probabilities"] == json.loads(by_hand.text)["probabilities"]
    assert found["text"] == "rain"
    Path("rows.jsonl").write_text('{"input": "rain", "place": "Oslo"}\n{"input": "rain"}\n')
    rows = run("classify", "--role", "mood", "rows.jsonl", *flags)
    first, second = map(json.loads, rows.text.splitlines())
    assert (rows.code, first["probabilities"]) == (7, found["probabilities"])
    assert "place" in second["error"]["message"]
    other = run("classify", "--role", "mood", "--labels", "bad,worse", *flags, stdin=b"rain\n")
    assert other.code == 2
    assert "Example 1 of the role mood" in other.err


def test_the_prior_is_what_a_content_free_text_gets(run) -> None:
    flags = ("--labels", "good,bad", "--format", "jsonl")
    plain = json.loads(run("classify", *flags, stdin=b"N/A\n").text)["probabilities"]
    calibrated = json.loads(run("classify", *flags, "--normalize", "prior", stdin=b"N/A\n").text)["probabilities"]
    assert abs(calibrated["good"] - 0.5) < abs(plain["good"] - 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("classify", "--labels", ","), "no labels"),
        (("classify",), "no labels"),
        (("classify", "--role", "summarize"), "no choices that could be the labels"),
        (("classify", "--role", "topic", "--multi"), "examples of a role would do nothing"),
        (("classify", "--labels", "a,b", "--multi", "--normalize", "mean"), "--normalize would do nothing"),
        (("classify", "--labels", "a,b", "--threshold", "0.3"), "--threshold is for --multi"),
        (("filter", " "), "criterion is empty"),
        (("eval", "nothing"), "no task nothing"),
        (("explain", "--why", "--answer", "x", "y"), "--why generates an answer"),
        (("explain", "--chat", "y"), "--chat is for the explanation of an answer"),
    ],
)
def test_what_makes_no_sense_is_refused(tiny: Path, arguments: tuple[str, ...], message: str) -> None:
    outcome = call(*arguments, "--model", tiny)
    assert (outcome.code, outcome.out) == (2, b"")
    assert message in outcome.err


def passed(run, *flags: object, stdin: bytes = LINES) -> Outcome:
    return run("filter", "is a line", *flags, stdin=stdin)


def test_every_line_goes_one_way_and_its_bytes_stay(run) -> None:
    through, others = passed(run).out, passed(run, "-v").out
    lines = [line + b"\n" for line in LINES.split(b"\n")]
    assert b"\n" in others.splitlines(keepends=True), "nothing is true of a blank line"
    assert sorted(through.splitlines(keepends=True) + others.splitlines(keepends=True)) == sorted(lines)


def test_the_flags_of_grep(run) -> None:
    every = ("--threshold", 0)
    assert passed(run, *every).out == LINES + b"\n"
    assert passed(run, *every, "-c").text == "4\n"
    assert passed(run, *every, "-n", "-m", 2).text == "1:the first one\n2:\n"
    assert passed(run, *every, "-q").out == b""
    numbers = [line.split("\t")[0] for line in passed(run, *every, "--scores").text.splitlines()]
    assert numbers[1] == "0.0000"
    assert all(0 <= float(number) <= 1 for number in numbers)


def test_exit_codes_of_grep(run) -> None:
    assert passed(run, "--threshold", 0).code == 0
    assert passed(run, "--threshold", 1).code == 1
    assert passed(run, "-m", 0).code == 1
    assert passed(run, stdin=b"").code == 1
    assert run("filter", "is a line", "missing.txt").code == 2
    Path("broken.gz").write_bytes(b"no gzip")
    assert run("filter", "is a line", "broken.gz").code == 2, "1 means that no line went through"


def test_a_line_that_cannot_be_judged_is_named(run) -> None:
    outcome = passed(run, "--threshold", 0, stdin=b"one\n" + b"many words " * 300 + b"\ntwo\n")
    assert (outcome.code, outcome.text) == (7, "one\ntwo\n")
    assert "line 2: " in outcome.err


def test_eval_counts_what_an_independent_program_counts(run, tiny: Path) -> None:
    """Item by item, for two tasks in lm-eval's format."""
    for name in ("endings", "topics"):
        items = Path(f"{name}.jsonl")
        source = TESTS.parent / "src" / "gptcli" / "evaluation" / "tasks" / f"{name}.jsonl"
        topics = ["sports", "business", "science", "politics"]
        with items.open("w") as file:
            for line in source.read_text().splitlines()[:24]:
                row = json.loads(line)
                text = row.get("context") or f"Text: {row['text']}\nTopic:"
                answer = row["answer"] if "answer" in row else topics.index(row["label"])
                file.write(json.dumps({"text": text, "choices": row.get("endings", topics), "answer": answer}) + "\n")
        outcome = run("eval", items, "-o", "results", "--format", "json", "-q")
        assert outcome.code == 0, outcome.err
        [lines] = [path.read_text() for path in Path("results").glob(f"{name}.*.jsonl")]
        ours = [json.loads(line) for line in lines.splitlines()]
        script = [sys.executable, TESTS / "choice_scores.py", tiny, items]
        theirs = [
            json.loads(line) for line in subprocess.run(script, stdout=subprocess.PIPE, check=True).stdout.splitlines()
        ]
        assert [row["prediction"] for row in ours] == [row["prediction"] for row in theirs]
        for own, other in zip(ours, theirs, strict=True):
            assert own["logprobs"] == pytest.approx(other["logprobs"], abs=0.05)  # of some 30 tokens
            assert own["acc"] == float(other["prediction"] == other["target"])
        accuracy = json.loads(outcome.text)[name]["metrics"]["acc"]["tiny"]["value"]
        assert accuracy == pytest.approx(
            sum(row["prediction"] == row["target"] for row in theirs) / len(theirs), abs=1e-6
        )


def test_eval_names_a_broken_item_and_goes_on(run) -> None:
    good = '{"question": "one", "choices": ["x", "y"], "answer": 0}\n'
    Path("t.jsonl").write_text(good + "{broken\n" + good.replace("0", "7") + good)
    outcome = run("eval", "t.jsonl", "--format", "json", "-q")
    value = json.loads(outcome.text)["t"]
    assert outcome.code == 7
    assert value["errors"] == {"tiny": 2}
    assert value["metrics"]["acc"]["tiny"]["items"] == 2
    assert "line 2: Invalid JSON" in outcome.err
    assert "line 3: 7 is none of the 2 choices" in outcome.err


def test_eval_generates_predicts_and_is_resumed(run) -> None:
    Path("g.jsonl").write_text('{"question": "What is the answer?", "answers": ["it"]}\n' * 3)
    Path("p.jsonl").write_text('{"text": "Once upon a time there was a king."}\n')
    first = run("eval", "g.jsonl", "p.jsonl", "-o", "r", "--limit", 2, "-q")
    assert first.code == 0, first.err
    assert [line.split("\t")[:2] for line in first.text.splitlines()] == [
        ["g", "exact_match"],
        ["g", "f1"],
        ["p", "perplexity"],
        ["p", "bits_per_byte"],
    ]
    again = run("eval", "g.jsonl", "p.jsonl", "-o", "r", "--limit", 2)
    assert again.out == first.out
    assert "2 of 2 rows" in again.err
    other = run("eval", "g.jsonl", "p.jsonl", "-o", "r", "-q")
    assert (other.code, "items was" in other.err) == (2, True)


def test_two_models_are_compared_on_the_same_items(run, tmp_path: Path) -> None:
    from tiny_gpt2 import write_tiny_gpt2

    other = write_tiny_gpt2(tmp_path / "other.gguf", seed=1)
    outcome = run("eval", "endings", "--against", other, "--limit", 8, "--format", "json", "-q")
    figures = json.loads(outcome.text)["endings"]["metrics"]["acc"]
    assert set(figures) == {"tiny", "other"}
    assert 0 < figures["other"]["p"] <= 1
    assert all(one["low"] <= one["value"] <= one["high"] for one in figures.values())


def explain(tiny: Path, *arguments: object, **more: str) -> Outcome:
    return call("explain", *arguments, "--no-stdin", "--model", tiny, "--threads", 1, **more)


def test_the_surprise_of_a_text_is_its_likelihood(tiny: Path, tmp_path: Path) -> None:
    text = "Once upon a time there was a crème brûlée."
    tokens = json.loads(explain(tiny, text, "--format", "json").text)["tokens"]
    assert "".join(token["text"] for token in tokens) == text
    assert all(token["bits"] >= 0 and len(token["alternatives"]) <= 3 for token in tokens)
    lines = explain(tiny, text).text.splitlines()
    assert [float(line.split("\t")[0]) for line in lines] == [
        pytest.approx(token["bits"], abs=0.01) for token in tokens
    ]
    page = tmp_path / "page.html"
    assert explain(tiny, text, "--html", page).out == b""
    assert "<script" not in page.read_text()
    assert "upon" in page.read_text()


def test_an_answer_is_explained_by_its_parts(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.txt").write_text("One is here. Two is there. Three is gone.\n")
    outcome = explain(
        tiny, "-f", "d.txt", "--answer", "gone", "Where is three?", "--against", "gold", "--format", "json"
    )
    value = json.loads(outcome.text)
    assert [part["text"] for part in value["parts"]] == ["One is here. ", "Two is there. ", "Three is gone."]
    assert sorted(value["ranking"]) == [0, 1, 2]
    best = max(part["support"] for part in value["parts"])
    assert value["parts"][value["ranking"][0]]["support"] == best
    # Without the part, the answer's likelihood is less by its support.
    Path("d.txt").write_text("One is here. Two is there. ")
    rest = explain(tiny, "-f", "d.txt", "--answer", "gone", "Where is three?", "--format", "json")
    assert value["logprob"] - json.loads(rest.text)["logprob"] == pytest.approx(value["parts"][2]["support"], abs=0.03)
    assert value["against"]["common"] + value["against"]["answer"]["text"] in value["answer"]


def test_an_explanation_on_a_terminal_is_coloured(tiny: Path) -> None:
    shown = explain(tiny, "Once upon a time", tty="out", environment={"TERM": "xterm-256color"}).text
    assert "\x1b[38;5;16;48;5;" in shown
    assert "bits each" in shown
    plain = explain(tiny, "Once upon a time", tty="out", environment={"NO_COLOR": "1"}).text
    assert "\x1b" not in plain


def test_explain_reads_every_file_also_beside_an_empty_standard_input(tiny: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"The {name}.\n", encoding="utf-8")
    files = ("-f", tmp_path / "one", "-f", tmp_path / "two")
    outcome = call("explain", *files, "--model", tiny, "--threads", 1)
    assert outcome.code == 0
    whole = call("explain", "The one.\nThe two.", "--no-stdin", "--model", tiny, "--threads", 1)
    assert outcome.out == whole.out
