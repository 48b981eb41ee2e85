"""Reasoning and answer are separated wherever the text is cut, and no marker is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptcli.prompt.reasoning import Channel, ChannelSplitter, opens_reasoning

ANSWER, REASONING = Channel.ANSWER, Channel.REASONING


def split(*pieces: str, thinking: bool = False) -> list[tuple[Channel, str]]:
    """What comes out, with neighbours of one channel joined."""
    splitter = ChannelSplitter(thinking=thinking)
    joined: list[tuple[Channel, str]] = []
    for channel, text in [out for piece in pieces for out in splitter.push(piece)] + splitter.finish():
        assert text
        if joined and joined[-1][0] is channel:
            joined[-1] = (channel, joined[-1][1] + text)
        else:
            joined.append((channel, text))
    return joined


HARMONY = (
    "<|channel|>analysis<|message|>User asks.<|end|><|start|>assistant<|channel|>final<|message|>Hello <b>!<|return|>"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello", [(ANSWER, "Hello")]),
        ("  \nHello <think>", [(ANSWER, "  \nHello <think>")]),
        ("<think>\nHm.\n</think>\n\nFour.", [(REASONING, "Hm.\n"), (ANSWER, "Four.")]),
        ("\n<think></think>Four.", [(ANSWER, "Four.")]),
        ("<think>a</think>b<think>c</think>", [(REASONING, "a"), (ANSWER, "b<think>c</think>")]),
        ("<think>cut off </thi", [(REASONING, "cut off </thi")]),
        ("<thin", [(ANSWER, "<thin")]),
        ("<thing>", [(ANSWER, "<thing>")]),
        ("", []),
        (" \n", [(ANSWER, " \n")]),
        (HARMONY, [(REASONING, "User asks."), (ANSWER, "Hello <b>!")]),
        ("<|start|>assistant<|channel|>final<|message|>Hi", [(ANSWER, "Hi")]),
        ("<|start|>assistant<|message|>Hi", [(ANSWER, "Hi")]),
        ("<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>", [(REASONING, "{}")]),
        ("<|channel|>final<|message|>a<|channel|>analysis<|message|>b", [(ANSWER, "a"), (REASONING, "b")]),
        ("<|channel|>analysis", []),
    ],
)
def test_channels(text: str, expected: list[tuple[Channel, str]]) -> None:
    assert split(text) == expected
    assert split(*text) == expected


def test_prompt_that_opened_the_reasoning() -> None:
    assert split("\nHm.</think>\n4", thinking=True) == [(REASONING, "Hm."), (ANSWER, "4")]
    assert opens_reasoning("<|im_start|>assistant\n<think>\n")
    assert not opens_reasoning("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_text_comes_as_soon_as_it_is_certain() -> None:
    splitter = ChannelSplitter()
    assert splitter.push("<think>Let me see <") == [(REASONING, "Let me see ")]
    assert splitter.push("b") == [(REASONING, "<b")]
    assert splitter.push("</think>Yes <") == [(ANSWER, "Yes <")]


PARTS = ["<think>", "</think>", "<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>", "analysis", "final"]
streams = st.lists(
    st.one_of(st.sampled_from([*PARTS, "<", "|", "<|", ">", " ", "\n", "assistant"]), st.text(max_size=4))
)


@given(streams, st.randoms(use_true_random=False), st.booleans())
def test_cutting_changes_nothing(parts: list[str], random: object, thinking: bool) -> None:
    text = "".join(parts)
    cuts = sorted(random.randint(0, len(text)) for _ in range(random.randint(0, 8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(*pieces, thinking=thinking) == split(text, thinking=thinking)
