"""A row becomes a request: an OpenAI Batch line, an object with a prompt or messages, or fields in a template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gptcli.batch.row import Row
from gptcli.errors import InvalidRequest, UsageError
from gptcli.openai import request as openai
from gptcli.openai.constraints import DISTINCT
from gptcli.openai.request import build_request, request_param
from gptcli.params import Kind
from gptcli.types import ChatPrompt, Message, Prompt, Request, TextPrompt

if TYPE_CHECKING:
    from gptcli.prompt.sandbox import TemplateFailure
    from gptcli.roles.prompt import RolePrompt

CHAT_URL = "/v1/chat/completions"
TEXT_URL = "/v1/completions"

_ROOM, _ROOM_PER_CHARACTER = 16 * 1024 * 1024, 256
_SECONDS, _SECONDS_PER_CHARACTER = 2.0, 2e-6
"""Characters that a template may make and seconds that it may take, and how many more for each character of the row."""
_TYPES = {"NoneType": "null", "None": "null", "str": "a text", "int": "a number", "float": "a number"}
_TYPES |= {"dict": "an object", "list": "a list", "bool": "true or false"}
_PYTHON_TYPE = re.compile(rf"""(["']?)\b({"|".join(_TYPES)})( object)?\1(?!["']? is undefined|\.)( object)?""")
"""Where jinja2 and Python name a type in their messages."""


class _WholeRow(dict[str, object]):
    def __str__(self) -> str:
        return _to_json(self)


def _to_json(value: object, indent: int | None = None) -> str:
    """JSON for a prompt. jinja2's own filter is for HTML and escapes `<`."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


class Template:
    """A jinja2 template with a row's fields as variables; `row` is the whole row.

    The template is the user's, the fields are not: they are values and never code."""

    def __init__(self, source: str) -> None:
        """Raises UsageError for a template that cannot be read."""
        from jinja2.meta import find_undeclared_variables

        from gptcli.prompt.sandbox import Sandbox, TemplateFailure

        self._sandbox = Sandbox({"tojson": _to_json}, {}, trusted=True)
        self._failure = TemplateFailure
        try:
            self._template = self._sandbox.compile_template(source)
            if find_undeclared_variables(self._sandbox.parse(source)) <= self._sandbox.globals.keys():
                self._render({})  # it is the same for every row, so it must not fail
        except TemplateFailure as failure:
            raise UsageError(f"The template cannot be read: {_explain(failure)}.", "Correct the template.") from None

    def render(self, fields: dict[str, object]) -> str:
        """The prompt's text. Raises InvalidRequest if the row lacks a field or a value does not fit."""
        try:
            return self._render(fields)
        except self._failure as failure:
            if failure.kind == "undefined":
                message = f"The row lacks what the template uses: {_explain(failure)}."
                raise InvalidRequest(message, code="missing_field") from None
            raise InvalidRequest(f"The template does not fit the row: {_explain(failure)}.") from None
        except RecursionError:
            raise InvalidRequest("The row is nested too deeply for the template.") from None

    def _render(self, fields: dict[str, object]) -> str:
        size = sum(len(str(value)) for value in fields.values())
        room, seconds = _ROOM + _ROOM_PER_CHARACTER * size, _SECONDS + _SECONDS_PER_CHARACTER * size
        return self._sandbox.render(self._template, {"row": _WholeRow(fields)} | fields, room, seconds)


def parse_template(given: str) -> Template:
    """The template itself, or the one in the file of that name. Raises UsageError."""
    return Template(_template_text(given))


def _template_text(given: str) -> str:
    if "{" in given:
        return given
    try:
        if Path(given).is_file():
            return Path(given).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        raise UsageError(f"The template {given} cannot be read: {problem}.", "Check the file.") from None
    message = f"--template {given!r} names no field and is not a file."
    raise UsageError(message, "Write {{ field }} for a row's field.")


def _explain(failure: TemplateFailure) -> str:
    """What is wrong, in words that a user who knows no Python understands."""
    if failure.kind == "limit":
        return f"it {failure}"
    if isinstance(failure.__context__, RecursionError):
        return "it is nested too deeply"
    text = _PYTHON_TYPE.sub(lambda match: _TYPES[match[2]], str(failure))
    return re.sub(r"^\w+Error: ", "", text).rstrip(".")


@dataclass(slots=True)
class RequestBuilder:
    """Makes requests of rows, with what the command line has for all of them."""

    base: Request
    """Parameters of rows that do not have their own."""
    system: str | None = None
    """System prompt of conversations that begin without one."""
    chat: bool = False
    """Whether a prompt is a user's message in a chat, not text to continue."""
    template: Template | None = None
    role: RolePrompt | None = None
    """Makes the messages of a row; a template makes the text that it works on."""
    columns: frozenset[str] = frozenset()
    """Columns that are parameters, with a template or a table; in other rows every field may be one."""
    allow_empty: bool = False
    """Whether a prompt may be empty or blank."""

    def build(self, row: Row) -> Request:
        """The request of `row`; its id is the row's number. Raises InvalidRequest."""
        request_id, fields = str(row.number), row.fields
        if self.role is not None:
            return build_request(request_id, self._role_prompt(self.role, fields), self._column_params(row), self.base)
        if self.template is not None:
            prompt = self._prompt(self.template.render(fields))
            return build_request(request_id, prompt, self._column_params(row), self.base)
        if "body" in fields and ("url" in fields or "method" in fields or "custom_id" in fields):
            return self._openai_line(request_id, fields)
        prompt = self._plain_prompt(fields)
        if row.cells is not None:
            return build_request(request_id, prompt, self._column_params(row), self.base)
        params = ((name, value) for name, value in fields.items() if _is_param(name))
        return build_request(request_id, prompt, params, self.base)

    def _role_prompt(self, role: RolePrompt, fields: dict[str, object]) -> Prompt:
        """The role's messages for a row. Its fields are variables; `input`, `prompt` or `text` is the text."""
        text, known = role_values(role, self.template, fields)
        try:
            messages = role.messages(text, known)
        except UsageError as error:
            raise InvalidRequest(error.message) from None
        for item in messages:
            openai.check_text("The prompt", item.content, "prompt")
        if self.system is not None:
            messages = (Message("system", self.system), *(item for item in messages if item.role != "system"))
        return ChatPrompt(messages)

    def _plain_prompt(self, fields: dict[str, object]) -> Prompt:
        if (messages := fields.get("messages")) is not None:
            return self._with_system(ChatPrompt(openai.parse_messages(messages)))
        for key in ("prompt", "text"):
            if (text := fields.get(key)) is not None:
                if not isinstance(text, str):
                    raise InvalidRequest(f"{key} must be a text.", param=key)
                return self._prompt(text)
        message = "The row has no field named prompt, messages or text."
        raise InvalidRequest(message, code="missing_field", param="prompt")

    def _prompt(self, text: str) -> Prompt:
        openai.check_text("The prompt", text, "prompt")
        if not (self.allow_empty or text.strip()):
            message = "The prompt is empty; add --allow-empty to answer it all the same."
            raise InvalidRequest(message, code="missing_field", param="prompt")
        if self.chat:
            return self._with_system(ChatPrompt((Message("user", text),)))
        return TextPrompt(text.encode())

    def _with_system(self, prompt: ChatPrompt) -> ChatPrompt:
        if self.system is None or prompt.messages[0].role == "system":
            return prompt
        return ChatPrompt((Message("system", self.system), *prompt.messages))

    def _openai_line(self, request_id: str, fields: dict[str, object]) -> Request:
        """The request of an OpenAI Batch line. Its `model` is ignored: one model is loaded."""
        body = fields["body"]
        if not isinstance(body, dict):
            raise InvalidRequest("body must be an object.", param="body")
        for key in ("custom_id", "url"):
            if not isinstance(fields.get(key), str):
                raise InvalidRequest(f"The line has no {key}, which must be a text.", code="missing_field", param=key)
        if fields.get("method", "POST") != "POST":
            raise InvalidRequest("method must be POST.", param="method")
        if fields["url"] == TEXT_URL:
            return openai.parse_completion(request_id, body, self.base)
        if fields["url"] != CHAT_URL:
            raise InvalidRequest(f"url must be {CHAT_URL} or {TEXT_URL}.", code="unsupported", param="url")
        request = openai.parse_chat_completion(request_id, body, self.base)
        assert isinstance(request.prompt, ChatPrompt)
        return replace(request, prompt=self._with_system(request.prompt))

    def _column_params(self, row: Row) -> Iterable[tuple[str, object]]:
        for name in self.columns:
            value = row.fields.get(name)
            if row.cells is not None and isinstance(value, str):
                value = _cell_value(name, value)
            yield name, value


def role_values(
    role: RolePrompt, template: Template | None, fields: dict[str, object]
) -> tuple[str, dict[str, object]]:
    """The text that a role works on in a row, and the values of its variables. Raises InvalidRequest."""
    text = ""
    if template is not None:
        text = template.render(fields)
    elif role.uses_input:
        found = next((fields[key] for key in ("input", "prompt", "text") if fields.get(key) is not None), None)
        if found is None:
            message = "The row has no field named input, prompt or text."
            raise InvalidRequest(message, code="missing_field", param="input")
        text = found if isinstance(found, str) else _to_json(found)
    known = {name: value for name, value in fields.items() if name in role.names and value is not None}
    if missing := [name for name in role.missing if name not in known]:
        raise InvalidRequest(f"The row has no field named {missing[0]}.", code="missing_field", param=missing[0])
    return text, known


def _is_param(name: str) -> bool:
    return request_param(name) is not None or name == "echo" or name in DISTINCT


def _cell_value(name: str, cell: str) -> object:
    """The value in a table's cell, which is text; an empty one changes nothing."""
    param = request_param(name)
    if not cell:
        return None
    if param is None or param.kind in (Kind.TEXT, Kind.TEXTS, Kind.SAMPLERS):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell  # which is refused with the parameter's name and range
