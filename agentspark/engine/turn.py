"""One turn of the loop: admit, draft, plan, forward, commit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from agentspark.common import common_prefix
from agentspark.drafting.proposal import Proposal
from agentspark.engine.choosing import choose_tokens, failure, note_logits
from agentspark.engine.context import DrafterContext
from agentspark.engine.counting import count_round
from agentspark.engine.faults import Faults, not_finite
from agentspark.engine.handle import cancelled
from agentspark.engine.memory import KVMemory
from agentspark.engine.output import Emitted
from agentspark.engine.proposing import Proposing
from agentspark.engine.result import Completion, Delta, FinishReason
from agentspark.engine.runner import FlatRows, RowOutputs, TargetRunner
from agentspark.engine.sequence import Sequence
from agentspark.errors import (
    InvalidRequestError,
    KVCapacityError,
    KVExhaustedError,
    RequestError,
)

Finish = Callable[[Sequence, FinishReason, BaseException | None], Completion]


@dataclass(slots=True)
class TurnTimes:
    """Seconds spent in each phase since the engine started.

    ``drafter_s`` is the drafter's own work (drafting, extending its context), contained in
    ``draft_s`` and ``commit_s``. What is left of all but ``forward_s`` without it is overhead.
    """

    turns: int = 0
    admit_s: float = 0.0
    draft_s: float = 0.0
    plan_s: float = 0.0
    forward_s: float = 0.0
    commit_s: float = 0.0
    drafter_s: float = 0.0

    @property
    def total_s(self) -> float:
        """All turns."""
        return self.admit_s + self.draft_s + self.plan_s + self.forward_s + self.commit_s

    @property
    def overhead_s(self) -> float:
        """Scheduling, planning and accounting: everything that is no model's work."""
        return self.total_s - self.forward_s - self.drafter_s


@dataclass(slots=True)
class Turn:
    """The state the turns work on and the parts that do the work.

    Wherever a sequence is, it is in exactly one of ``waiting`` (holds no blocks) and ``running``,
    until what became of it is known: should the loop die, everybody in them is told.
    """

    memory: KVMemory
    runner: TargetRunner
    context: DrafterContext
    proposing: Proposing
    faults: Faults
    finish: Finish
    end_ids: frozenset[int]
    max_requests: int
    prefill_chunk: int
    waiting: deque[Sequence] = field(default_factory=deque)
    running: list[Sequence] = field(default_factory=list)
    times: TurnTimes = field(default_factory=TurnTimes)
    _taking_in_s: float = 0.0
    _without_drafts: bool = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.waiting and not self.running

    def run(self) -> None:
        """One turn. A failing request ends alone; anything else is the loop's to report."""
        marks = [time.perf_counter()]
        self._admit()
        marks.append(time.perf_counter())
        decoding = [sequence for sequence in self.running if sequence.decoding]
        decoding = [sequence for sequence in decoding if self._secure(sequence, 1)]
        # Securing a block may have preempted one that was secured before.
        decoding = [sequence for sequence in decoding if sequence in self.running]
        self.proposing.draft(decoding)
        marks.append(time.perf_counter())
        chunks = self._prefill_chunks()
        self.proposing.plan(decoding, sum(chunks.values()))
        if self._without_drafts:
            for sequence in decoding:
                sequence.proposal = sequence.proposal.truncate(0)
        rows = self._rows(decoding, chunks)
        marks.append(time.perf_counter())
        if rows.token_ids:
            outputs = self.runner.forward(rows)
            marks.append(time.perf_counter())
            self._without_drafts = not outputs.finite and self._give_up(decoding, chunks, outputs)
            if not self._without_drafts:
                self._commit(decoding, chunks, outputs)
        else:
            marks.append(marks[-1])
        marks.append(time.perf_counter())
        if decoding and not chunks and not self._without_drafts:
            self.proposing.observe(len(rows.token_ids), len(decoding), marks[-1] - marks[0])
        self._note(marks)

    # -- admit ---------------------------------------------------------------------------------

    def _admit(self) -> None:
        self._drop_cancelled()
        held = 0
        while len(self.waiting) > held and len(self.running) < self.max_requests:
            sequence = self.waiting[held]
            if self._computing_soon(sequence):
                held += 1
                continue
            try:
                self.memory.admit(sequence)
            except KVExhaustedError:
                if self.running or held:
                    break
                self._fail(sequence, self._too_large(sequence))
                continue
            if sequence.clock.admitted is None:
                sequence.clock.admitted = time.perf_counter()
                sequence.counts.cached_tokens = sequence.computed
            self.running.append(sequence)
            del self.waiting[held]

    def _drop_cancelled(self) -> None:
        for sequence in [s for s in (*self.running, *self.waiting) if s.cancelled]:
            self._fail(sequence, cancelled(sequence.request.id), "cancelled")

    def _computing_soon(self, sequence: Sequence) -> bool:
        """Whether a running prefill is computing a longer prefix of it than is cached now.

        Waiting for that costs a few turns; computing the prefix again costs all of it.
        """
        if sequence.namespace is None:
            return False
        size = self.memory.pool.block_tokens
        best = 0
        for other in self.running:
            if not other.decoding and other.namespace == sequence.namespace:
                best = max(best, common_prefix(sequence.tokens[:-1], other.tokens))
        return best // size * size > self.memory.cached_prefix(sequence) if best else False

    # -- plan ----------------------------------------------------------------------------------

    def _secure(self, sequence: Sequence, tokens: int) -> bool:
        """Blocks for the next ``tokens`` positions, taken from the youngest others if need be."""
        while sequence in self.running:
            try:
                self.memory.grow(sequence, sequence.computed + tokens)
                return True
            except KVExhaustedError:
                victim = self.running[-1]
                if victim is sequence and len(self.running) == 1:
                    self._fail(sequence, self._too_large(sequence))
                else:
                    self._preempt(victim)
        return False

    def _preempt(self, sequence: Sequence) -> None:
        """Back to the head of the queue; what it computed stays cached while there is room."""
        self._publish([sequence])
        self.memory.release(sequence)
        # It comes back as a prompt, which has one row of logits and no drafts to judge.
        sequence.proposal = sequence.draft = sequence.copy = Proposal()
        self.running.remove(sequence)
        self.waiting.appendleft(sequence)

    def _prefill_chunks(self) -> dict[Sequence, int]:
        """Prompt tokens each prefilling sequence computes this turn, oldest first."""
        chunks: dict[Sequence, int] = {}
        budget = self.prefill_chunk
        for sequence in self.running:
            if not sequence.decoding and budget > 0:
                chunks[sequence] = min(budget, len(sequence.tokens) - sequence.computed)
                budget -= chunks[sequence]
        return chunks

    def _rows(self, decoding: list[Sequence], chunks: dict[Sequence, int]) -> FlatRows:
        rows = FlatRows()
        for sequence in decoding:
            tokens = [sequence.anchor, *sequence.proposal.token_ids]
            sequence.first_row = rows.add(tokens, sequence.computed, sequence.blocks)
            rows.logit_rows.extend(range(sequence.first_row, sequence.first_row + len(tokens)))
        for sequence, count in chunks.items():
            done = sequence.computed
            tokens = sequence.tokens[done : done + count]
            sequence.first_row = rows.add(tokens, done, sequence.blocks)
            if done + count == len(sequence.tokens):
                rows.logit_rows.append(sequence.first_row + count - 1)
        return rows

    def _give_up(
        self, decoding: list[Sequence], chunks: dict[Sequence, int], outputs: RowOutputs
    ) -> bool:
        """End whom the model gave numbers that are not finite; whether there is anything of it.

        All others then compute the same rows again, their drafts left out.
        """
        found = self.faults.find(
            self.running,
            {**dict.fromkeys(decoding, 1), **chunks},
            [*decoding, *_started(chunks)],
            outputs,
        )
        if found is None:
            return False
        for sequence in found.ending:
            self._fail(sequence, not_finite(sequence))
        if found.cached:
            self.memory.cache.clear()
        return True

    # -- commit --------------------------------------------------------------------------------

    def _commit(
        self, decoding: list[Sequence], chunks: dict[Sequence, int], outputs: RowOutputs
    ) -> None:
        choosing = [*decoding, *_started(chunks)]
        chosen = choose_tokens(choosing, outputs.logits, self.end_ids) if choosing else []
        accepted = {
            sequence: choice.accepted
            for sequence, choice in zip(decoding, chosen, strict=False)
            if not isinstance(choice, RequestError)
        }
        # An anchor's row is kept with those of its accepted drafts.
        kept = {sequence: 1 + count for sequence, count in accepted.items()}
        self.context.add({**kept, **chunks}, outputs)
        for sequence, count in chunks.items():
            sequence.computed += count
        self._publish(chunks)
        row = 0
        for sequence, choice in zip(choosing, chosen, strict=True):
            verified = len(sequence.proposal)
            raw = outputs.logits[row : row + 1 + verified]
            row += 1 + verified
            if isinstance(choice, RequestError):
                self._fail(sequence, choice)
                continue
            sequence.computed += kept.get(sequence, 0)
            # A prefill after a preemption goes on with the output, as a round without drafts does.
            first = sequence.output.generated == 0
            self._emit(sequence, choice.tokens, raw, None if first else choice.accepted)

    def _emit(
        self, sequence: Sequence, tokens: list[int], raw: torch.Tensor, accepted: int | None
    ) -> None:
        """Hand ``tokens`` out up to the end; ``accepted`` were drafts (``None`` for the first)."""
        complete: FinishReason | None = None
        if (grammar := sequence.grammar) is not None:
            if grammar.failure is not None:
                if accepted is not None:
                    count_round(sequence, len(sequence.proposal), 0)
                self._fail(sequence, _lost(grammar.param, grammar.failure))
                return
            if grammar.complete:
                complete = "length" if grammar.narrowed else "stop"
        try:
            emitted = sequence.output.push(tokens, complete)
        except Exception as error:
            if accepted is not None:
                count_round(sequence, len(sequence.proposal), 0)
            self._fail(sequence, failure(sequence, "its text could not be read", error))
            return
        if accepted is not None:
            # Drafts behind an end were right, and nobody gets them.
            count_round(sequence, len(sequence.proposal), min(accepted, emitted.kept))
        tokens = tokens[: emitted.kept]
        sequence.tokens.extend(tokens)
        sequence.computed = min(sequence.computed, len(sequence.tokens))
        sequence.counts.completion_tokens = sequence.output.generated
        now = time.perf_counter()
        sequence.clock.last_token = now
        if sequence.clock.first_token is None:
            sequence.clock.first_token = now
        if sequence.history is not None:
            sequence.history.extend(tokens)
        note_logits(sequence, raw, tokens)
        self.proposing.learn(sequence, tokens)
        if emitted.finish_reason is not None:
            self._publish([sequence])
            completion = self.finish(sequence, emitted.finish_reason, None)
            self._end(sequence)
            sequence.handle.put(self._delta(sequence, tokens, emitted, completion))
        else:
            sequence.handle.put(self._delta(sequence, tokens, emitted, None))

    def _delta(
        self, sequence: Sequence, tokens: list[int], emitted: Emitted, completion: Completion | None
    ) -> Delta:
        logprobs = sequence.logprobs[-len(tokens) :] if sequence.logprobs and tokens else None
        held, cached = sequence.output.held_tokens, sequence.counts.cached_tokens
        return Delta(tokens, emitted.text, logprobs, completion, emitted.answer, held, cached)

    # -- ends ----------------------------------------------------------------------------------

    def _publish(self, sequences: Iterable[Sequence]) -> None:
        """Leave what is computed in the cache, the drafter's part included."""
        self.context.flush(sequences)
        for sequence in sequences:
            self.memory.publish(sequence)

    def _end(self, sequence: Sequence) -> None:
        self.context.drop(sequence)
        if sequence in self.running:
            self.memory.release(sequence)
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        if sequence.copies is not None:
            sequence.copies.close()

    def _fail(
        self, sequence: Sequence, error: RequestError, reason: FinishReason = "error"
    ) -> None:
        self.finish(sequence, reason, error)
        self._end(sequence)
        sequence.handle.put(error)

    def _too_large(self, sequence: Sequence) -> KVCapacityError:
        return KVCapacityError(
            f"Request {sequence.request.id} needs KV blocks for {len(sequence.tokens) + 1} tokens "
            f"and the whole pool holds {self.memory.capacity}: give the engine a larger kv_tokens "
            "or send a shorter prompt."
        )

    def _note(self, marks: list[float]) -> None:
        times = self.times
        times.turns += 1
        times.admit_s += marks[1] - marks[0]
        times.draft_s += marks[2] - marks[1]
        times.drafter_s += self.proposing.drafting_s + self.context.seconds - self._taking_in_s
        self._taking_in_s = self.context.seconds
        times.plan_s += marks[3] - marks[2]
        times.forward_s += marks[4] - marks[3]
        times.commit_s += marks[5] - marks[4]


def _started(chunks: dict[Sequence, int]) -> list[Sequence]:
    """Whose prompt is computed to its end by these chunks."""
    return [s for s, count in chunks.items() if s.computed + count == len(s.tokens)]


def _lost(param: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{param} could not be followed any further ({problem}): give a simpler schema or pattern.",
        param=param,
    )
