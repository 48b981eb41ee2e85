"""Loads a model into this process and makes an engine of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from gptcli import settings
from gptcli.constraints.tokens import Tokens
from gptcli.engine.cache_config import choose_cores, default_parallel
from gptcli.engine.draft_model import DraftModel, same_vocabulary
from gptcli.engine.engine import LocalEngine
from gptcli.errors import LoadError, UsageError
from gptcli.interrupt import Interrupt
from gptcli.llama.backend import LlamaBackend, import_numpy
from gptcli.llama.devices import Offload, build_hint, choose_threads, unused_gpu
from gptcli.llama.library import show_log
from gptcli.llama.model import Model, ModelLoader
from gptcli.models.gguf.quantization import split_paths
from gptcli.models.progress import Silent
from gptcli.models.resolve import ModelFile, resolve
from gptcli.models.store import integrity
from gptcli.prompt.template import ChatTemplate
from gptcli.runtime import CACHE_TYPES, EngineOptions
from gptcli.runtime.loaded import LoadedEngine
from gptcli.runtime.memory import MemoryCheck

if TYPE_CHECKING:
    from gptcli.engine.prefix_cache import PrefixCache

_SHORT_LOAD = 0.1
"""Seconds that a load may take before llguidance's tokenizer is made meanwhile, for that takes as long and has
the GIL: it is then made while the model computes the first tokens, if they are forced."""
_MANY = 16
"""Requests at once for which importing numpy pays."""


class LocalLoader:
    """Checks a model file at once, and loads it in a thread until `open` waits for it."""

    def __init__(
        self,
        model: ModelFile,
        options: EngineOptions,
        notify: Callable[[str], None],
        *,
        early: ModelLoader | None = None,
        process_ends: bool = False,
    ) -> None:
        """`EngineLoader` documents the arguments. Raises LoadError."""
        self._options = options
        self._notify = notify
        self._process_ends = process_ends
        self.model = model
        self._template = None if options.chat_template is None else _read_template(options.chat_template)
        if options.verbose:
            show_log()
        choice = (self.model.path, options.device, options.gpu_layers)
        if early is not None and early.choice != choice:
            early = None
        if not self.model.trusted:
            integrity.check(self.model.path)
        elif early is None:
            integrity.check_samples(self.model.path)
        key_bytes, value_bytes = (CACHE_TYPES[name] for name in options.cache_types)
        self._memory = None if options.force else MemoryCheck(self.model.path, key_bytes, value_bytes)
        if self._memory is not None and options.device != "cuda":  # a GPU's memory is known once it is chosen
            self._memory.check(options.ctx_size)
        self._loading = early or ModelLoader(*choice)
        self._loading_draft = self._load_draft(options)
        self._tokens = Tokens(pieces_path(self.model))

    def load(self) -> Model:
        """The model without an engine; the caller closes it. Raises LoadError."""
        return self._loading.result()

    def _load_draft(self, options: EngineOptions) -> ModelLoader | None:
        """Begin to load the draft model, if there is one. Raises ModelNotFound, LoadError."""
        if options.draft is None:
            return None
        found = resolve(options.draft, offline=options.offline, report=Silent())
        (integrity.check_samples if found.trusted else integrity.check)(found.path)
        return ModelLoader(found.path, options.device, options.gpu_layers)

    def _open_draft_model(
        self, stack: contextlib.ExitStack, target: LlamaBackend, threads: tuple[int, int], interrupt: Interrupt
    ) -> DraftModel | None:
        """The draft model, once it is loaded. Raises LoadError where its vocabulary is another one."""
        if self._loading_draft is None:
            return None
        backend = LlamaBackend(self._loading_draft.result(), threads, interrupt)
        if not self._process_ends:
            stack.enter_context(backend)
        if not same_vocabulary(target.vocabulary, backend.vocabulary):
            raise LoadError(
                f"the draft model {self._options.draft} has another vocabulary than {self.model.name}.",
                "Give a smaller model of the same family (--draft).",
            )
        return DraftModel(backend)

    @contextlib.contextmanager
    def open(
        self,
        *,
        parallel: int | None = 1,
        reuse: bool = True,
        interrupt: Interrupt | None = None,
        before_step: Callable[[], None] | None = None,
    ) -> Iterator[LoadedEngine]:
        """The engine, once the model is loaded. Raises LoadError, RequestError.

        `parallel`: requests to compute at once; None chooses the number. `reuse`: whether prompts may go on from
        prefixes that earlier requests computed. `before_step` is called before each step of the engine."""
        interrupt = interrupt or Interrupt()
        options = self._options
        if many := parallel is None or parallel >= _MANY:
            import_numpy()
        if not self._loading.is_done(within=_SHORT_LOAD):
            import_numpy()
            if options.constrained:
                self._tokens.start()
        model = self._loading.result()
        serving = before_step is not None
        threads = choose_threads(options.threads, options.threads_batch)
        drafting = options.draft is not None
        cores = engine_cores(model.offload, parallel, min(threads), serving=serving, drafting=drafting)
        allow = self._memory.for_devices(model.offload, cores) if self._memory is not None else None
        with contextlib.ExitStack() as stack:
            adapt = options.threads is None
            fast = many or not model.offload.is_cpu  # beside a step of a GPU, a look at all logits counts
            backend = LlamaBackend(model, threads, interrupt, allow, fast_greedy=fast, adapt_threads=adapt)
            backend.cache_types = options.cache_types
            if not self._process_ends:
                stack.enter_context(backend)
            backend.tokens = self._tokens
            backend.load_adapters(options.adapters)
            if options.device == "auto" and (unused := unused_gpu(self._loading.devices)):
                self._notify(f"This build of llama.cpp cannot use {unused}. {build_hint()}")
            replicas = [backend.replica() for _ in range(1, cores)]
            for replica in replicas if not self._process_ends else ():
                stack.enter_context(replica)
            backend.share_threads(0, cores)
            vocabulary = backend.vocabulary
            template = self._template or model.chat_template
            engine = LocalEngine(
                backend,
                replicas=replicas,
                context=options.ctx_size,
                parallel=default_parallel(backend, cores, serving=serving) if parallel is None else parallel,
                may_widen=parallel is None and not serving and model.offload.is_cpu,
                reuse=reuse,
                interrupt=interrupt,
                template=ChatTemplate(
                    template,
                    bos=vocabulary.bos_text,
                    eos=vocabulary.eos_text,
                    specials=vocabulary.control_texts(),
                ),
                serving=serving,
                before_step=before_step,
                speculation=options.speculation,
                draft_model=self._open_draft_model(stack, backend, threads, interrupt),
                open_prefix_cache=prefix_cache_opener(self.model, backend, options.adapters),
            )
            device, seconds = model.offload.description, self._loading.seconds
            cells, use = lambda: engine.cells, backend.decode_threads if cores == 1 else None
            yield LoadedEngine(engine, self.model, template, device, seconds, interrupt, cells, vocabulary, use)


def engine_cores(
    offload: Offload, parallel: int | None, threads: int, *, serving: bool = False, drafting: bool = False
) -> int:
    """The number of engine cores: one with a draft model, which drafts for one core; and one where a GPU has a part of
    the layers, or clients of a server come and go, for several were measured with many rows and whole models only."""
    if drafting:
        return 1
    if offload.is_cpu:
        return choose_cores(parallel, threads)
    return choose_cores(parallel, 0) if offload.is_gpu and not serving else 1


def _read_template(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        message = f"The chat template {path} cannot be read: {error}."
        raise UsageError(message, "Give a file with a jinja2 template.") from None


def pieces_path(model: ModelFile) -> Path | None:
    """Where the bytes of the model's tokens are kept; None where its file is gone."""
    try:
        key = repr([_identity(path) for path in split_paths(model.path)])
    except OSError:
        return None
    return settings.cache_dir() / "pieces" / sha256(key.encode()).hexdigest()[:32]


def prefix_cache_opener(
    model: ModelFile, backend: LlamaBackend, adapters: Sequence[tuple[Path, float]]
) -> Callable[[], PrefixCache] | None:
    """Opens the prefix cache of these files on this backend; None where a model's states cannot be kept."""
    if backend.model.is_long_rope:
        return None
    try:
        parts = [_identity(path) for path in split_paths(model.path)]
        files = parts, [(_identity(path), scale) for path, scale in adapters]
    except OSError:  # a file was removed while it was being opened; another may take its name
        return None

    def open_cache() -> PrefixCache:
        from gptcli.engine.prefix_cache import PrefixCache

        return PrefixCache(settings.prefix_cache_dir(), repr((files, backend.key)), model.name)

    return open_cache


def _identity(path: Path) -> str:
    """The SHA-256 of a file that was verified, else its real path, size and modification time."""
    known = integrity.recorded(path)
    return repr(integrity.file_state(path)) if known in (None, integrity.CHECKED) else str(known)
