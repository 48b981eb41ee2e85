"""What the policy of speculative decoding decides, and what is proposed of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.engine.drafting import Acceptance, Candidate, StepTimes, best_length
from gptcli.engine.proposers import Kind, NgramProposer

CHEAP = {1: 10, 4: 19, 8: 34, 16: 60}  # milliseconds, as measured with Q4_0
DEAR = {1: 14, 4: 46, 8: 68, 16: 120}  # Q4_1


def measured(milliseconds: dict[int, int], steps: int = 5) -> StepTimes:
    times = StepTimes()
    for tokens, duration in milliseconds.items():
        for _ in range(steps):
            times.observe(tokens, duration / 1000)
    return times


def accepting(rate: float, kind: Kind = Kind.EIGHT) -> Acceptance:
    """After forty draft tokens of which so many were accepted, evenly."""
    acceptance = Acceptance()
    for number in range(40):
        hit = int((number + 1) * rate) > int(number * rate)
        acceptance.observe(kind, int(hit), refused=not hit)
    return acceptance


@pytest.mark.parametrize(
    ("times", "rate", "length"),
    [
        (CHEAP, 0.0, 0),
        (CHEAP, 0.3, 0),
        (CHEAP, 0.8, 3),
        (CHEAP, 1.0, 15),
        (DEAR, 0.6, 0),
        (DEAR, 0.8, 0),
        (DEAR, 1.0, 15),
    ],
)
def test_as_many_tokens_as_pay(times: dict[int, int], rate: float, length: int) -> None:
    assert best_length(measured(times), 1, [Candidate(accepting(rate), Kind.EIGHT, 15)]) == length


def test_a_short_draft_is_weighed_as_it_is() -> None:
    assert best_length(measured(CHEAP), 1, [Candidate(accepting(1.0), Kind.EIGHT, 2)]) == 2
    assert best_length(measured(CHEAP), 1, [Candidate(accepting(1.0), Kind.EIGHT, 0)]) == 0


def test_a_dear_draft_does_not_pay() -> None:
    candidates = [Candidate(accepting(0.9), Kind.EIGHT, 15)]
    assert best_length(measured(CHEAP), 1, candidates, token_seconds=0.002) > 0
    assert best_length(measured(CHEAP), 1, candidates, token_seconds=0.02) == 0


def test_many_sequences_share_the_cost_of_a_step() -> None:
    copies, prose = Candidate(accepting(1.0), Kind.EIGHT, 15), Candidate(Acceptance(), Kind.EIGHT, 0)
    times = measured({1: 10, 2: 11, 5: 12, 17: 14})
    assert best_length(times, 2, [copies, prose]) == 15


def test_times_of_sizes_between_and_beyond() -> None:
    times = measured({1: 10, 4: 20, 16: 60})
    assert times.of(4) == pytest.approx(0.020)
    assert 0.020 < times.of(8) < 0.060
    assert times.of(32) > 0.060
    assert StepTimes().of(4) == 0
    assert measured({1: 10}).of(4) == pytest.approx(0.028)  # assumed


def test_one_slow_step_does_not_decide() -> None:
    times = measured(CHEAP)
    times.observe(4, 5.0)
    assert times.of(4) < 0.025
    first = StepTimes()
    first.observe(4, 5.0)  # memory is touched for the first time
    first.observe(4, 0.02)
    assert first.of(4) == pytest.approx(0.02)


def test_a_busy_moment_is_forgotten() -> None:
    times = measured({1: 10, 4: 100})
    for _ in range(1000):
        times.observe(1, 0.010)
    assert times.of(4) < 0.029


def test_acceptance_follows_the_text() -> None:
    acceptance = accepting(1.0)
    assert acceptance.rate(Kind.EIGHT) > 0.9
    assert acceptance.expected(Kind.EIGHT, 3) > 3.4
    for _ in range(40):
        acceptance.observe(Kind.EIGHT, 0, refused=True)
    assert acceptance.rate(Kind.EIGHT) < 0.2
    assert acceptance.rate(Kind.FOUR) == pytest.approx(0.6)  # not measured


def proposed(text: str, most: int = 8, *, prompt: int = 0) -> str:
    """What is proposed after the text, which came token by token behind a prompt."""
    proposer, tokens, draft = NgramProposer(), list(text.encode()), None
    for end in range(max(1, prompt), len(tokens) + 1):
        draft = proposer.propose(tokens[:end], most)
    return "" if draft is None else bytes(draft.tokens).decode()


def test_what_followed_before() -> None:
    assert proposed("the quick brown fox; the qu", 6) == "ick br"
    assert proposed("nothing here") == ""


def test_the_longest_match_wins_then_the_latest() -> None:
    assert proposed("a long one: 1, other one: 2, a long one: ", 1) == "1"
    assert proposed("one: 1, one: 2, one: ", 1) == "2"


def test_a_copy_that_reaches_its_own_end_repeats() -> None:
    assert proposed("abcabcabc", 6) == "abcabc"


def test_a_copy_goes_on_behind_an_edit_and_repeats_the_edit() -> None:
    source = "def f ( rows , column , start ) : total = 0 for x in rows : total += x return total"
    copied = source.replace("total", "sum").split()
    words = sorted({*source.split(), "sum"})
    proposer, tokens = NgramProposer(), [words.index(word) for word in [*source.split(), *copied[:12]]]
    for end in range(len(source.split()), len(tokens) + 1):
        draft = proposer.propose(tokens[:end], 8)
    assert draft is not None
    assert [words[token] for token in draft.tokens] == ["0", "for", "x", "in", "rows", ":", "sum", "+="]
    assert draft.kind is Kind.RESUMED


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(1, 6), st.lists(st.integers(1, 5), max_size=40)
)
def test_any_text_gets_at_most_so_many_tokens(tokens: list[int], most: int, jumps: list[int]) -> None:
    proposer, end = NgramProposer(), 1
    for jump in [*jumps, len(tokens)]:
        draft = proposer.propose(tokens[:end], most)
        assert draft is None or (0 < len(draft.tokens) <= most and set(draft.tokens) <= set(tokens))
        end = min(end + jump, len(tokens))
