"""Which request a core computes next: one that continues what it holds, else the oldest."""

from __future__ import annotations

from answers import collect
from fake_backend import FakeBackend

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


def test_rows_that_share_nothing_keep_their_order() -> None:
    made, _ = engine(1, 2)
    assert started(made, [request(number, f"{number}{number}" * 20) for number in range(20)]) == list(range(20))


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
