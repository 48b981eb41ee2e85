"""One KV cache and the texts that are written in it: who is let in, what the next step computes, what comes of it.

It knows sequences and steps of one backend; other lanes, and which thread computes, it does not know.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from gptcli.engine.admission import admit
from gptcli.engine.backend import Backend, Decoded
from gptcli.engine.kv_cache import KVCacheManager
from gptcli.engine.scheduler import plan
from gptcli.engine.sequence import Sequence
from gptcli.errors import EngineError, GptcliError, LoadError
from gptcli.interrupt import Interrupt
from gptcli.prompt.template import ChatTemplate
from gptcli.types import Event, Failed, Finished, FinishReason, Prefill, Request, Started


class EngineCore:
    """Continuous batching over one backend. A step is `admit`, `begin`, `compute`, `take_up`; only `compute` may run in
    another thread."""

    def __init__(
        self,
        backend: Backend,
        placement: KVCacheManager,
        limit: int,
        parallel: int,
        interrupt: Interrupt,
        template: ChatTemplate | None,
    ) -> None:
        """`limit`: tokens that one text may have; `parallel`: requests computed at once, at most."""
        self.backend = backend
        self.placement = placement
        self._limit = limit
        self._parallel = parallel
        self._interrupt = interrupt
        self._template = template
        self.running: list[Sequence] = []
        self._waiting: deque[Sequence] = deque()
        self._steps: list[tuple[Sequence, int]] = []
        self._errors_in_a_row = 0

    @property
    def idle(self) -> bool:
        """Whether nothing runs here, and nothing waits."""
        return not self.running and not self._waiting

    def enqueue(self, request: Request) -> Iterator[Event]:
        """Let a request wait for its place, or fail."""
        try:
            self._waiting.append(admit(request, self.backend, self._limit, self._template))
        except GptcliError as error:
            yield Failed(request.id, error)

    def admit(self, incoming: Iterator[Request | None]) -> Iterator[Event]:
        """Place waiting sequences, then new requests, while there is room."""
        while len(self.running) < self._parallel and not self._interrupt.requested:
            if not self.running:
                yield from self._survey(incoming)
            elif not self._waiting:
                yield from self._pull(incoming)
            if not self._waiting:
                return
            leader = self._waiting[0]
            if not self.placement.place(leader, self.running):
                return
            self.running.append(self._waiting.popleft())
            if not leader.started:  # else it was put back, and begins again where it was
                leader.reused = leader.computed
                for sample in [leader, *leader.forks]:
                    sample.started = time.perf_counter()
                yield Started(leader.request.id, leader.prompt_tokens, leader.reused)

    def begin(self) -> None:
        """Put the next step's tokens into the batch."""
        self.placement.close_gaps(self.running)
        self._steps = plan(self.running, self.backend.step_tokens, parted=not self.backend.unified)
        for sequence, count in self._steps:
            self._fill(sequence, count)

    def compute(self) -> Decoded | EngineError:
        """The step itself: all the time goes here, without the GIL."""
        try:
            return self.backend.decode()
        except EngineError as error:
            return error

    def take_up(self, outcome: Decoded | EngineError) -> Iterator[Event]:
        """What came of the step; two bad ones in a row end the stream with EngineError."""
        steps = self._steps
        if isinstance(outcome, EngineError):
            self._errors_in_a_row += 1
            if self._errors_in_a_row > 1:
                raise outcome
            yield from self._fail([sequence for sequence, _ in steps], outcome)
            return
        self._errors_in_a_row = 0
        if outcome is Decoded.NO_ROOM:
            yield from self._make_room()
        elif outcome is Decoded.OK:
            for sequence, count in steps:
                if sequence.sampler is None:  # another sample in this step has failed the whole request
                    continue
                sequence.computed += count
                if sequence.pending:
                    yield Prefill(sequence.request.id, sequence.computed, len(sequence.tokens))
                else:
                    yield from self._advance(sequence)

    def cancel(self) -> Iterator[Event]:
        """End what runs and what waits, with what it has said."""
        self.running = [
            sample for sequence in [*self.running, *self._waiting] for sample in [sequence, *sequence.forks]
        ]
        self._waiting.clear()
        for sequence in self.running:
            sequence.forks = []
        while self.running:
            yield from self._finish(self.running[0], FinishReason.CANCELLED)

    def leave(self) -> None:
        """Nobody listens any more: let go of what runs and what waits."""
        for sequence in self.running:
            self._leave(sequence)
        for sequence in self._waiting:
            self._close(sequence)
        self.running, self._waiting = [], deque()
        self._errors_in_a_row = 0

    def _survey(self, incoming: Iterator[Request | None]) -> Iterator[Event]:
        """Look at all that can be placed together, and have a KV cache made for it."""
        while True:
            before = -1
            while before < len(self._waiting) < self._parallel:
                before = len(self._waiting)
                yield from self._pull(incoming)
            if not self._waiting:
                return
            try:
                self.placement.shape(list(self._waiting))
                return
            except LoadError as error:
                yield from self._fail([self._waiting[0]], error)

    def _pull(self, incoming: Iterator[Request | None]) -> Iterator[Event]:
        """Let the next request that can be admitted wait; none, if nothing comes (now, or any more)."""
        before = len(self._waiting)
        while len(self._waiting) == before and not self._interrupt.requested and (request := next(incoming, None)):
            yield from self.enqueue(request)

    def _fill(self, sequence: Sequence, count: int) -> None:
        start, last = sequence.computed, sequence.computed + count - 1
        add, tokens, slot = self.backend.add, sequence.tokens, sequence.slot
        for position in range(start, last):
            add(tokens[position], position, slot, logits=False)
        sequence.row = add(tokens[last], last, slot, logits=count == sequence.pending)

    def _advance(self, sequence: Sequence) -> Iterator[Event]:
        """The sequence's tokens are all computed: sample its next one, and that of each fork of its prompt."""
        samples = [sequence]
        for fork in sequence.forks:
            self.placement.fork(sequence, fork)
            fork.row = sequence.row
            samples.append(fork)
        self.running += sequence.forks
        sequence.forks = []
        for sample in samples:
            if sample.sampler is not None:
                yield from self._sample(sample)

    def _sample(self, sequence: Sequence) -> Iterator[Event]:
        request = sequence.request
        if request.max_tokens == 0:
            yield from self._finish(sequence, FinishReason.LENGTH)
            return
        assert sequence.sampler is not None
        try:
            token = sequence.sampler.sample(sequence.row)
        except EngineError as error:
            yield from self._fail([sequence], error)
            return
        if not sequence.generated:
            sequence.decode_started = time.perf_counter()
            sequence.prompt_seconds = sequence.decode_started - sequence.started
        vocabulary = self.backend.vocabulary
        if vocabulary.is_end(token) and not request.ignore_eos:
            yield from self._finish(sequence, FinishReason.STOP)
            return
        info = None
        if request.logprobs is not None:
            info = self.backend.describe(sequence.row, token, request.logprobs)
        sequence.tokens.append(token)
        yield from sequence.speech.push(sequence.speech.piece(token, vocabulary), info)
        if sequence.speech.stop is not None:
            yield from self._finish(sequence, FinishReason.STOP)
        elif sequence.generated == request.max_tokens:
            yield from self._finish(sequence, FinishReason.LENGTH)
        elif len(sequence.tokens) > self._limit:
            yield from self._finish(sequence, FinishReason.CONTEXT)

    def _finish(self, sequence: Sequence, reason: FinishReason) -> Iterator[Event]:
        yield from sequence.speech.finish()
        now = time.perf_counter()
        yield Finished(
            id=sequence.request.id,
            index=sequence.index,
            reason=reason,
            prompt_tokens=sequence.prompt_tokens,
            reused_tokens=sequence.reused,
            completion_tokens=sequence.generated,
            seed=sequence.seed,
            prompt_seconds=sequence.prompt_seconds or (now - sequence.started if sequence.started else 0.0),
            decode_seconds=now - sequence.decode_started if sequence.decode_started else 0.0,
            stop=sequence.speech.stop,
            dropped_bytes=sequence.speech.dropped_bytes,
            tokens=tuple(sequence.tokens[sequence.prompt_tokens :]),
        )
        self.running.remove(sequence)
        self._leave(sequence)

    def _make_room(self) -> Iterator[Event]:
        """The KV cache is full: drop what rests, grow, or put the youngest back to be computed again."""
        try:
            if self.placement.make_room(self.running):
                return
        except LoadError as error:
            yield from self._fail(self.running, error)
            return
        if self.placement.unify():
            self._put_back(len(self.running))
        elif len(self.running) > 1:
            self._put_back(1)
        else:
            yield from self._finish(self.running[0], FinishReason.CONTEXT)

    def _put_back(self, count: int) -> None:
        """Let the youngest wait again; they will be computed anew."""
        for _ in range(count):
            youngest = self.running.pop()
            self.placement.forget(youngest)
            self._waiting.appendleft(youngest)

    def _fail(self, sequences: list[Sequence], error: GptcliError) -> Iterator[Event]:
        """End the requests that these belong to, all their samples, and no others."""
        failed = dict.fromkeys(sequence.request.id for sequence in sequences)
        for sequence in [s for s in self.running if s.request.id in failed]:
            self.running.remove(sequence)
            self.placement.forget(sequence)
            self._close(sequence)
        for sequence in [s for s in self._waiting if s.request.id in failed]:
            self._waiting.remove(sequence)
            self._close(sequence)
        for request_id in failed:
            yield Failed(request_id, error)

    def _leave(self, sequence: Sequence) -> None:
        self.placement.release(sequence)
        self._close(sequence)

    def _close(self, sequence: Sequence) -> None:
        for sample in [sequence, *sequence.forks]:
            if sample.sampler is not None:
                sample.sampler.close()
                sample.sampler = None
