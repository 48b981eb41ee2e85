"""The errors that gptcli tells its user about, as one tree, and the exit code that each ends with.

It knows no command and prints nothing; whoever raises an error says in one sentence what happened, with the
numbers, and in a second one what to do.

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
    └── Cancelled          130   Ctrl-C
"""

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
    """Something the user can understand: what happened, and what to do about it."""

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, hint: str = "", *, log: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log
        """llama.cpp's own last lines, where they say more than we can."""


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
    """A request that cannot be answered as it stands: `code` and `param` say why to a program."""

    def __init__(self, message: str, *, code: str = "invalid_request", param: str | None = None) -> None:
        """`code`: invalid_request, missing_field or unsupported. `param`: the name of the field, if it is about one."""
        super().__init__(message)
        self.code = code
        self.param = param


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
