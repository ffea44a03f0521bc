"""The public engine: one model, one KV pool, many requests."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import torch

from agentspark.config import EngineConfig
from agentspark.drafting.drafter import Drafter
from agentspark.engine.assembly import assemble
from agentspark.engine.calls import Calls
from agentspark.engine.handle import Handle
from agentspark.engine.intake import Intake
from agentspark.engine.loop import EngineLoop
from agentspark.engine.precision import dtype_of
from agentspark.engine.proposing import DraftWatcher, RoundWatcher
from agentspark.engine.recording import from_completion
from agentspark.engine.request import Request
from agentspark.engine.result import Completion, FinishReason
from agentspark.engine.sequence import Sequence
from agentspark.engine.stats import EngineStats
from agentspark.engine.turn import Turn
from agentspark.errors import ConfigError, TraceWriteError
from agentspark.models.target import Target
from agentspark.models.tools.call import said
from agentspark.trace.context import TraceContext
from agentspark.trace.environment import Environment, describe_environment
from agentspark.trace.facts import EngineFacts
from agentspark.trace.recorder import Recorder

_log = logging.getLogger(__name__)

Watcher = TypeVar("Watcher", DraftWatcher, RoundWatcher)


class Engine(Calls):
    """Generates text with a target and its drafter, sharing prefixes over all calls.

    ``exact`` says whether exact mode is on and was found to hold on this device; ``max_context``
    is the most tokens of prompt and output together.

    Thread-safe. Use it as a context manager, or call ``close``: what still runs is then cancelled.
    Every call comes in a blocking, a streaming and an asynchronous form, all over ``submit``.
    """

    def __init__(
        self,
        model: str | Path = "smollm2",
        *,
        drafter: str | Path | None = "auto",
        config: EngineConfig | None = None,
        trace: Recorder | str | Path | None = None,
        trace_tokens: bool = False,
    ) -> None:
        """See ``load``."""
        self.config = config or EngineConfig()
        self._context = TraceContext.from_environment()
        self._recorder = Recorder.choose(trace, self._context)
        if trace_tokens and self._recorder is None:
            raise ConfigError("trace_tokens needs a trace to write to: give trace as well.")
        # The parts are put together on the loop's thread; see there.
        self._loop = EngineLoop(lambda: self._assemble(model, drafter))
        parts = self._parts
        self.target: Target = parts.target
        self.max_context = parts.max_context
        self.exact = parts.exact
        self.dtype = dtype_of(self.config)
        self.drafter_name = None if parts.drafter is None else parts.drafter.name
        self._facts = EngineFacts(
            exact=parts.exact,
            dtype=self.dtype,
            device=str(parts.target.spec.device),
            environment=_environment(parts.target),
        )
        self._detail = self._context.detail(trace_tokens, exact=parts.exact)
        self._intake = Intake(
            parts,
            self._context,
            margins=self._recorder is not None and self._detail.output_margins,
            rounds=self.config.round_counts,
        )

    def _assemble(self, model: str | Path, drafter: str | Path | None) -> Turn:
        self._parts = assemble(model, drafter, self.config, self._finish)
        return self._parts.turn

    @classmethod
    def load(
        cls,
        model: str | Path = "smollm2",
        *,
        drafter: str | Path | None = "auto",
        config: EngineConfig | None = None,
        trace: Recorder | str | Path | None = None,
        trace_tokens: bool = False,
    ) -> Engine:
        """Load a target (an embedded name, a hub id, a folder or a GGUF file) and its drafter.

        ``drafter``: ``auto`` for the one shipped for exactly this target, a checkpoint folder, or
        ``None``. ``trace``: where every call's record goes. ``trace_tokens``: records carry the
        token ids of prompts and outputs as well, from which the texts can be read back: treat
        such a file as you treat the prompts. Raises ``ModelError``, ``DrafterError``,
        ``ConfigError`` or ``TraceWriteError``.
        """
        return cls(model, drafter=drafter, config=config, trace=trace, trace_tokens=trace_tokens)

    def submit(self, request: Request) -> Handle:
        """Queue a request. Raises ``InvalidRequestError`` at once for what cannot be served.

        ``EngineClosedError`` after ``close``, and in a forked child, which has to load its own.
        """
        sequence = self._intake.sequence(request, self._loop.cancel)
        self._loop.submit(sequence)
        return sequence.handle

    # -- the engine itself ---------------------------------------------------------------------

    def stats(self) -> EngineStats:
        """What the engine is doing and how its memory is used, now."""
        turn, store = self._parts.turn, self._parts.store
        pool, cache = turn.memory.pool, turn.memory.cache
        per_block = store.bytes_per_token * pool.block_tokens
        return EngineStats(
            running=len(turn.running),
            waiting=len(turn.waiting),
            total_blocks=pool.num_blocks,
            used_blocks=pool.used_blocks,
            cached_blocks=cache.cached_blocks,
            block_tokens=pool.block_tokens,
            kv_bytes_used=pool.used_blocks * per_block,
            kv_bytes_total=pool.num_blocks * per_block,
            times=dataclasses.replace(turn.times),
        )

    @property
    def alive(self) -> bool:
        """Whether the engine takes requests: it is not closed and its loop has not died."""
        return self._loop.alive

    def round_seconds(self, rows: int) -> float:
        """What the scheduler takes a round with a forward of ``rows`` tokens to cost, in seconds.

        Without drafting; measured at load or in an earlier run, and corrected by every round.
        """
        return self._parts.costs.table.seconds(rows)

    @property
    def fingerprint(self) -> str:
        """A short hash of the target's weights; drafters and training data are made for them."""
        return self._parts.fingerprint

    @property
    def trace_mark(self) -> str | None:
        """``Recorder.mark`` of the file that calls are recorded in; ``None`` for no file."""
        return None if self._recorder is None else self._recorder.mark

    @property
    def drafter(self) -> Drafter | None:
        """The drafter, if there is one; it belongs to the engine's loop."""
        return self._parts.drafter

    def watch_drafts(self, watcher: DraftWatcher) -> AbstractContextManager[None]:
        """Call ``watcher`` for every round's drafts meanwhile, on the loop's thread."""
        return _among(self._parts.turn.proposing.draft_watchers, watcher)

    def watch_rounds(self, watcher: RoundWatcher) -> AbstractContextManager[None]:
        """Call ``watcher`` for what every round verifies meanwhile, on the loop's thread."""
        return _among(self._parts.turn.proposing.round_watchers, watcher)

    def save_costs(self, folder: Path) -> Path:
        """Write what rounds cost on this machine, as measured and observed, into ``folder``."""
        path = folder / "costs.json"
        self._parts.costs.table.save(path, self._parts.costs.key)
        return path

    def close(self) -> None:
        """Cancel what runs, end the loop, close the trace, free the memory. May be called again.

        A forked child has nothing to close: all of it is its parent's.
        """
        if self._loop.left_behind:
            return
        self._loop.close()
        self._parts.costs.save()
        self._parts.release()
        if self._recorder is not None:
            self._recorder.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _finish(
        self, sequence: Sequence, reason: FinishReason, error: BaseException | None
    ) -> Completion:
        """Make the completion, remember its ids for later prompts, write its record."""
        sequence.accounted = True
        request = sequence.request
        prompt = sequence.tokens[: sequence.counts.prompt_tokens]
        reader = sequence.output.reader
        if reader is not None and reader.reasons:
            sequence.counts.reasoning_tokens = reader.reasoning_tokens
        completion = Completion(
            request_id=request.id,
            model=self.target.name,
            drafter=self.drafter_name if sequence.uses_drafter else None,
            prompt_token_ids=prompt,
            token_ids=sequence.generated_ids,
            text=sequence.output.text,
            finish_reason=reason,
            counts=sequence.counts,
            timings=sequence.clock.timings(),
            logprobs=sequence.logprobs,
            labels=request.labels,
            options=request.options,
            answer=None if reader is None else reader.answer,
            cut_tokens=sequence.output.held_tokens,
            stop_string=sequence.output.stopped_by,
        )
        self._remember(completion, request)
        if self._recorder is not None:
            self._trace(self._recorder, completion, sequence, error)
        return completion

    def _remember(self, completion: Completion, request: Request) -> None:
        """Keep what was generated for the next step; a cut call may come back with it or not."""
        cut = completion.unfinished_call
        whole = [(call.name, call.arguments) for call in completion.tool_calls]
        for calls in [whole] if cut is None else [whole, [*whole, (cut.name, cut.arguments)]]:
            self.target.tokenizer.remember(
                completion.prompt_token_ids,
                completion.token_ids,
                completion.text,
                said(completion.content, calls),
                frozenset() if request.answer is None else request.answer.shown,
                reasoning=completion.reasoning,
                salt=request.options.cache_salt,
            )

    def _trace(
        self,
        recorder: Recorder,
        completion: Completion,
        sequence: Sequence,
        error: BaseException | None,
    ) -> None:
        try:
            record = from_completion(
                completion,
                engine=self._facts,
                sampling=sequence.sampling,
                margins=sequence.margins,
                detail=self._detail,
                error=error,
            )
            recorder.write(record)
        except TraceWriteError as failure:
            # Tracing must never cost a request.
            _log.error("A trace record was lost: %s", failure)


@contextmanager
def _among(watchers: list[Watcher], watcher: Watcher) -> Iterator[None]:
    watchers.append(watcher)
    try:
        yield
    finally:
        watchers.remove(watcher)


def _environment(target: Target) -> Environment:
    device = target.spec.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return describe_environment(threads=torch.get_num_threads(), accelerator=name)
