"""`/tokenize`, `/detokenize` and `/tokenizer_info`, with the fields that vLLM, llama-server and lm-eval use."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from gptcli.errors import InvalidRequest
from gptcli.openai.body import parse_json
from gptcli.openai.request import check_text, parse_messages
from gptcli.openai.response import readable
from gptcli.server.bodies import read_body
from gptcli.server.service import Service
from gptcli.types import ChatPrompt

_MAX_TOKENS = 1 << 20
_TEXT_FIELDS = {"prompt", "content"}
_FLAGS = {
    "add_special_tokens": "add_special",
    "add_special": "add_special",
    "parse_special": "parse_special",
    "return_token_strs": "pieces",
    "with_pieces": "pieces",
}
"""Fields, and what they are called here; the first names are vLLM's, the others llama-server's."""


async def tokenize(request: HttpRequest) -> Response:
    """The tokens of `prompt` (vLLM), `content` (llama-server) or `messages`."""
    service: Service = request.app.state.service
    body = parse_json(await read_body(request, service.limits))
    _refuse_unknown(body, _TEXT_FIELDS | {"messages", "model"} | _FLAGS.keys())
    _check_model(service, body)
    flags = _flags(body)
    if body.get("messages") is not None:
        prompt = await service.engine.encode(ChatPrompt(parse_messages(body["messages"])))
        tokens = list(prompt.tokens)
    else:
        name, text = _only_text(body)
        # llama-server adds no special tokens unless it is asked to; vLLM does.
        add_special = flags.get("add_special", name == "prompt")
        tokens = await run_in_threadpool(
            service.vocabulary.tokenize,
            text.encode(),
            add_special=add_special,
            parse_special=flags.get("parse_special", True),
        )
    value: dict[str, object] = {"count": len(tokens), "max_model_len": service.loaded.engine.limit, "tokens": tokens}
    if body.get("return_token_strs"):
        value["token_strs"] = [_shown(service, token) for token in tokens]
    if body.get("with_pieces"):
        value["tokens"] = [{"id": token, "piece": _piece(service, token)} for token in tokens]
    return JSONResponse(value)


async def detokenize(request: HttpRequest) -> Response:
    """The text of `tokens`, as `prompt` (vLLM) and as `content` (llama-server)."""
    service: Service = request.app.state.service
    body = parse_json(await read_body(request, service.limits))
    _refuse_unknown(body, {"tokens", "model"})
    _check_model(service, body)
    tokens = body.get("tokens")
    if tokens is None:
        raise InvalidRequest("The body has no tokens.", code="missing_field", param="tokens")
    if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
        raise InvalidRequest("tokens must be a list of token ids.", param="tokens")
    text = readable(await run_in_threadpool(service.detokenize, tokens))
    return JSONResponse({"prompt": text, "content": text})


async def tokenizer_info(request: HttpRequest) -> Response:
    """The special tokens and the chat template, under the names of a Hugging Face tokenizer."""
    service: Service = request.app.state.service
    loaded, vocabulary = service.loaded, service.vocabulary
    return JSONResponse(
        {
            "tokenizer_class": "gptcli",
            "bos_token": vocabulary.bos_text or None,
            "eos_token": vocabulary.eos_text or None,
            "vocab_size": vocabulary.size,
            "model_max_length": loaded.engine.limit,
            "chat_template": loaded.chat_template,
        }
    )


def _shown(service: Service, token: int) -> str:
    return readable(service.detokenize([token]))


def _piece(service: Service, token: int) -> str | list[int]:
    """A token's text, or its bytes where they are no text by themselves, as llama-server has it."""
    text = service.detokenize([token])
    return text if readable(text) == text else [*text.encode("utf-8", "surrogateescape")]


def _only_text(body: dict[str, object]) -> tuple[str, str]:
    names = [name for name in ("prompt", "content") if body.get(name) is not None]
    if len(names) != 1:
        message = "The body must have one of prompt, content and messages."
        raise InvalidRequest(message, code="missing_field", param="prompt")
    text = body[names[0]]
    if not isinstance(text, str):
        raise InvalidRequest(f"{names[0]} must be a text.", param=names[0])
    return names[0], check_text(names[0], text, names[0])


def _flags(body: dict[str, object]) -> dict[str, bool]:
    flags = {}
    for name, own in _FLAGS.items():
        value = body.get(name)
        if value is not None:
            if not isinstance(value, bool):
                raise InvalidRequest(f"{name} must be true or false.", param=name)
            flags[own] = value
    return flags


def _refuse_unknown(body: dict[str, object], known: set[str]) -> None:
    for name, value in body.items():
        if name not in known and value is not None:
            raise InvalidRequest(f"The field {name[:40]!r} is not supported.", code="unsupported", param=name[:40])


def _check_model(service: Service, body: dict[str, object]) -> None:
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidRequest("model must be a text.", param="model")
    service.check_model(model)
