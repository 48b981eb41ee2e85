"""Computes many sequences at once on one KV cache: admits requests, schedules each step and processes its outcome."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from gptcli.engine.backend import Backend, Decoded, MemoryKind
from gptcli.engine.drafting import MOST_DRAFT
from gptcli.engine.kv_cache import KVCacheManager
from gptcli.engine.scheduler import plan, prompts_fill_step
from gptcli.engine.sequence import Sequence, make_branch, make_sequence
from gptcli.engine.slots import common_prefix
from gptcli.engine.speculation import Speculator
from gptcli.errors import ContextFull, EngineError, GptcliError, LoadError
from gptcli.interrupt import Interrupt
from gptcli.prompt.template import ChatTemplate
from gptcli.types import (
    ContinuationLogprobs,
    Event,
    Failed,
    Finished,
    FinishReason,
    Prefill,
    PromptLogprobs,
    Request,
    Started,
    TokenInfo,
)

_CHEAP = 1024
"""Computed tokens that are computed again rather than waited for."""


@dataclass(slots=True, eq=False)
class EngineCore:
    """Continuous batching on one backend. A step is `admit`, `schedule`, `execute` and `process`; only `execute` may
    run in another thread."""

    backend: Backend
    kv_cache: KVCacheManager
    limit: int
    """Tokens that one sequence may have."""
    parallel: int
    """Requests computed at once; more, if the KV cache was made for more."""
    interrupt: Interrupt
    template: ChatTemplate | None
    speculator: Speculator | None = None
    """Drafts tokens for the steps; None where none are wanted."""
    keep_texts: bool = False
    """Whether no text gets drafts that could change a rounding."""
    running: list[Sequence] = field(default_factory=list)
    _waiting: deque[Sequence] = field(default_factory=deque)
    _steps: list[tuple[Sequence, int]] = field(default_factory=list)
    _step_seconds: float = 0.0
    _drafting: bool = False
    """Whether the step that is being computed may have draft tokens."""
    _no_room: bool = False
    """Whether the last step found no cells for its draft tokens."""
    _errors_in_a_row: int = 0
    _draining: bool = False
    """Whether those that run must end first, because the KV cache is of the wrong kind for them and those that wait."""

    @property
    def idle(self) -> bool:
        """Whether no request runs or waits here."""
        return not self.running and not self._waiting

    def holds(self, request_id: str) -> bool:
        """Whether the request runs or waits here."""
        return any(sequence.request.id == request_id for sequence in [*self.running, *self._waiting])

    def held(self, tokens: list[int]) -> int:
        """How many of a prompt's first tokens need not be computed here."""
        return self.kv_cache.held(tokens, self.running)

    @property
    def prompts_fill_step(self) -> bool:
        """Whether another request's prompt would have to wait for those that run here."""
        return prompts_fill_step(self.running, self.backend.step_tokens, partitioned=not self.backend.config.unified)

    def enqueue(self, request: Request) -> Iterator[Event]:
        """Let a request wait for a slot, or fail."""
        try:
            self._waiting.append(make_sequence(request, self.backend, self.limit, self.template))
        except GptcliError as error:
            yield Failed(request.id, error)

    def admit(self, incoming: Iterator[Request | None]) -> Iterator[Event]:
        """Start waiting sequences, then new requests, while the KV cache has room for them."""
        while len(self.running) < self._at_once and not self.interrupt.requested:
            if not self.running:
                yield from self._configure(incoming)
            elif not self._waiting:
                yield from self._pull(incoming)
            if not self._waiting:
                return
            leader = self._waiting[0]
            if self.running and (self.kv_cache.is_too_small or not self.kv_cache.suits([*self.running, leader])):
                self._draining = True
            if self._draining and sum(sequence.computed for sequence in self.running) <= _CHEAP:
                self._preempt(len(self.running))
                continue
            if self._draining or not self.kv_cache.allocate(leader, self.running):
                return
            self.running.append(self._waiting.popleft())
            if not leader.started:  # else it was preempted, and continues
                leader.reused = leader.computed
                for sample in [leader, *leader.forks]:
                    sample.started = time.perf_counter()
                yield Started(leader.request.id, leader.prompt_tokens, leader.reused)

    def schedule(self) -> None:
        """Fill the batch of the next step."""
        self.kv_cache.compact(self.running)
        config = self.backend.config
        budget = self.backend.step_tokens
        self._steps = plan(self.running, budget, partitioned=not config.unified, rows=config.scored_rows)
        if self.speculator is not None:
            self._draft(self.speculator, budget)
        for sequence, count in self._steps:
            self._add(sequence, count)

    def execute(self) -> Decoded | EngineError:
        """Compute the step. All the time is spent here, without the GIL."""
        began = time.perf_counter()
        try:
            return self.backend.decode()
        except EngineError as error:
            return error
        finally:
            self._step_seconds = time.perf_counter() - began

    def process(self, outcome: Decoded | EngineError) -> Iterator[Event]:
        """Sample from the step's logits. Two failed steps in a row raise EngineError and end the stream."""
        steps = self._steps
        if isinstance(outcome, EngineError):
            self._errors_in_a_row += 1
            if self._errors_in_a_row > 1:
                raise outcome
            yield from self._fail([sequence for sequence, _ in steps], outcome)
            return
        self._errors_in_a_row = 0
        if outcome is Decoded.NO_ROOM and any(sequence.draft for sequence, _ in steps):
            self._no_room = True
        elif outcome is Decoded.NO_ROOM:
            yield from self._reclaim()
        elif outcome is Decoded.OK:
            self._no_room = False
            if self.speculator is not None and self._drafting:
                self.speculator.observe(self._step_seconds)
            for sequence, count in steps:
                if sequence.slot < 0:  # another sample in this step has failed the whole request
                    continue
                sequence.computed += count
                if sequence.score_from <= sequence.computed:
                    yield from self._score(sequence)
                if sequence.slot < 0:
                    continue
                if sequence.pending:
                    yield Prefill(sequence.request.id, sequence.computed, len(sequence.tokens))
                elif sequence.branch is not None:
                    yield from self._follow(sequence)
                elif sequence.draft:
                    yield from self._verify(sequence)
                else:
                    yield from self._advance(sequence)

    def cancel(self, request_id: str | None = None) -> Iterator[Event]:
        """End one request, or all, with the text so far. Not while a step is being computed."""
        for sequence in [*self.running, *self._waiting]:
            if request_id in (None, sequence.request.id):
                for sample in [sequence, *sequence.forks]:
                    yield from self._finish(sample, FinishReason.CANCELLED)

    def abandon(self) -> None:
        """Drop what runs and what waits, without events: nobody reads them any more."""
        for sequence in [*self.running, *self._waiting]:
            self._release(sequence)
        self._errors_in_a_row = 0

    @property
    def _at_once(self) -> int:
        """Requests to run: more than `parallel` only if the KV cache was made for them. One more, pulled before it has
        a slot, is chosen before it is known which prefix will be lost (64 chats: 1,966 tokens reused of 6,270, else
        6,055)."""
        config = self.backend.config
        return self.parallel if config.unified else max(self.parallel, config.sequences)

    def _configure(self, incoming: Iterator[Request | None]) -> Iterator[Event]:
        """Pull all requests that can run together, and prepare the KV cache for them."""
        self._draining = False
        while True:
            before = -1
            while before < len(self._waiting) < self.parallel:
                before = len(self._waiting)
                yield from self._pull(incoming)
            if not self._waiting:
                return
            try:
                self.kv_cache.configure(list(self._waiting))
                return
            except LoadError as error:
                yield from self._fail([self._waiting[0]], error)

    def _pull(self, incoming: Iterator[Request | None]) -> Iterator[Event]:
        """Enqueue the next request that does not fail at once; none, if there is none (now, or at all)."""
        before = len(self._waiting)
        while len(self._waiting) == before and not self.interrupt.requested and (request := next(incoming, None)):
            yield from self.enqueue(request)

    def _add(self, sequence: Sequence, count: int) -> None:
        start, last = sequence.computed, sequence.computed + count - 1
        add, tokens, slot = self.backend.add, sequence.tokens, sequence.slot
        scored = sequence.score_from - 1  # the logits at a position are those of the next token
        for position in range(start, last):
            add(tokens[position], position, slot, logits=position >= scored)
        sequence.row = add(tokens[last], last, slot, logits=count == sequence.pending or last >= scored)
        for position, token in enumerate(sequence.draft, last + 1):
            add(token, position, slot, logits=True)

    def _draft(self, speculator: Speculator, budget: int) -> None:
        """Put draft tokens behind those of the step, where that pays and can be undone."""
        for sequence, _ in self._steps:
            sequence.draft = []
        config, memory = self.backend.config, self.backend.memory
        # In partitions, a step is cut where sequences have different numbers of tokens; see `scheduler.plan`.
        allowed = config.unified or len(self._steps) == 1
        if self.keep_texts:
            held = sum(len(sequence.tokens) for sequence, _ in self._steps) + MOST_DRAFT
            known = config.cells if config.sequences > 1 else held  # other sequences may hold any of the cells
            allowed = allowed and known <= self.backend.exact_tokens
        self._drafting = allowed and memory is not MemoryKind.RECURRENT and not self._no_room
        if self._drafting:
            most = budget - sum(count for _, count in self._steps)
            speculator.draft(self._steps, most=most, rows=config.scored_rows)

    def _score(self, sequence: Sequence) -> Iterator[Event]:
        """Deliver the log-probabilities of the prompt's tokens behind those that were computed."""
        start, end = max(1, sequence.score_from), min(sequence.computed + 1, sequence.prompt_tokens)
        alternatives = sequence.request.prompt_logprobs or 0
        if sequence.leader is not None:
            alternatives = sequence.request.logprobs or 0
        infos = [self.backend.describe_first(sequence.tokens[0])] if sequence.score_from == 0 else []
        if start < end:
            row = sequence.row - (sequence.computed - start)
            try:
                infos += self.backend.describe_prompt(row, sequence.tokens[start:end], alternatives)
            except LoadError as error:
                yield from self._fail([sequence], error)
                return
        first = sequence.score_from
        sequence.score_from = end if end < sequence.prompt_tokens else sys.maxsize
        if sequence.leader is not None or sequence.request.echo:
            sequence.scored += infos
        elif infos:
            yield PromptLogprobs(sequence.request.id, first, infos)

    def _follow(self, sequence: Sequence) -> Iterator[Event]:
        """Let the branches below go on from a sequence that is computed; they begin with its last logits."""
        branch, leader = sequence.branch, sequence.leader or sequence
        assert branch is not None
        yield from self._deliver(leader, branch.ends, sequence.scored)
        for child in branch.children:
            try:
                (first,) = self.backend.describe_prompt(sequence.row, child.tokens[:1], sequence.request.logprobs or 0)
            except LoadError as error:
                yield from self._fail([sequence], error)
                return
            if child.is_computed:
                following = make_branch(sequence, child, first)
                self.kv_cache.fork(sequence, following)
                self.running.append(following)
            else:
                yield from self._deliver(leader, child.ends, [*sequence.scored, first])
        sequence.branch = None
        if leader.unscored:
            self._release(sequence)
        else:
            yield from self._finish(sequence, FinishReason.LENGTH)

    def _deliver(self, leader: Sequence, ends: list[int], infos: list[TokenInfo]) -> Iterator[Event]:
        """The scores of the continuations that end here."""
        for index in ends:
            leader.unscored -= 1
            yield ContinuationLogprobs(leader.request.id, index, infos)

    def _advance(self, sequence: Sequence) -> Iterator[Event]:
        """Sample the next token of a sequence that is computed, and of each fork of its prompt."""
        samples, scored = [sequence], sequence.scored
        for fork in sequence.forks:
            self.kv_cache.fork(sequence, fork)
            fork.row = sequence.row
            samples.append(fork)
        self.running += sequence.forks
        sequence.forks = []
        for sample in samples:
            if sample.request.echo and not sample.generated:
                yield from sample.output.echo(scored, self.backend.vocabulary)
            if sample.slot >= 0:
                yield from self._sample(sample)

    def _verify(self, sequence: Sequence) -> Iterator[Event]:
        """Sample behind each draft token, as long as the text goes on with these; forget the others.

        Each token is chosen by the same sampler as without a draft, from the logits behind the same tokens: so the
        distribution of texts is the same, and even the text of a seed."""
        draft, row = sequence.draft, sequence.row
        known, computed = len(sequence.tokens), sequence.computed
        sequence.draft = []
        sequence.drafted += len(draft)
        accepted = 0
        while accepted == len(sequence.tokens) - known:
            sequence.row = row + accepted
            yield from self._sample(sequence)
            if sequence.slot < 0:
                return
            more = common_prefix(sequence.tokens[known:], draft) - accepted
            accepted += more
            sequence.accepted += more
            sequence.computed = computed + accepted
        if accepted < len(draft):
            self.backend.remove(sequence.slot, sequence.computed)

    def _sample(self, sequence: Sequence) -> Iterator[Event]:
        request, output = sequence.request, sequence.output
        if request.max_tokens == 0:
            yield from self._finish(sequence, FinishReason.LENGTH)
            return
        try:
            tokens = sequence.next_tokens(sequence.left)
        except GptcliError as error:
            yield from self._fail([sequence], error)
            return
        if not sequence.generated:
            sequence.decode_started = time.perf_counter()
            sequence.prompt_seconds = sequence.decode_started - sequence.started
        for token, forced in tokens:
            if self.backend.vocabulary.is_end(token) and not request.ignore_eos:
                if request.echo and request.logprobs is not None:
                    yield from output.push(b"", self.backend.describe(sequence.row, token, request.logprobs))
                yield from self._finish(sequence, FinishReason.STOP)
                return
            yield from self._append(sequence, token, forced)
            if output.stop is not None:
                yield from self._finish(sequence, FinishReason.STOP)
                return
        if (reason := self._reason_to_end(sequence)) is not None:
            yield from self._finish(sequence, reason)

    def _append(self, sequence: Sequence, token: int, forced: bool) -> Iterator[Event]:
        info = None
        if sequence.request.logprobs is not None:
            info = self.backend.describe(sequence.row, token, sequence.request.logprobs)
            info.forced = forced
        sequence.tokens.append(token)
        yield from sequence.output.push(sequence.output.piece(token, self.backend.vocabulary), info)

    def _reason_to_end(self, sequence: Sequence) -> FinishReason | None:
        """Why the sequence gets no more tokens; None if it does."""
        constrained = sequence.constrained
        complete = constrained is not None and constrained.complete
        if complete and constrained is not None and not constrained.closed:
            return FinishReason.STOP
        if sequence.generated == sequence.request.max_tokens:
            return FinishReason.LENGTH
        if len(sequence.tokens) > self.limit:
            return FinishReason.CONTEXT
        return FinishReason.LENGTH if complete else None

    def _finish(self, sequence: Sequence, reason: FinishReason) -> Iterator[Event]:
        constrained = sequence.constrained
        cut = reason is FinishReason.CANCELLED and not sequence.request.close
        closed = constrained is not None and constrained.can_end and reason is not FinishReason.STOP and not cut
        if constrained is not None and closed:
            for token in constrained.ending():
                sequence.tokens.append(token)  # for the text: it is not computed
                yield from sequence.output.push(sequence.output.piece(token, self.backend.vocabulary), None)
        self._release(sequence)
        sequence = sequence.leader or sequence
        if sequence.ended:  # with another branch
            return
        sequence.ended = True
        yield from sequence.output.finish()
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
            stop=sequence.output.stop,
            dropped_bytes=sequence.output.dropped_bytes,
            tokens=tuple(sequence.tokens[sequence.prompt_tokens :]),
            closed=closed,
            drafted=sequence.drafted,
            accepted=sequence.accepted,
        )

    def _reclaim(self) -> Iterator[Event]:
        """The KV cache is full: evict what is cached, grow, or preempt the youngest sequence."""
        try:
            if self.kv_cache.reclaim(self.running):
                return
        except LoadError as error:
            yield from self._fail(self.running, error)
            return
        if self.kv_cache.stop_partitioning():
            self._preempt(len(self.running))
        elif len(self.running) > 1:
            self._preempt(1)
        elif self.running[0].is_scoring:
            full = ContextFull("the KV cache has no room for all that is to be scored.", "Use a larger --ctx-size.")
            yield from self._fail(self.running, full)
        else:
            yield from self._finish(self.running[0], FinishReason.CONTEXT)

    def _preempt(self, count: int) -> None:
        """Let the youngest sequences wait again; they will be computed anew."""
        for _ in range(count):
            youngest = self.running.pop()
            self.kv_cache.free(youngest, keep=False)
            self._waiting.appendleft(youngest)

    def _fail(self, sequences: list[Sequence], error: GptcliError) -> Iterator[Event]:
        """End the requests of these sequences, with all their samples, and no others."""
        failed = dict.fromkeys(sequence.request.id for sequence in sequences)
        for sequence in [*self.running, *self._waiting]:
            if sequence.request.id in failed:
                self._release(sequence, keep=False)
        for request_id in failed:
            yield Failed(request_id, error)

    def _release(self, sequence: Sequence, *, keep: bool = True) -> None:
        """Free all that the sequence has; with `keep`, what was computed of it stays cached."""
        for queue in (self.running, self._waiting):
            if sequence in queue:
                queue.remove(sequence)
        self.kv_cache.free(sequence, keep=keep)
        for sample in [sequence, *sequence.forks]:
            if sample.sampler is not None:
                sample.sampler.close()
                sample.sampler = sample.constrained = None
