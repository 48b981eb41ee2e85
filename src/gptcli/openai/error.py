"""OpenAI's error objects, and the HTTP status that each error has.

https://platform.openai.com/docs/guides/error-codes"""

from __future__ import annotations

from gptcli.errors import ContextFull, GptcliError, InvalidRequest, RequestError


def status_of(error: GptcliError) -> int:
    """The HTTP status: 400 for what the client must change, 500 for what failed here."""
    return 400 if isinstance(error, RequestError) else 500


def error_object(error: GptcliError) -> dict[str, object]:
    """The object for an error; the hints of command-line flags are left out, for a client cannot use them."""
    code, param = None, None
    if isinstance(error, InvalidRequest):
        code, param = error.code, error.param
    elif isinstance(error, ContextFull):
        code = "context_length_exceeded"
    kind = "invalid_request_error" if isinstance(error, RequestError) else "server_error"
    return make_error(error.message, kind, code=code, param=param)


def make_error(message: str, kind: str, *, code: str | None = None, param: str | None = None) -> dict[str, object]:
    """The object itself; `message` becomes a sentence."""
    sentence = message[:1].upper() + message[1:]
    return {"error": {"message": sentence, "type": kind, "param": param, "code": code}}
