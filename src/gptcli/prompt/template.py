"""Prompts of chats: a model's own chat template, rendered in a sandbox, with what people typed kept apart.

It knows messages and templates and imports jinja2 late, through `sandbox.py`; it knows no tokens, no model and no file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from gptcli.errors import LoadError, RequestError
from gptcli.prompt.escaping import Segment, SpecialTokenEscaper
from gptcli.types import Message

if TYPE_CHECKING:
    from jinja2 import Template

    from gptcli.prompt.sandbox import Sandbox

T = TypeVar("T")

FALLBACK = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""
"""ChatML, for models that bring no template; llama.cpp falls back to the same."""

MAX_SOURCE = 128 * 1024
"""Characters of a template; the largest in use have 20,000. Compiling this many takes a few seconds at worst."""
_ROOM, _ROOM_PER_CHARACTER = 16 * 1024 * 1024, 256
"""A template may make this much text, and this much more for each character of the chat. Most honest ones need 5 times
the chat; one that collects its result in a variable copies all of it once for each message."""
_SECONDS, _SECONDS_PER_CHARACTER = 2.0, 2e-6
_END = "\U000ffffd"
"""Marks the end of an answer that is to be continued; like the stand-ins in `marks.py`, nobody types it."""

_HINT = "Get the model from another source, or use `gptcli complete`, which needs no chat template."


def needs_fallback(source: str | None) -> bool:
    """Whether a model brings no template, so that `FALLBACK` is used and the user should hear of it."""
    return not (source and source.strip())


class ChatTemplate:
    """A model's chat template; `specials` are the texts of its control tokens.

    Raises LoadError, here or in `render`, for a template that is broken or hostile: it gets no more than about two
    seconds and 64 MiB (and 2 µs and 1 KiB for each character of the chat).
    """

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
        self._given_specials = specials
        self._now = now

    def begins_itself(self, text: str) -> bool:
        """Whether the template has put the BOS token before `text`, so that a tokenizer must not."""
        return bool(self._tokens["bos_token"]) and text.startswith(self._tokens["bos_token"])

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        continue_final: bool = False,
        options: Mapping[str, object] | None = None,
    ) -> list[Segment]:
        """The prompt of a whole conversation, in segments that joined are exactly what the template makes of it.

        With `continue_final` the prompt ends with the last message, to go on from there. `options` are variables for
        the template. It begins with the text of the BOS token where the template puts one. Raises LoadError for a bad
        template, RequestError where the template refuses this conversation.
        """
        if continue_final and not messages:
            raise RequestError("There is no answer to continue: the conversation is empty.", "Send a message.")
        options = dict(options or {})
        typed = [message.content for message in messages] + list(_texts(options))
        marks = SpecialTokenEscaper(self._specials, "".join([self._source, *typed]))

        def rendered(mark: Callable[[str], str]) -> str:
            chat = [{"role": message.role, "content": mark(message.content)} for message in messages]
            variables = {name: _mapped(value, mark) for name, value in options.items()}
            if continue_final:
                chat[-1]["content"] += _END
            text = self._run(chat, add_generation_prompt and not continue_final, variables)
            return _until_end(text) if continue_final else text

        if not any(map(marks.concern, typed)):
            return [Segment(rendered(str), True)]
        return marks.segments(_most_faithful(marks, rendered))

    def _run(self, chat: list[dict[str, str]], add_generation_prompt: bool, options: dict[str, object]) -> str:
        size = sum(len(message["content"]) for message in chat) + len(self._source)
        template = self._template
        variables = {"messages": chat, "tools": None, "documents": None, **self._tokens, **options}
        room = _ROOM + _ROOM_PER_CHARACTER * size
        seconds = _SECONDS + _SECONDS_PER_CHARACTER * size
        variables["add_generation_prompt"] = add_generation_prompt
        return self._guarded(lambda: self._sandbox.render(template, variables, room, seconds))

    @cached_property
    def _specials(self) -> tuple[str, ...]:
        """Asked for late: finding them takes a walk over the whole vocabulary, which only a chat needs."""
        return tuple(self._given_specials)

    @cached_property
    def _sandbox(self) -> Sandbox:
        from gptcli.prompt.sandbox import Sandbox, TemplateFailure

        def raise_exception(message: object) -> None:
            raise TemplateFailure("refused", str(message))

        def strftime_now(format: str) -> str:
            if len(format) > 1000 or re.search(r"%[^a-zA-Z%]*\d{3}", format):  # glibc pads `%999999999d` to as many
                raise TemplateFailure("limit", "asks for a date of absurd width")
            return self._now().strftime(format)

        filters = {"tojson": _to_json, "safe": str, "e": _escaped, "escape": _escaped}
        return Sandbox(filters, {"raise_exception": raise_exception, "strftime_now": strftime_now})

    @cached_property
    def _template(self) -> Template:
        if len(self._source) > MAX_SOURCE:
            raise LoadError(
                f"The model's chat template has {len(self._source):,} characters; gptcli takes {MAX_SOURCE:,}.",
                _HINT,
            )
        return self._guarded(lambda: self._sandbox.compile_template(self._source))

    def _guarded(self, run: Callable[[], T]) -> T:
        """Turn what goes wrong in a template into one of our errors."""
        from gptcli.prompt.sandbox import TemplateFailure

        try:
            return run()
        except TemplateFailure as failure:
            if failure.kind == "refused":
                raise RequestError(
                    f"The model's chat template refuses this conversation: {failure}.",
                    "Change the conversation (e.g. its system message), or use another model.",
                ) from None
            if failure.kind == "limit":
                raise LoadError(f"The model's chat template {failure}; gptcli stopped it.", _HINT) from None
            raise LoadError(f"The model's chat template is broken ({failure}).", _HINT) from None


def _most_faithful(marks: SpecialTokenEscaper, rendered: Callable[[Callable[[str], str]], str]) -> str:
    """The rendered chat, marked, as close to the unmarked one as can be without believing what was typed.

    Marked everywhere, it is certain who wrote what; nearly always that is also the very text of the plain rendering.
    Where it is not, the template looks for something in the messages, such as `</think>` or a leading `<`. Then only
    whole special tokens are marked, and if the template wrote the same control tokens all the same, nothing has been
    smuggled in (by letter case, by cutting, by joining) and that rendering is taken. Else being safe wins.
    """
    certain = rendered(marks.everywhere)
    try:
        plain = rendered(str)
        if marks.restore(certain) == plain:
            return certain
        close = rendered(marks.in_specials)
    except RequestError:  # the template objects to something typed, which as mere text it does not
        return certain
    same = marks.restore(close) == plain and marks.specials(close) == marks.specials(certain)
    return close if same else certain


def _until_end(text: str) -> str:
    end = text.rfind(_END)
    if end < 0:
        raise RequestError(
            "The model's chat template drops the answer that is to be continued.",
            "Ask for a new answer instead, e.g. with /retry.",
        )
    return text[:end].replace(_END, "")


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
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
    """JSON without HTML escapes, with the arguments that Transformers' `tojson` takes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _escaped(value: object) -> str:
    from markupsafe import escape

    return str(escape(value))
