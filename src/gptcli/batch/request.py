"""A row becomes a request: an OpenAI Batch line, an object with a prompt or messages, or fields in a template."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gptcli.batch.row import Row
from gptcli.errors import InvalidRequest, UsageError
from gptcli.openai import request as openai
from gptcli.openai.request import build_request, request_param
from gptcli.params import Kind
from gptcli.types import ChatPrompt, Message, Prompt, Request, TextPrompt

CHAT_URL = "/v1/chat/completions"
TEXT_URL = "/v1/completions"


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
        import jinja2
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
        environment.filters["tojson"] = _to_json
        self._undefined = jinja2.UndefinedError
        # What an expression over any values can raise besides jinja2's own errors.
        self._invalid = (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
        try:
            self._render = environment.from_string(source).render
        except jinja2.TemplateSyntaxError as problem:
            message = f"The template cannot be read: {problem.message} (line {problem.lineno})."
            raise UsageError(message, "Correct the template.") from None

    def render(self, fields: dict[str, object]) -> str:
        """The prompt's text. Raises InvalidRequest if the row lacks a field or a value does not fit."""
        try:
            return self._render({"row": _WholeRow(fields)} | fields)
        except self._undefined as problem:
            message = f"The row lacks what the template uses: {problem.message}."
            raise InvalidRequest(message, code="missing_field") from None
        except self._invalid as problem:
            raise InvalidRequest(f"The template does not fit the row: {problem}.") from None
        except RecursionError:
            raise InvalidRequest("The row is nested too deeply for the template.") from None


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
    columns: frozenset[str] = frozenset()
    """Columns that are parameters, with a template or a table; in other rows every field may be one."""

    def build(self, row: Row) -> Request:
        """The request of `row`; its id is the row's number. Raises InvalidRequest."""
        request_id, fields = str(row.number), row.fields
        if self.template is not None:
            prompt = self._prompt(self.template.render(fields))
            return build_request(request_id, prompt, self._column_params(row), self.base)
        if "body" in fields and ("url" in fields or "method" in fields or "custom_id" in fields):
            return self._openai_line(request_id, fields)
        prompt = self._plain_prompt(fields)
        if row.cells is not None:
            return build_request(request_id, prompt, self._column_params(row), self.base)
        params = ((name, value) for name, value in fields.items() if request_param(name) is not None)
        return build_request(request_id, prompt, params, self.base)

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
