"""An answer as the objects that OpenAI's endpoints return: `chat.completion` and `text_completion`.

It knows their fields (https://platform.openai.com/docs/api-reference/chat/object and .../completions/object); where
the object is written it does not know.
"""

from __future__ import annotations

from gptcli.batch.answer import Answer, Sample
from gptcli.render.completion import finish_reason
from gptcli.render.logprobs import Alignment, chat_logprobs
from gptcli.types import ChatPrompt, Request, TextPrompt


def body(request: Request, answer: Answer, key: str, model: str, created: int) -> dict[str, object]:
    """The object for `request`; `key` makes its id, `created` is in seconds since 1970."""
    chat = isinstance(request.prompt, ChatPrompt)
    choice = _chat_choice if chat else _text_choice
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{key}",
        "object": "chat.completion" if chat else "text_completion",
        "created": created,
        "model": model,
        "choices": [choice(index, sample, request) for index, sample in enumerate(answer.samples)],
        "usage": usage(answer),
        "system_fingerprint": None,
    }


def usage(answer: Answer) -> dict[str, int]:
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _chat_choice(index: int, sample: Sample, request: Request) -> dict[str, object]:
    message = {"role": "assistant", "content": sample.text, "refusal": None}
    if sample.thoughts:
        message["reasoning_content"] = sample.reasoning  # OpenAI has no field for it; llama-server and vLLM call it so
    return {
        "index": index,
        "message": message,
        "logprobs": None if request.logprobs is None else chat_logprobs(sample.tokens),
        "finish_reason": finish_reason(sample.end.reason),
    }


def _text_choice(index: int, sample: Sample, request: Request) -> dict[str, object]:
    return {
        "text": sample.text,
        "index": index,
        "logprobs": None if request.logprobs is None else text_logprobs(sample, request),
        "finish_reason": finish_reason(sample.end.reason),
    }


def text_logprobs(sample: Sample, request: Request) -> dict[str, object]:
    """Four lists side by side; offsets are in characters and count from the start of the prompt."""
    prompt = request.prompt
    start = len(prompt.data.decode("utf-8", "surrogateescape")) if isinstance(prompt, TextPrompt) else 0
    return Alignment(start).logprobs(sample.tokens, len(sample.text))
