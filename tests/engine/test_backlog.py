"""Which request a core computes next: one that continues what it holds, else the oldest, in the end the longest."""

from __future__ import annotations

from dataclasses import replace

from answers import collect, expected
from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.backlog import Backlog, Entry, spread
from gptcli.engine.cache_config import share_of
from gptcli.engine.engine import LocalEngine
from gptcli.params import Sampling
from gptcli.types import Finished, FinishReason, Request, Started, TextPrompt


def request(number: int, text: str, tokens: int = 4) -> Request:
    return Request(str(number), TextPrompt(text.encode()), Sampling(seed=1), max_tokens=tokens, ignore_eos=True)


def turns(chats: int) -> list[Request]:
    """Three turns of each chat: first those that begin them, as a log in order of time has it."""
    texts = [
        "".join(f"{chat:02}: question {turn} and what was said to that; " for turn in range(last))
        for last in (1, 2, 3)
        for chat in range(chats)
    ]
    return [request(number, text, 3 + number % 5) for number, text in enumerate(texts)]


def engine(cores: int, parallel: int) -> tuple[LocalEngine, list[FakeBackend]]:
    backends = [FakeBackend(step_tokens=512) for _ in range(cores)]
    return LocalEngine(backends[0], replicas=backends[1:], parallel=parallel), backends


def started(engine: LocalEngine, requests: list[Request]) -> list[int]:
    """Their numbers in the order in which they started."""
    return [int(event.id) for event in engine.stream(requests) if isinstance(event, Started)]


def test_the_turns_of_a_chat_follow_each_other_on_one_core() -> None:
    rows = turns(24)
    made, _ = engine(2, 16)
    answers = collect(made.stream(rows))
    reused = sum(one.reused_tokens for one in answers.started.values())
    wanted = sum(len(row.prompt.data) for row in rows[:48] if isinstance(row.prompt, TextPrompt))
    assert reused > 0.85 * wanted


def test_a_batch_that_could_be_wider_reuses_as_much_as_one_that_cannot() -> None:
    """Its cores must not pull a row before they have a slot for it."""
    reused = []
    for may_widen in (False, True):
        backends = [FakeBackend(step_tokens=512) for _ in range(2)]
        made = LocalEngine(backends[0], replicas=backends[1:], parallel=16, may_widen=may_widen)
        answers = collect(made.stream(turns(24)))
        reused.append(sum(one.reused_tokens for one in answers.started.values()))
    assert reused[1] > 0.9 * reused[0]


def test_rows_that_share_nothing_keep_their_order() -> None:
    made, _ = engine(1, 2)
    assert started(made, [request(number, f"{number}{number}" * 20) for number in range(20)]) == list(range(20))


def test_the_longest_answers_begin_first_once_no_more_rows_come() -> None:
    limits = [number * 7 % 40 + 1 for number in range(40)]
    made, _ = engine(1, 2)
    order = started(made, [request(number, f"{number}{number}" * 20, limits[number]) for number in range(40)])
    assert order[:32] == list(range(32))  # while more come than are known at once, none waits for another
    assert [limits[number] for number in order[33:]] == sorted((limits[number] for number in order[33:]), reverse=True)


def test_a_row_without_a_limit_counts_as_the_longest() -> None:
    rows = [request(number, f"{number}{number}" * 20, 3) for number in range(6)]
    rows[4] = replace(rows[4], max_tokens=None, ignore_eos=False)
    made, _ = engine(1, 2)
    assert started(made, rows) == [4, 0, 1, 2, 3, 5]


def entry(number: int, tokens: list[int], most: int = 4) -> Entry:
    return Entry(request(number, "", most), tokens)


@given(limits=st.lists(st.integers(1, 300), min_size=2, max_size=40), cores=st.integers(1, 4))
def test_each_core_begins_with_its_share_of_rows_in_their_order(limits: list[int], cores: int) -> None:
    first = [entry(number, [number], most) for number, most in enumerate(limits)]
    rooms = [share_of(len(first), core, cores) for core in range(cores)]
    shares = [[int(one.id) for one in share] for share in spread(first, rooms)]
    assert [len(share) for share in shares] == rooms
    assert sorted(number for share in shares for number in share) == list(range(len(first)))
    assert all(share == sorted(share) for share in shares)


def test_cores_begin_with_about_as_many_tokens_of_answers() -> None:
    limits = [300, 290, 280, 270, 10, 9, 8, 7]
    shares = spread([entry(number, [number], most) for number, most in enumerate(limits)], [4, 4])
    first, second = (sum(one.max_tokens or 0 for one in share) for share in shares)
    assert abs(first - second) < 10


def test_rows_that_begin_alike_begin_on_one_core_but_what_all_share_does_not_count() -> None:
    system, rules = list(range(100, 140)), {0: list(range(200, 220)), 1: list(range(300, 320))}
    first = [entry(number, [*system, *rules[number % 2], number]) for number in range(8)]
    shares = spread(first, [4, 4])
    assert {frozenset(int(one.id) % 2 for one in share) for share in shares} == {frozenset({0}), frozenset({1})}
    plain = [entry(number, [*system, number], 300 if number < 2 else 1) for number in range(4)]
    assert [[one.id for one in share] for share in spread(plain, [2, 2])] == [["0", "2"], ["1", "3"]]


def test_a_core_takes_no_row_whose_prompt_would_wait_while_another_core_is_free() -> None:
    made, _ = engine(2, 8)
    busy, free = made._cores
    backlog = Backlog(iter([request(number, f"{number}" * 20) for number in range(4)]), made._cores, 8, made.encode)
    assert list(busy.enqueue(request(9, "x" * 600))) == []
    leader = busy._waiting.popleft()
    busy.running.append(leader)
    assert next(backlog.requests_for(busy)) is None
    assert next(backlog.requests_for(free)) is not None
    leader.computed = len(leader.tokens) - 1  # from here on it decodes
    assert next(backlog.requests_for(busy)) is not None


def test_a_row_that_fits_no_partition_of_a_core_goes_to_one_whose_are_longer() -> None:
    made, _ = engine(2, 4)
    collect(made.stream([request(0, "a" * 600, 40), *[request(n, f"{n}" * 20, 30) for n in range(1, 4)]]))
    short, long = sorted(made._cores, key=lambda core: core.backend.config.cells)
    assert (short.backend.config.cells, long.backend.config.cells) == (512, 1536)
    rows = [request(4, "b" * 300), request(5, "c" * 300), request(6, "d" * 20)]
    backlog = Backlog(iter(rows), made._cores, 8, made.encode)
    taken = [next(backlog.requests_for(core)) for core in (short, long, short)]
    assert [one and one.id for one in taken] == ["6", "4", "5"]  # at last there is only a long one


def test_a_row_longer_than_all_partitions_begins_while_others_run() -> None:
    rows = [request(0, "a" * 20, 60), request(1, "b" * 20, 2), request(2, "c" * 600, 2)]
    made, backends = engine(1, 2)
    events = list(made.stream(rows))
    started = next(place for place, event in enumerate(events) if isinstance(event, Started) and event.id == "2")
    ended = next(place for place, event in enumerate(events) if isinstance(event, Finished) and event.id == "0")
    assert started < ended
    assert backends[0].config.cells == 2 * 768
    answers = collect(events)
    assert [answers.samples[one.id, 0].text for one in rows] == [expected(one, 0, 4096)[0] for one in rows]


def test_a_row_that_shares_nothing_is_not_passed_over_for_ever() -> None:
    alike = "the instruction that all rows but one begin with: "
    rows = [request(number, f"{alike}{number}") for number in range(60)]
    rows[5] = request(5, "something else, and as long as what the others have")
    made, _ = engine(1, 2)
    assert 5 <= started(made, rows).index(5) <= 5 + 4 * 2


def test_a_row_is_cancelled_before_its_turn() -> None:
    rows = [request(number, f"{number} is a number", 20) for number in range(8)]
    made, backends = engine(2, 2)
    ended = {}
    for event in made.stream(rows):
        if isinstance(event, Started) and event.id == "0":
            made.cancel("6")
        if isinstance(event, Finished):
            ended[event.id] = event.reason
    assert ended.pop("6") is FinishReason.CANCELLED
    assert set(ended.values()) == {FinishReason.LENGTH}
    assert len(ended) == 7
    assert all(sampler.closed for backend in backends for sampler in backend.samplers)


def test_a_prompt_without_tokens_fails_in_its_turn() -> None:
    made, _ = engine(1, 2)
    answers = collect(made.stream([request(number, "x" * (number % 3)) for number in range(6)]))
    assert list(answers.failed) == ["0", "3"]
