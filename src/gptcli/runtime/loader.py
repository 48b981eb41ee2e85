"""Turns a model's name and the user's options into an engine that is ready: a server's, or one loaded here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from gptcli import settings
from gptcli.interrupt import Interrupt
from gptcli.models.progress import Report
from gptcli.models.resolve import resolve
from gptcli.runtime import EngineOptions
from gptcli.runtime.loaded import LoadedEngine

if TYPE_CHECKING:
    from gptcli.llama.model import ModelLoader
    from gptcli.runtime.local import LocalLoader
    from gptcli.runtime.remote import Server


class EngineLoader:
    """Finds a model at once. If no server of this user has it, it loads in a thread until `open` waits for it."""

    def __init__(
        self,
        options: EngineOptions,
        report: Report,
        notify: Callable[[str], None],
        *,
        early: ModelLoader | None = None,
        process_ends: bool = False,
    ) -> None:
        """`report` shows a download, `notify` prints a notice. `early`: a load that was started on a guess, used if the
        guess was right. `process_ends`: nothing need be freed, because the process is about to end.

        Raises ModelNotFound, LoadError."""
        self._options = options
        self._notify = notify
        self._early = early
        self._process_ends = process_ends
        self.model = resolve(options.model, offline=options.offline, report=report)
        self._server = self._find_server() if options.use_server and early is None else None
        self._local = None if self._server is not None else self._load()

    def open(
        self,
        *,
        parallel: int | None = 1,
        reuse: bool = True,
        interrupt: Interrupt | None = None,
        before_step: Callable[[], None] | None = None,
    ) -> AbstractContextManager[LoadedEngine]:
        """The engine, once the model is loaded. Raises LoadError, RequestError.

        `parallel`: requests to compute at once; None finds the fastest number, on an engine of this process. `reuse`:
        whether prompts may go on from prefixes that earlier requests computed; a server's always may.
        `before_step` is called before each step of an engine of this process."""
        server = self._server
        if server is not None and reuse and parallel is not None and parallel <= server.info.parallel:
            return contextlib.nullcontext(self._connect(server, parallel, interrupt or Interrupt()))
        local = self._local or self._load()
        return local.open(parallel=parallel, reuse=reuse, interrupt=interrupt, before_step=before_step)

    def _find_server(self) -> Server | None:
        if not settings.runtime_dir().is_dir():  # no server was ever started here: nothing need be imported
            return None
        from gptcli.runtime.remote import find_server

        return find_server(self.model.path, self._options)

    def _load(self) -> LocalLoader:
        from gptcli.runtime.local import LocalLoader  # it loads llama.cpp

        early, ends = self._early, self._process_ends
        return LocalLoader(self.model, self._options, self._notify, early=early, process_ends=ends)

    def _connect(self, server: Server, parallel: int, interrupt: Interrupt) -> LoadedEngine:
        from gptcli.runtime.remote import RemoteEngine

        info = server.info
        engine = RemoteEngine(server, parallel, interrupt)
        device = f"{info.device}, by the server {info.pid}"
        return LoadedEngine(
            engine, self.model, info.chat_template, device, server.seconds, interrupt, lambda: info.cells
        )
