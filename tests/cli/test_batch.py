"""`gptcli batch` through `main`, on the tiny model: what goes where, what is refused, and exit codes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from tiny_gpt2 import write_tiny_gpt2

from gptcli.batch import structured
from gptcli.cli.main import main
from gptcli.engine.engine import LocalEngine
from gptcli.errors import GptcliError
from gptcli.runtime.loader import EngineLoader
from gptcli.terminal import Terminal
from gptcli.types import Prompt, TextPrompt, TokenPrompt


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_tiny_gpt2(path)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text("".join(f'{{"id": {n}, "prompt": "Once upon {n}"}}\n' for n in range(6)))
    Path("in.csv").write_text("question,more\r\nwhat is it?,1\r\nwho,2\r\n", newline="")
    return tmp_path


def batch(tiny: Path, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    out, err = io.BytesIO(), io.StringIO()
    terminal = Terminal(io.BytesIO(stdin), out, err)
    model = ["-m", str(tiny), "-t", "1", "-n", "4", "--temp", "0"]
    return main(["batch", *arguments, *model], terminal), out.getvalue().decode(), err.getvalue()


def test_rows_go_in_and_lines_come_out(tiny: Path, here: Path) -> None:
    code, out, err = batch(tiny, "in.jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["custom_id"] for line in lines] == list("012345")
    assert {line["response"]["body"]["model"] for line in lines} == {"tiny"}
    assert err.startswith("6 of 6 rows, ")
    assert not list(here.glob("*journal"))


def test_a_dash_is_standard_output(tiny: Path, here: Path) -> None:
    before = set(here.iterdir())
    code, out, _ = batch(tiny, "in.jsonl", "-o", "-")
    assert (code, len(out.splitlines())) == (0, 6)
    assert set(here.iterdir()) == before


def test_a_job_is_resumed_and_not_run_twice(tiny: Path, here: Path) -> None:
    assert batch(tiny, "in.jsonl", "-o", "out.jsonl", "--limit", "2", "-q") == (0, "", "")
    first = Path("out.jsonl").read_bytes()
    assert len(first.splitlines()) == 2
    assert batch(tiny, "in.jsonl", "-o", "out.jsonl", "-q", "--parallel", "2")[0] == 0
    whole = Path("out.jsonl").read_bytes()
    assert whole.startswith(first)
    assert len(whole.splitlines()) == 6
    assert batch(tiny, "in.jsonl", "-o", "out.jsonl", "-q") == (0, "", "")
    assert Path("out.jsonl").read_bytes() == whole
    code, _, err = batch(tiny, "in.jsonl", "-o", "out.jsonl", "--stop", "x")
    assert code == 2
    assert "stop was [] and is ['x']" in err
    assert batch(tiny, "in.jsonl", "-o", "out.jsonl", "--stop", "x", "--overwrite", "-q")[0] == 0


def test_deterministic_runs_are_the_same_bytes_also_when_stopped_between(tiny: Path, here: Path) -> None:
    batch(tiny, "in.jsonl", "-o", "calm", "--deterministic", "-q")
    batch(tiny, "in.jsonl", "-o", "stopped", "--deterministic", "-q", "--limit", "3")
    batch(tiny, "in.jsonl", "-o", "stopped", "--deterministic", "-q")
    assert Path("calm").read_bytes() == Path("stopped").read_bytes()


def test_a_table_gets_a_column(tiny: Path, here: Path) -> None:
    code, out, _ = batch(tiny, "in.csv", "--template", "Q: {{ question }}", "--column", "answer", "-q")
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert code == 0
    assert rows[0] == ["question", "more", "answer", "answer_error"]
    assert [row[:2] for row in rows[1:]] == [["what is it?", "1"], ["who", "2"]]
    assert all(row[2] and not row[3] for row in rows[1:])


def test_a_folder_of_prompts_gives_a_folder_of_answers(tiny: Path, here: Path) -> None:
    Path("prompts/deep").mkdir(parents=True)
    Path("prompts/a.txt").write_text("Once\n")
    Path("prompts/deep/b.txt").write_text("Twice\n")
    Path("prompts/bad.txt").write_bytes(b"\xff")
    code, _, err = batch(tiny, "prompts", "-o", "answers", "--template", "{{ file.stem }}: {{ text }}")
    assert code == 7
    assert "1 of 3 rows failed" in err
    assert sorted(path.as_posix() for path in Path("answers").rglob("*.txt")) == ["answers/a.txt", "answers/deep/b.txt"]
    assert json.loads(Path("answers.errors.jsonl").read_text())["custom_id"] == "bad.txt"


def test_standard_input_simple_lines_and_a_file_of_errors(tiny: Path, here: Path) -> None:
    stdin = b'{"prompt": "a", "n": 2}\nbad\n'
    code, out, err = batch(tiny, "-", "--out-format", "simple", "--errors", "errors", "--stats-file", "st", stdin=stdin)
    (line,) = out.splitlines()
    assert code == 7
    assert len(json.loads(line)["choices"]) == 2
    assert json.loads(Path("errors").read_text())["error"]["code"] == "invalid_json"
    assert json.loads(Path("st").read_text())["failed"] == 1
    assert "errors has the errors" in err


def test_a_prompt_longer_than_the_context_is_its_rows_error(tiny: Path, here: Path) -> None:
    stdin = b'{"prompt": "%s"}\n{"prompt": "short"}\n' % (b"long " * 600)
    code, out, _ = batch(tiny, "-", "-q", stdin=stdin)
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 7
    assert first["error"]["code"] == "context_length_exceeded"
    assert second["error"] is None


def test_a_plan_is_shown_and_nothing_written(tiny: Path, here: Path) -> None:
    before = sorted(here.iterdir())
    code, out, _ = batch(tiny, "in.jsonl", "--plan", "-o", "out.jsonl")
    facts = dict(line.split(":", 1) for line in out.splitlines())
    assert code == 0
    assert facts["rows"].strip() == "6"
    assert facts["generated"].strip() == "24 tokens at most"
    assert facts.keys() == {"rows", "prompts", "generated", "memory", "trial", "time"}
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("rows", "arguments", "parallel"),
    [
        (1, [], 1),
        (32, [], 32),
        (33, [], None),
        (300, [], None),
        (300, ["--limit", "5"], 5),
        (300, ["--sample", "6"], 6),
        (300, ["--limit", "100"], None),
        (3, ["--limit", "100"], 3),
        (3, ["--parallel", "2"], 2),
        (3, ["--deterministic"], 1),
    ],
)
@pytest.mark.parametrize("plan", [False, True])
def test_every_row_is_parsed_once_and_a_small_job_runs_at_once(
    tiny: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    arguments: list[str],
    parallel: int | None,
    plan: bool,
) -> None:
    Path("in.jsonl").write_text("".join(f'{{"prompt": "{n}"}}\n' for n in range(rows)))
    parsed: list[str] = []
    asked: list[int | None] = []
    decode = structured._decode_json

    def counted(text: str) -> object:
        parsed.append(text)
        return decode(text)

    class Stop(GptcliError):
        pass

    def engine(loader: EngineLoader, *, parallel: int | None, reuse: bool) -> None:
        asked.append(parallel)
        raise Stop("enough.")

    monkeypatch.setattr(structured, "_decode_json", counted)
    monkeypatch.setattr(EngineLoader, "open", engine)
    code, _, err = batch(tiny, "in.jsonl", *arguments, *["--plan"] * plan)
    assert (code, asked) == (1, [parallel])
    assert len(parsed) == len(set(parsed)) >= min(rows, 5)
    most = int(arguments[1]) if arguments[:1] in (["--limit"], ["--sample"]) else rows
    assert plan or f"0 of {min(rows, most)} rows" in err


def test_a_plan_encodes_each_prompt_once(tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[object] = []

    def encode(engine: LocalEngine, prompt: Prompt) -> TokenPrompt:
        prompts.append(prompt)
        return TokenPrompt((1, 2, 3))

    monkeypatch.setattr(LocalEngine, "encode", encode)
    code, out, _ = batch(tiny, "in.jsonl", "--plan")
    assert code == 0
    assert prompts == [TextPrompt(f"Once upon {n}".encode()) for n in range(6)]
    assert "18 tokens, 3 a row, 3 at most" in out


def test_a_sample_is_the_same_each_time(tiny: Path, here: Path) -> None:
    one, two = (batch(tiny, "in.jsonl", "--sample", "3", "--seed", "5", "-q", "--deterministic")[1] for _ in range(2))
    assert one == two
    assert len(one.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.jsonl"], "There is no file none.jsonl"),
        (["in.log"], "cannot be told from its name"),
        (["in.csv"], "called prompt or text"),
        (["in.csv", "--template", "{{ question }}", "--column", "more"], "a column 'more' already"),
        (["in.csv", "--template", "question"], "names no field"),
        (["in.csv", "--template", "{% if %}"], "cannot be read"),
        (["in.jsonl", "--split", "blank"], "--split is for text"),
        (["in.jsonl", "-o", "in.jsonl"], "is the input"),
        (["in.jsonl", "-o", "out.gz"], "could not be resumed"),
        (["in.jsonl", "--out-format", "table"], "needs a table"),
        (["in.jsonl", "--out-format", "files", "-o", "x"], "needs files"),
        (["in.jsonl", "--out-format", "files"], "needs a folder"),
        (["in.jsonl", "--deterministic", "--parallel", "4"], "--deterministic"),
        (["in.jsonl", "--limit", "1", "--sample", "1"], "contradict"),
        (["in.jsonl", "--row-settings", "color"], "'color' is no parameter"),
        (["in.jsonl", "-v", "-q"], "contradict"),
        (["in.jsonl", "-o", "x", "--errors", "x"], "the same"),
    ],
)
def test_bad_command_lines_are_refused_and_nothing_written(
    tiny: Path, here: Path, arguments: list[str], words: str
) -> None:
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    code, out, err = batch(tiny, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_rows_with_the_id_of_an_earlier_row_are_refused_unless_wanted(tiny: Path, here: Path) -> None:
    Path("twice.jsonl").write_text('{"custom_id": "a", "prompt": "x"}\n{"custom_id": "a", "prompt": "y"}\n')
    code, out, err = batch(tiny, "twice.jsonl")
    errors = [json.loads(line)["error"] for line in out.splitlines()]
    assert (code, errors[0], errors[1]["code"]) == (7, None, "duplicate_id")
    assert errors[1]["message"].startswith("line 2: An earlier row has the id 'a'")
    assert "1 of 2 rows failed (1 duplicate_id).\nThe output has the errors.\n" in err
    code, out, _ = batch(tiny, "twice.jsonl", "--allow-duplicates")
    assert code == 0
    assert [json.loads(line)["custom_id"] for line in out.splitlines()] == ["a", "a"]


def test_an_empty_prompt_is_an_error_unless_wanted(tiny: Path, here: Path) -> None:
    Path("empty.csv").write_text("prompt,n\n,1\nx,2\n")
    code, out, _ = batch(tiny, "empty.csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 7
    assert [bool(row["completion"]) for row in rows] == [False, True]
    assert "The prompt is empty" in rows[0]["completion_error"]
    code, out, _ = batch(tiny, "empty.csv", "--allow-empty")
    assert code == 0
    assert all(row["completion"] for row in csv.DictReader(io.StringIO(out)))


def test_columns_that_are_separated_otherwise_are_read_with_a_notice(tiny: Path, here: Path) -> None:
    Path("in.csv").write_text("prompt;two words\nx;1\n")
    code, out, err = batch(tiny, "in.csv")
    assert code == 0
    assert out.startswith("prompt;two words;completion;completion_error\nx;1;")
    assert "The columns are separated by ';'." in err
    Path("in.csv").write_text("two words;n\nx;1\n")
    code, out, err = batch(tiny, "in.csv")
    assert code == 2
    assert """such as '{{ row["two words"] }}'.""" in err
    assert batch(tiny, "in.csv", "--template", '{{ row["two words"] }}')[0] == 0


def test_a_folder_is_answered_again_without_what_was_written_into_it(tiny: Path, here: Path) -> None:
    Path("in").mkdir()
    Path("in/a.txt").write_text("Once upon")
    assert batch(tiny, "in", "-o", "in/out")[0] == 0
    code, _, err = batch(tiny, "in", "-o", "in/out")
    assert code == 0
    assert err.startswith("Left out 3 files that are hidden or that gptcli wrote.\n1 of 1 rows, ")
