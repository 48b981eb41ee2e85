"""From the model flags to an engine: which file, whether it is sound and fits, loaded and ready.

It knows the order of these steps; each is done elsewhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from gptcli.cli.main import CommandContext
from gptcli.cli.options import ModelFlags, OutputFlags
from gptcli.engine.cache_config import choose_cores, measure_parallel
from gptcli.engine.engine import LocalEngine
from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend
from gptcli.llama.devices import build_advice, unused_gpu
from gptcli.llama.library import show_log
from gptcli.llama.loading import Loading
from gptcli.llama.model import Model
from gptcli.llama.threads import choose_threads
from gptcli.llama.vocabulary import LlamaVocabulary
from gptcli.models.refs.resolve import ModelFile, resolve
from gptcli.prompt.template import ChatTemplate
from gptcli.runtime import prefixes
from gptcli.runtime.memory_check import MemoryCheck
from gptcli.terminal import Terminal

_MANY = 16
"""Texts at once for which importing numpy pays."""


@dataclass(slots=True)
class LoadedEngine:
    """An engine with what the answers say about it."""

    engine: LocalEngine
    backend: LlamaBackend
    model: ModelFile
    load_seconds: float
    interrupt: Interrupt


class EngineLoader:
    """A model on its way: found and checked at once, loaded in a thread until `engine` is entered."""

    def __init__(self, flags: ModelFlags, output: OutputFlags, session: CommandContext) -> None:
        """Raises ModelNotFound, LoadError."""
        from gptcli.render.progress import DownloadBar

        self._flags = flags
        self._process_ends = session.process_ends
        self._terminal = session.terminal
        if output.verbose:
            show_log()
        self.model = resolve(flags.model, offline=flags.offline, report=DownloadBar(session.terminal))
        if not self.model.trusted:
            from gptcli.models.gguf.structure import check

            check(self.model.path)
        self._fitting = None if flags.force else MemoryCheck(self.model.path)
        if self._fitting is not None and flags.device != "cuda":  # a card's own memory is known once it is chosen
            self._fitting.check(flags.ctx_size)
        choice = (self.model.path, flags.device, flags.gpu_layers)
        early = session.early
        self._loading = early if early is not None and early.choice == choice else Loading(*choice)

    @contextlib.contextmanager
    def engine(
        self, *, parallel: int | None = 1, reuse: bool = True, interrupt: Interrupt | None = None
    ) -> Iterator[LoadedEngine]:
        """The engine, once the model is loaded; `parallel` None is measured. Raises LoadError, RequestError."""
        interrupt = interrupt or Interrupt()
        flags = self._flags
        if many := parallel is None or parallel >= _MANY:
            import numpy  # noqa: F401 - for choosing tokens; 70 ms in which the model is being loaded
        model = self._loading.result()
        threads = choose_threads(flags.threads, flags.threads_batch)
        lanes = choose_cores(parallel, min(threads)) if model.offload.is_cpu else 1
        allow = self._fitting.for_devices(model.offload, lanes) if self._fitting is not None else None
        with contextlib.ExitStack() as stack:
            backend = LlamaBackend(model, threads, interrupt, allow, many=many)
            if not self._process_ends:
                stack.enter_context(backend)
            backend.adapt(adapters := flags.adapters())
            _say_where(self._loading, self._terminal)
            replicas = [backend.replica() for _ in range(1, lanes)]
            for replica in replicas if not self._process_ends else ():
                stack.enter_context(replica)
            backend.share_threads(0, lanes)
            engine = LocalEngine(
                backend,
                replicas=replicas,
                context=flags.ctx_size,
                parallel=measure_parallel(backend) * lanes if parallel is None else parallel,
                auto_parallel=parallel is None,
                reuse=reuse,
                interrupt=interrupt,
                template=chat_template(model, backend.vocabulary),
                open_prefix_cache=prefixes.shelf_opener(self.model, backend, adapters),
            )
            yield LoadedEngine(engine, backend, self.model, self._loading.seconds, interrupt)


def chat_template(model: Model, vocabulary: LlamaVocabulary) -> ChatTemplate:
    """The template that the model's file brings, or the fall-back; nothing is compiled before it is used."""
    return ChatTemplate(
        model.chat_template, bos=vocabulary.bos_text, eos=vocabulary.eos_text, specials=vocabulary.control_texts()
    )


def _say_where(loading: Loading, terminal: Terminal) -> None:
    """A GPU that stays unused is said, never passed over."""
    if loading.choice[1] == "auto" and (idle := unused_gpu(loading.devices)):
        terminal.notice(f"This machine has {idle}, which this build of llama.cpp cannot use. {build_advice()}")
