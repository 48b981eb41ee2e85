"""Every input format as rows, good and bad ones beside each other."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

from gptcli.batch import input as batch_input
from gptcli.batch import source
from gptcli.batch.formats import TableRows
from gptcli.batch.input import Input, choose_format, read_ahead, sample_rows, unique_ids
from gptcli.batch.row import Code, Row, RowError
from gptcli.batch.structured import Table, read_jsonl
from gptcli.batch.text import read_text
from gptcli.errors import GptcliError, UsageError


def rows_of(path: Path, kind: str | None = None, **options: str) -> list[Row | RowError]:
    given = Input((str(path),), kind or choose_format([str(path)]), io.BytesIO(), **options)
    try:
        return list(given.open())
    finally:
        given.close()


def texts(rows: list[Row | RowError], field: str = "text") -> list[object]:
    return [row.fields[field] if isinstance(row, Row) else row.code for row in rows]


def test_jsonl_keeps_good_rows_beside_every_kind_of_bad_one() -> None:
    lines = [
        (b'\xef\xbb\xbf{"prompt": "first"}', "first"),
        (b'{"prompt": ', Code.INVALID_JSON),
        (b"[1, 2]", Code.INVALID_REQUEST),
        (b'{"prompt": "\xff"}', Code.INVALID_ENCODING),
        (b'{"prompt": "\x00"}', Code.INVALID_JSON),
        (b'{"n": NaN}', Code.INVALID_JSON),
        (b'{"n": ' + b"9" * 5000 + b"}", Code.INVALID_JSON),
        (b"[" * 100_000, Code.INVALID_JSON),
        (b'{"prompt": "last"}', "last"),
    ]
    rows = list(read_jsonl(io.BytesIO(b"\r\n\r\n".join(line for line, _ in lines))))
    assert texts(rows, "prompt") == [expected for _, expected in lines]
    assert [row.number for row in rows] == list(range(9))
    assert [row.line for row in rows] == [1 + 2 * number for number in range(9)]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'{"custom_id": "a", "id": "b"}', "a"),
        (b'{"id": 17}', "17"),
        (b'{"id": true}', None),
        (b'{"id": [1]}', None),
    ],
)
def test_the_id_of_a_row(line: bytes, name: str | None) -> None:
    (row,) = read_jsonl(io.BytesIO(line))
    assert row.id == name


def test_a_line_over_the_limit_is_passed_over_without_being_held() -> None:
    stream = io.BytesIO(b"short\n" + b"x" * 100 + b"\nnext\n" + b"y" * 11)
    assert list(source.lines(stream, 10)) == [
        (1, b"short\n", True),
        (2, b"x" * 11, False),
        (3, b"next\n", True),
        (4, b"y" * 11, False),
    ]


@pytest.mark.parametrize(
    ("split", "data", "expected"),
    [
        (None, b"one\r\n\ntwo\nthree", [(1, "one"), (3, "two"), (4, "three")]),
        ("blank", b"\n\na\nb\r\n \nc\n\n\n", [(3, "a\nb"), (6, "c")]),
        ("NUL", b"a\nb\0c\0", [(1, "a\nb"), (2, "c")]),
        ("---", b"a\nb\n---\nc\n---d---\n", [(1, "a\nb"), (4, "c"), (5, "d")]),
    ],
)
def test_text_is_split_at_the_separator(split: str | None, data: bytes, expected: list[tuple[int, str]]) -> None:
    rows = list(read_text(io.BytesIO(data), split))
    assert [(row.line, row.fields["text"]) for row in rows if isinstance(row, Row)] == expected


def test_a_separator_that_lies_across_reads_is_found() -> None:
    class Trickle(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return self.read(1)

    found = [record.data for record in source.separated(Trickle(b"\xef\xbb\xbfone<=>two<=<=>three"), b"<=>")]
    assert found == [b"one", b"two<=", b"three"]


def test_a_record_over_the_limit_between_separators_is_an_error_and_the_next_is_not() -> None:
    stream = io.BytesIO(b"x" * 200_000 + b"\0good\0")
    assert [(r.data[:4], r.whole) for r in source.separated(stream, b"\0", 1000)][1:] == [(b"good", True)]
    assert not next(source.separated(io.BytesIO(b"x" * 200_000), b"\0", 1000)).whole


def test_an_empty_separator_is_refused() -> None:
    with pytest.raises(UsageError, match="separates nothing"):
        list(read_text(io.BytesIO(b"x"), ""))


def test_a_table_may_quote_and_break_lines() -> None:
    data = b'\xef\xbb\xbfid,text\r\n1,"a ""quoted"", one"\r\n\r\n2,"two\r\nlines"\r\n3\r\n4,last'
    table = Table(io.BytesIO(data), ",")
    rows = list(table.rows())
    assert table.header == ["id", "text"]
    assert table.newline == "\r\n"
    assert texts(rows) == ['a "quoted", one', "two\r\nlines", Code.INVALID_CSV, "last"]
    assert [row.line for row in rows] == [2, 4, 6, 7]
    assert rows[0].id == "1"


def test_a_bad_byte_in_a_table_spoils_its_row_only() -> None:
    rows = list(Table(io.BytesIO(b"text\na\xff\nb\x00c\ngood\n"), ",").rows())
    assert texts(rows)[0] is Code.INVALID_ENCODING
    assert texts(rows)[-1] == "good"


def test_a_table_with_a_column_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="named 'a'"):
        Table(io.BytesIO(b"a,b,a\n1,2,3\n"), ",")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252", "latin-1", "utf-32"])
def test_any_encoding_reads_the_same(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes("id;text\n1;né\n2;ça\n".replace(";", ",").encode(encoding))
    assert texts(rows_of(path, encoding=encoding)) == ["né", "ça"]


def test_bytes_that_another_encoding_does_not_know_spoil_their_row_only(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"good\nb\x81d\ngood again\n")
    assert texts(rows_of(path, encoding="cp1252")) == ["good", Code.INVALID_ENCODING, "good again"]


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"x")
    for name in ("klingon", "rot13", "base64"):
        with pytest.raises(UsageError, match="no text encoding"):
            rows_of(path, encoding=name)


def test_gzip_and_zstd_by_ending(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    data = b'{"text": "a"}\n{"text": "b"}\n'
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "in.jsonl.zst").write_bytes(zstandard.compress(data))
    assert texts(rows_of(tmp_path / "in.jsonl.gz")) == ["a", "b"]
    assert texts(rows_of(tmp_path / "in.jsonl.zst")) == ["a", "b"]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_damaged_archive_gives_its_rows_and_then_a_clear_error(tmp_path: Path, ending: str) -> None:
    words = random.Random(1)
    lines = b"".join(b'{"text": "%d"}\n' % words.getrandbits(64) for _ in range(20_000))
    packed = gzip.compress(lines) if ending == "gz" else pytest.importorskip("zstandard").compress(lines)
    path = tmp_path / f"in.jsonl.{ending}"
    path.write_bytes(packed[: len(packed) // 2])
    given, rows = Input((str(path),), "jsonl", io.BytesIO()), list[Row | RowError]()
    with pytest.raises(GptcliError, match="cannot be read"):
        rows.extend(given.open())
    assert len(rows) > 1000
    given.close()
    path.write_bytes(b"garbage" + packed)
    given = Input((str(path),), "jsonl", io.BytesIO())
    with pytest.raises(GptcliError, match="cannot be read"):
        list(given.open())
    given.close()


def test_an_archive_of_several_frames_is_read_whole(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    (tmp_path / "in.txt.zst").write_bytes(zstandard.compress(b"a\nb") + zstandard.compress(b"c\n"))
    assert texts(rows_of(tmp_path / "in.txt.zst")) == ["a", "bc"]


def test_a_folder_is_a_prompt_a_file(tmp_path: Path) -> None:
    for name, data in {"b.txt": b"B\n", "a/x.md": b"X", "a/.hidden": b"no", "bad.txt": b"\xff"}.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "in" / "c.txt.gz").write_bytes(gzip.compress(b"C"))
    rows = rows_of(tmp_path / "in")
    assert [(row.id, text) for row, text in zip(rows, texts(rows), strict=True)] == [
        ("a/x.md", "X"),
        ("b.txt", "B"),
        ("bad.txt", Code.INVALID_ENCODING),
        ("c.txt", "C"),
    ]
    assert isinstance(rows[0], Row)
    assert rows[0].fields["file"] == {
        "name": "x.md",
        "path": str(tmp_path / "in" / "a" / "x.md"),
        "stem": "x",
        "suffix": ".md",
    }


def test_a_pattern_is_a_prompt_a_file(tmp_path: Path) -> None:
    for name in ("1.txt", "2.txt", "3.md"):
        (tmp_path / name).write_text(name)
    given = Input((str(tmp_path / "*.txt"), str(tmp_path / "3.md")), "files", io.BytesIO())
    assert [row.id for row in given.open()] == ["1.txt", "2.txt", "3.md"]
    assert given.files == 3


@pytest.mark.parametrize(
    ("paths", "given", "expected"),
    [
        (["a.jsonl"], None, "jsonl"),
        (["A.JSONL.GZ"], None, "jsonl"),
        (["a.tsv"], None, "tsv"),
        (["a.csv.zst"], None, "csv"),
        (["a.log"], "text", "text"),
        (["-"], None, "jsonl"),
        (["*.md"], None, "files"),
        (["a.txt", "b.txt"], None, "files"),
        (["a.csv", "b.csv"], "files", "files"),
    ],
)
def test_the_format_is_given_or_known_by_suffix(paths: list[str], given: str | None, expected: str) -> None:
    assert choose_format(paths, given) == expected


@pytest.mark.parametrize(
    ("paths", "given"),
    [(["a.log"], None), (["a.csv"], "xml"), (["a.csv", "b.csv"], None), (["a", "b"], "csv"), (["-"], "parquet")],
)
def test_a_format_that_cannot_be_known_is_refused(paths: list[str], given: str | None) -> None:
    with pytest.raises(UsageError):
        choose_format(paths, given)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        rows_of(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="no file"):
        rows_of(tmp_path / "none" / "*.txt", "files")


@pytest.mark.parametrize(("name", "encoding"), [("in.txt", "utf-8"), ("in.csv", "utf-8"), ("in.txt", "utf-16")])
def test_only_a_small_file_is_held_in_memory(tmp_path: Path, name: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_text("text\n" + "a\n" * 50, encoding=encoding)
    given = Input((str(path),), choose_format([name]), io.BytesIO(), encoding)
    rows = given.open()
    assert given.small
    next(rows)
    assert 0 < (given.share_read() or 0) <= 1
    list(rows)
    assert given.share_read() == 1
    given.close()


def test_a_pipe_an_archive_and_a_large_file_are_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.txt.gz").write_bytes(gzip.compress(b"a\nb\n"))
    (tmp_path / "in.txt").write_bytes(b"a\n" * 50)
    monkeypatch.setattr(batch_input, "SMALL_BYTES", 99)
    for path in ("-", str(tmp_path / "in.txt.gz"), str(tmp_path / "in.txt")):
        given = Input((path,), "text", io.BytesIO())
        given.open()
        assert not given.small
        given.close()


@pytest.mark.parametrize(("count", "known"), [(0, 0), (32, 32), (33, None), (100, None)])
def test_the_first_rows_are_read_ahead_and_no_more(count: int, known: int | None) -> None:
    taken = 0

    def rows() -> Iterator[Row | RowError]:
        nonlocal taken
        for number in range(count):
            taken += 1
            yield Row(number, number + 1, 0, {})

    found, total = read_ahead(rows(), 33)
    assert (total, taken) == (known, min(count, 33))
    assert [row.number for row in found] == list(range(count))


def test_an_input_that_breaks_while_it_is_read_ahead_gives_its_rows_first() -> None:
    def rows(error: GptcliError) -> Iterator[Row | RowError]:
        yield Row(0, 1, 0, {})
        raise error

    found, total = read_ahead(rows(GptcliError("broken.")), 33)
    assert total is None
    assert next(found).number == 0
    with pytest.raises(GptcliError, match="broken"):
        next(found)
    with pytest.raises(UsageError, match="wrong"):
        read_ahead(rows(UsageError("wrong.")), 33)


def test_all_rows_can_be_read_ahead() -> None:
    found, total = read_ahead((Row(number, number + 1, 0, {}) for number in range(50)), None)
    assert total == len(list(found)) == 50


def test_a_sample_is_the_same_for_the_same_seed_and_keeps_the_order() -> None:
    def rows() -> list[Row | RowError]:
        return [Row(number, number + 1, 0, {}) for number in range(1000)]

    first = [row.line for row in sample_rows(rows(), 20, 3)]
    assert first == sorted(first)
    assert len(set(first)) == 20
    assert first == [row.line for row in sample_rows(rows(), 20, 3)]
    assert first != [row.line for row in sample_rows(rows(), 20, 4)]
    assert [row.number for row in sample_rows(rows(), 20, 3)] == list(range(20))
    assert len(list(sample_rows(rows()[:5], 20, 3))) == 5


def test_parquet_rows_are_plain_values(tmp_path: Path) -> None:
    columns = {
        "id": ["a", "b"],
        "prompt": ["naïve 😀", None],
        "temperature": [0.5, 1.0],
        "messages": [[{"role": "user", "content": "hi"}], []],
    }
    path = tmp_path / "in.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    first, second = rows_of(path, "parquet")
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.id, first.line, second.line) == ("a", 1, 2)
    assert first.fields == {name: values[0] for name, values in columns.items()}
    assert second.fields["prompt"] is None
    assert first.digest != second.digest


def test_a_file_that_is_not_parquet_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(GptcliError, match="cannot be read as Parquet"):
        rows_of(path, "parquet")


def test_a_quote_that_is_never_closed_ends_the_table_and_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('text,more\n"good, \nand ""quoted""",1\n"bad,2\nlast,3\n')
    table = Input((str(path),), "csv", io.BytesIO())
    rows = table.open()
    assert next(rows).cells == ['good, \nand "quoted"', "1"]
    with pytest.raises(GptcliError, match="on line 4 is never closed"):
        next(rows)
    table.close()


def test_a_last_row_without_a_line_end_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('text\n"a\nb"')
    assert texts(rows_of(path)) == ["a\nb"]


@pytest.mark.parametrize(("text", "reason"), [("", "It is empty"), ('"text\nmore\n', "never closed")])
def test_a_table_without_a_header_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        rows_of(path)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_of_a_table_is_found(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(f'"text, long"{delimiter}more\na,b{delimiter}1\n')
    given = Input((str(path),), "csv", io.BytesIO())
    assert [row.cells for row in given.open()] == [["a,b", "1"]]
    assert given.table is not None
    assert given.table.delimiter == delimiter
    given.close()


@pytest.mark.parametrize(("byte", "encoding"), [(b"\xe9", "utf-8"), (b"\x81", "cp1252")])
def test_bytes_that_are_invalid_are_named_and_kept(tmp_path: Path, byte: bytes, encoding: str) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"text,more\nhi,caf" + byte + b"\n")
    [row] = rows_of(path, encoding=encoding)
    assert isinstance(row, RowError)
    assert row.message.startswith(f"Byte 4 of the column 'more', 0x{byte.hex()}, is invalid in the input's encoding")
    written = TableRows(["text", "more"], ",", "\n", "answer").error(row, row.code, "bad").out
    assert written.startswith(b"hi,caf" + byte + b",")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.txt"])
def test_other_unicode_is_refused_by_its_name(tmp_path: Path, name: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_bytes("text\n".encode(encoding))
    with pytest.raises(UsageError) as caught:
        rows_of(path)
    assert caught.value.hint == f"Add --encoding {encoding}."


@any_of(st.lists(st.integers(0, 40), max_size=60))
def test_an_id_may_be_used_once(ids: list[int]) -> None:
    rows = [Row(number, number + 1, 0, {}, str(name)) for number, name in enumerate(ids)]
    found = list(unique_ids(rows))
    assert [row.number for row in found] == list(range(len(ids)))
    assert [isinstance(row, Row) for row in found] == [name not in ids[:place] for place, name in enumerate(ids)]


def test_many_ids_are_all_told_apart() -> None:
    rows = (Row(number, number + 1, 0, {}, str(number % 5000)) for number in range(6000))
    assert sum(isinstance(row, RowError) for row in unique_ids(rows)) == 1000


def test_rows_of_a_table_and_rows_without_an_id_may_be_alike() -> None:
    rows = [Row(0, 1, 0, {}, "a", ["a"]), Row(1, 2, 0, {}, "a", ["a"]), Row(2, 3, 0, {}), Row(3, 4, 0, {})]
    assert list(unique_ids(rows)) == rows


def test_what_a_batch_wrote_and_what_is_hidden_is_left_out_of_a_folder(tmp_path: Path) -> None:
    for name in ("a.txt", ".b", "out/a.txt", "out/deep/c.txt", "out.errors.jsonl", "out.gptcli-journal", "x.jsonl"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    (tmp_path / "in.gptcli-journal").write_text("an earlier batch wrote the folder itself, which is wanted now")
    given = Input((str(tmp_path / "in"),), "files", io.BytesIO())
    assert [row.id for row in given.open()] == ["a.txt", "x.jsonl"]
    assert given.left_out == 5
    named = Input((str(tmp_path / "in" / "out" / "a.txt"),), "files", io.BytesIO())
    assert texts(named.open()) == ["text"]
    assert named.left_out == 0
