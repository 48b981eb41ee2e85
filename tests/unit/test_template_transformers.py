"""Rendered prompts are, character for character, those of Transformers (recorded by tests/record_templates.py)."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from gptcli.errors import RequestError
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Message

TEMPLATES = Path(__file__).parent.parent / "data" / "templates"
CONVERSATIONS = {
    title: [Message(**message) for message in messages]
    for title, messages in json.loads((TEMPLATES / "conversations.json").read_text()).items()
}
SPECIALS = {
    "chatml": ["<|im_start|>", "<|im_end|>"],
    "deepseek-r1-distill": ["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"],
    "deepseek-v3.1": ["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"],
    "gemma-3": ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
    "gpt-oss": ["<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>", "<|call|>"],
    "llama-3": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "mistral-7b": ["<s>", "</s>"],
    "mistral-nemo": ["<s>", "</s>", "[INST]", "[/INST]"],
    "phi-3.5-mini": ["<s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
    "phi-4": ["<|endoftext|>", "<|im_start|>", "<|im_sep|>", "<|im_end|>"],
    "qwen-3": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "smollm2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "zephyr": ["<s>", "</s>", "<unk>"],
}
"""Control tokens of each vocabulary, as far as its template uses them."""
RECORDED = {path.stem: json.loads(path.read_text()) for path in TEMPLATES.glob("*.json")}
CASES = [
    pytest.param(name, case, id=f"{name}-{number}")
    for name in SPECIALS
    for number, case in enumerate(RECORDED[name]["cases"])
]


@pytest.fixture(scope="module")
def templates() -> dict[str, ChatTemplate]:
    return {
        name: ChatTemplate(
            (TEMPLATES / f"{name}.jinja").read_text(),
            bos=RECORDED[name]["bos"],
            eos=RECORDED[name]["eos"],
            specials=specials,
            now=lambda: datetime(2026, 3, 14, 15, 9, 26),
        )
        for name, specials in SPECIALS.items()
    }


def render(template: ChatTemplate, case: dict[str, object]) -> str:
    segments = template.render(
        CONVERSATIONS[case["conversation"]],
        continue_final=case["continue_final"],
        options={**case["options"], "add_generation_prompt": case["add_generation_prompt"]},
    )
    return "".join(segment.text for segment in segments)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_equals_transformers(templates: dict[str, ChatTemplate], name: str, case: dict[str, object]) -> None:
    if "text" in case:
        assert render(templates[name], case) == case["text"]
    else:
        with pytest.raises(RequestError) as raised:
            render(templates[name], case)
        assert case["error"] in raised.value.message


def test_with_and_without_system_message() -> None:
    for name, recorded in RECORDED.items():
        if name == "conversations":
            continue
        rendered = {case["conversation"] for case in recorded["cases"] if "text" in case}
        assert "three turns" in rendered
        assert ("system and three turns" in rendered) == (name != "mistral-7b")  # which refuses system messages
