"""Prompts of chats: renders a model's own chat template and keeps apart what people typed. Imports jinja2 late."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from gptcli.errors import GptcliError, LoadError, RequestError
from gptcli.prompt.escaping import Segment, SpecialTokenEscaper
from gptcli.types import Message

if TYPE_CHECKING:
    from jinja2 import Template

    from gptcli.prompt.sandbox import Sandbox, TemplateFailure

FALLBACK = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""
"""ChatML, for models without a template; llama.cpp falls back to the same."""

MAX_SOURCE = 48 * 1024
"""Characters of a template; the largest in use have 20,000. Compiling this many takes a second at worst."""
_ROOM, _ROOM_PER_CHARACTER = 16 * 1024 * 1024, 256
"""Characters that a template may make, and how many more for each character of the chat. Most templates make 5 times
the chat; one that collects its result in a variable copies all of it for each message."""
_SECONDS, _SECONDS_PER_CHARACTER = 2.0, 2e-6
_END = "\U000ffffd"  # the end of an answer to continue; like the placeholders in `escaping.py`, nobody types it
_HINT = "Get the model from another source, or use `gptcli complete`, which needs no chat template."


def needs_fallback(source: str | None) -> bool:
    """Whether a model has no template, so that `FALLBACK` is used and the user should be told."""
    return not (source and source.strip())


class ChatTemplate:
    """A model's chat template; `specials` are the texts of its control tokens.

    Raises LoadError, here or in `render`, for a template that is broken or hostile: it gets about two seconds and
    64 MiB (and 2 µs and 1 KiB for each character of the chat)."""

    def __init__(
        self,
        source: str | None,
        *,
        bos: str = "",
        eos: str = "",
        specials: Iterable[str] = (),
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._source = FALLBACK if needs_fallback(source) else str(source)
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._given_specials = specials  # read late: it takes a walk over the vocabulary, which only a chat needs
        self._now = now

    def begins_itself(self, text: str) -> bool:
        """Whether the template wrote the BOS token at the start of `text`, so that the tokenizer must not."""
        return bool(self._tokens["bos_token"]) and text.startswith(self._tokens["bos_token"])

    def render(
        self,
        messages: Sequence[Message],
        *,
        continue_final: bool = False,
        options: Mapping[str, object] | None = None,
    ) -> list[Segment]:
        """The prompt of a conversation, in segments that joined are exactly the text of the template.

        With `continue_final` the prompt ends with the last message, to be continued. `options` are variables for the
        template. Raises LoadError for a bad template, RequestError where the template refuses this conversation."""
        if continue_final and not messages:
            raise RequestError("There is no answer to continue: the conversation is empty.", "Send a message.")
        options = dict(options or {})
        typed = [*(message.content for message in messages), *_texts(options)]
        escaper = SpecialTokenEscaper(self._specials, "".join([self._source, *typed]))

        def rendered(escape: Callable[[str], str]) -> str:
            chat = [{"role": message.role, "content": escape(message.content)} for message in messages]
            variables = {name: _mapped(value, escape) for name, value in options.items()}
            if continue_final:
                chat[-1]["content"] += _END
            text = self._run(chat, {"add_generation_prompt": not continue_final, **variables})
            return _until_end(text) if continue_final else text

        if not any(map(escaper.concerns, typed)):
            return [Segment(rendered(str), True)]
        return escaper.segments(_most_faithful(escaper, rendered))

    def _run(self, chat: list[dict[str, str]], options: dict[str, object]) -> str:
        from gptcli.prompt.sandbox import TemplateFailure

        size = sum(len(message["content"]) for message in chat) + len(self._source)
        room, seconds = _ROOM + _ROOM_PER_CHARACTER * size, _SECONDS + _SECONDS_PER_CHARACTER * size
        variables = {"messages": chat, "tools": None, "documents": None, **self._tokens, **options}
        try:
            return self._sandbox.render(self._template, variables, room, seconds)
        except TemplateFailure as failure:
            raise _error(failure) from None

    @cached_property
    def _specials(self) -> tuple[str, ...]:
        return tuple(self._given_specials)

    @cached_property
    def _sandbox(self) -> Sandbox:
        from jinja2.filters import FILTERS

        from gptcli.prompt.sandbox import Sandbox, TemplateFailure

        def raise_exception(message: object) -> None:
            raise TemplateFailure("refused", str(message))

        def strftime_now(format: str) -> str:
            if len(format) > 1000 or re.search(r"%[^a-zA-Z%]*\d{3}", format):  # glibc pads `%999999999d` to as many
                raise TemplateFailure("limit", "formats a date with a width of over 99")
            return self._now().strftime(format)

        def escaped(value: object) -> str:
            return str(FILTERS["escape"](value))

        filters = {"tojson": _to_json, "safe": str, "e": escaped, "escape": escaped}
        return Sandbox(filters, {"raise_exception": raise_exception, "strftime_now": strftime_now})

    @cached_property
    def _template(self) -> Template:
        if (size := len(self._source)) > MAX_SOURCE:
            raise LoadError(f"The model's chat template has {size:,} characters; the limit is {MAX_SOURCE:,}.", _HINT)
        return self._sandbox.compile_template(self._source)


def _most_faithful(escaper: SpecialTokenEscaper, rendered: Callable[[Callable[[str], str]], str]) -> str:
    """The rendered chat, escaped, as close to the plain one as is possible without trusting what was typed.

    Escaped everywhere, it is certain who wrote what; nearly always that also restores to the plain rendering. Where it
    does not, the template looks for something in the messages, such as `</think>` or a leading `<`. Then only whole
    special tokens are escaped, and that rendering is used if the template wrote the same control tokens in it: then
    nothing was smuggled in by letter case, cutting or joining. Otherwise safety wins."""
    certain = rendered(escaper.escape_all)
    try:
        plain = rendered(str)
        if escaper.restore(certain) == plain:
            return certain
        close = rendered(escaper.escape_specials)
    except RequestError:  # the template objects to something typed, which as mere text it does not
        return certain
    same = escaper.restore(close) == plain and escaper.specials(close) == escaper.specials(certain)
    return close if same else certain


def _until_end(text: str) -> str:
    end = text.rfind(_END)
    if end < 0:
        message = "The model's chat template drops the answer that is to be continued."
        raise RequestError(message, "Ask for a new answer instead, e.g. with /retry.")
    return text[:end].replace(_END, "")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def _mapped(value: object, change: Callable[[str], str]) -> object:
    """Plain data, copied, with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {str(key): _mapped(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(item, change) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without HTML escapes, with the arguments of Transformers' `tojson`."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _error(failure: TemplateFailure) -> GptcliError:
    if failure.kind == "refused":
        message = f"The model's chat template refuses this conversation: {failure}."
        return RequestError(message, "Change the conversation (e.g. its system message), or use another model.")
    if failure.kind == "limit":
        return LoadError(f"The model's chat template {failure}; gptcli stopped it.", _HINT)
    return LoadError(f"The model's chat template is broken ({failure}).", _HINT)
