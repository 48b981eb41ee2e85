"""The errors that gptcli reports to its user, as one tree, and the exit code of each.

`message` is one sentence with what happened, with the numbers; `hint` is one with what to do.

    GptcliError              1
    ├── UsageError           2   contradicting or impossible options
    ├── ModelNotFound        3   no such model, and the nearest names
    │   ├── OfflineError     3   nothing stored and no network
    │   └── GatedError       3   the hub wants a licence accepted or a token
    ├── LoadError            4   damaged or unknown
    │   └── OutOfMemory      8   the model or context does not fit in memory
    ├── RequestError         5   the engine cannot do what was asked
    │   ├── InvalidRequest   5   a field of a request is wrong, missing or not supported
    │   └── ContextFull      5   more tokens than the context holds
    ├── EngineError          5   llama.cpp failed while computing
    ├── EndpointError        6   a remote endpoint failed
    ├── RowsFailed           7   some rows of a batch failed
    └── Cancelled          130   Ctrl-C"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell; part of the stable interface."""

    OK = 0
    ERROR = 1
    USAGE = 2
    MODEL_NOT_FOUND = 3
    LOAD = 4
    ENGINE = 5
    ENDPOINT = 6
    ROWS_FAILED = 7
    MEMORY = 8
    INTERRUPTED = 130


class GptcliError(Exception):
    """Something the user can understand; `log` has llama.cpp's own last lines, where they help."""

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, hint: str = "", *, log: str = "") -> None:
        super().__init__(message)
        self.message, self.hint, self.log = message, hint, log


class UsageError(GptcliError):
    exit_code = ExitCode.USAGE


class ModelNotFound(GptcliError):
    exit_code = ExitCode.MODEL_NOT_FOUND


class OfflineError(ModelNotFound):
    pass


class GatedError(ModelNotFound):
    pass


class LoadError(GptcliError):
    exit_code = ExitCode.LOAD


class OutOfMemory(LoadError):
    exit_code = ExitCode.MEMORY


class RequestError(GptcliError):
    exit_code = ExitCode.ENGINE


class InvalidRequest(RequestError):
    """A request that cannot be answered as it stands. `param` is the name of the field that is wrong."""

    def __init__(self, message: str, *, code: str = "invalid_request", param: str | None = None) -> None:
        """`code`: invalid_request, missing_field or unsupported."""
        super().__init__(message)
        self.code, self.param = code, param


class ContextFull(RequestError):
    pass


class EngineError(GptcliError):
    exit_code = ExitCode.ENGINE


class EndpointError(GptcliError):
    exit_code = ExitCode.ENDPOINT


class RowsFailed(GptcliError):
    exit_code = ExitCode.ROWS_FAILED


class Cancelled(GptcliError):
    exit_code = ExitCode.INTERRUPTED
