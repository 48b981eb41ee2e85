"""Part files and their records: no range is claimed twice or lost, and a kill at any time is survived."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptcli.models.hub.part_file import BLOCK, PartFile, delete, older_versions


def write(part: PartFile, data: bytes, run: object, count: int) -> None:
    """Write the next `count` bytes of `data` as a download does."""
    with part.writer(run) as file:
        file.write(data[run.position : run.position + count])
    part.advance(run, count)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(0, 4 * BLOCK + 7), seed=st.integers(0, 2**32))
def test_a_file_is_complete_after_any_writes_and_kills(
    tmp_path_factory: pytest.TempPathFactory, size: int, seed: int
) -> None:
    rng = random.Random(seed)
    data = rng.randbytes(size)
    path = tmp_path_factory.mktemp("parts") / "x.part"
    written, lives = 0, 0
    while True:
        lives += 1
        with PartFile(path, size, "x") as part:
            ranges: list = []
            before = part.kept
            for _ in range(rng.randrange(1, 12)):
                if not ranges or rng.random() < 0.3:
                    run = part.claim(rng.choice([1, 2, 9]) * BLOCK)
                    ranges += [run] if run else []
                if not ranges:
                    break
                spans = sorted((run.position, run.stop) for run in ranges)
                assert all(a[1] <= b[0] for a, b in pairwise(spans)), "two ranges overlap"
                run = rng.choice(ranges)
                count = min(run.stop - run.position, rng.randrange(1, BLOCK * 3 // 2))
                write(part, data, run, count)
                written += count
                if run.position == run.stop:
                    part.release(run)
                    ranges.remove(run)
            whole = all(part.has(block) for block in range(part.blocks))
            assert part.kept == before
        if whole:
            break
    assert path.read_bytes() == data
    assert written <= size + (lives - 1) * 4 * BLOCK  # at most four ranges, one block each, are lost with a process


def kept(path: Path, size: int) -> int:
    """What another process would find there now."""
    with PartFile(path, size, "x") as part:
        return part.kept


def test_a_complete_block_is_marked_on_disk(tmp_path: Path) -> None:
    path, size = tmp_path / "x", 3 * BLOCK
    with PartFile(path, size, "x") as part:
        run = part.claim(size)
        write(part, bytes(size), run, BLOCK - 1)
        assert kept(path, size) == 0
        write(part, bytes(size), run, BLOCK + 1)
        assert kept(path, size) == 2 * BLOCK


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, record: record.unlink(),
        lambda path, record: path.unlink(),
        lambda path, record: record.write_bytes(b""),
        lambda path, record: record.write_bytes(record.read_bytes()[:-1]),
        lambda path, record: record.write_bytes(record.read_bytes() + b"#"),
        lambda path, record: record.write_bytes(record.read_bytes()[:-1] + b"?"),
        lambda path, record: record.write_bytes(b"\xff" * 200),
        lambda path, record: path.write_bytes(b"short"),
    ],
)
def test_a_part_with_an_invalid_record_is_started_again(tmp_path: Path, damage) -> None:
    path = tmp_path / "x"
    with PartFile(path, 2 * BLOCK, "x") as part:
        write(part, bytes(2 * BLOCK), part.claim(BLOCK), BLOCK)
    with PartFile(path, 2 * BLOCK, "x") as part:
        assert part.kept == BLOCK
    damage(path, tmp_path / "x.blocks")
    with PartFile(path, 2 * BLOCK, "x") as part:
        assert part.kept == 0
        assert path.stat().st_size == 2 * BLOCK


def test_a_part_of_another_size_is_started_again(tmp_path: Path) -> None:
    with PartFile(tmp_path / "x", BLOCK, "x") as part:
        write(part, bytes(BLOCK), part.claim(BLOCK), BLOCK)
    with PartFile(tmp_path / "x", BLOCK + 1, "x") as part:
        assert part.kept == 0


def test_a_last_block_counts_its_own_bytes(tmp_path: Path) -> None:
    size = BLOCK + 5
    with PartFile(tmp_path / "x", size, "x") as part:
        write(part, bytes(size), part.claim(size), size)
    with PartFile(tmp_path / "x", size, "x") as part:
        assert part.kept == size
        assert part.claim(size) is None


def test_a_released_range_can_be_claimed_again_from_the_start_of_a_block(tmp_path: Path) -> None:
    with PartFile(tmp_path / "x", 3 * BLOCK, "x") as part:
        run = part.claim(3 * BLOCK)
        write(part, bytes(3 * BLOCK), run, BLOCK + 10)
        assert part.claim(BLOCK) is None
        part.release(run)
        again = part.claim(9 * BLOCK)
        assert (again.position, again.stop) == (BLOCK, 3 * BLOCK)


def test_a_range_can_be_extended_up_to_the_next_claimed_one(tmp_path: Path) -> None:
    with PartFile(tmp_path / "x", 4 * BLOCK, "x") as part:
        first, second = part.claim(BLOCK), part.claim(BLOCK)
        part.extend(first)
        assert first.stop == BLOCK
        part.extend(second)
        assert second.stop == 4 * BLOCK


def test_parts_of_older_versions_are_found(tmp_path: Path) -> None:
    for name, kept in (("a", "m.gguf"), ("b", "m.gguf"), ("c", "other.gguf")):
        PartFile(tmp_path / f"{name}.part", 10, kept).close()
    (tmp_path / "d.part.blocks").write_bytes(b"[]\n")
    (tmp_path / "e.part.blocks").write_bytes(b"\xff\n")
    found = older_versions(tmp_path, ".part", "m.gguf", tmp_path / "b.part")
    assert found == [tmp_path / "a.part"]
    delete(found[0])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("a")) == []
