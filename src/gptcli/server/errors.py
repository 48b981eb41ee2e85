"""The errors of a server, and what clients are told of any error."""

from __future__ import annotations

from gptcli.errors import Cancelled, EngineError, GptcliError
from gptcli.openai.error import error_object, make_error, status_of


class Busy(GptcliError):
    """The queue is full. `retry_after`: seconds until there is likely to be room."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Stopping(GptcliError):
    """The server takes no more requests, or ends those that it has."""


class TimedOut(EngineError):
    """An answer took longer than the server allows."""


class UnknownModel(GptcliError):
    """A name that is not that of the model."""


def describe(error: GptcliError) -> tuple[int, dict[str, object], dict[str, str]]:
    """The status, the object and the headers for an error."""
    message = error.message
    if isinstance(error, Busy):
        value = make_error(message, "rate_limit_error", code="queue_full")
        return 429, value, {"retry-after": str(error.retry_after)}
    if isinstance(error, Stopping):
        value = make_error(message, "server_error", code="server_stopping")
        return 503, value, {"retry-after": "5", "connection": "close"}
    if isinstance(error, TimedOut):  # OpenAI's clients would ask again for what would take as long again
        return 504, make_error(message, "server_error", code="timeout"), {"x-should-retry": "false"}
    if isinstance(error, Cancelled):  # nobody reads it; nginx counts those who went away by this status
        return 499, make_error(message, "invalid_request_error", code="client_gone"), {}
    if isinstance(error, UnknownModel):
        return 404, make_error(message, "invalid_request_error", code="model_not_found", param="model"), {}
    return status_of(error), error_object(error), {}
