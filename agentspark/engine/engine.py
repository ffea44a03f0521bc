"""The public engine: one model, one KV pool, many requests."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from agentspark.config import EngineConfig
from agentspark.drafting.drafter import Drafter
from agentspark.engine.assembly import assemble
from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.chatting import chat_prompt
from agentspark.engine.events import adelta_stream
from agentspark.engine.handle import Handle
from agentspark.engine.intake import Intake
from agentspark.engine.loop import EngineLoop
from agentspark.engine.params import Labels, RequestOptions, SamplingParams
from agentspark.engine.proposing import DraftWatcher, RoundWatcher
from agentspark.engine.request import Request
from agentspark.engine.result import Completion, Delta, FinishReason
from agentspark.engine.sequence import Sequence
from agentspark.engine.stats import EngineStats
from agentspark.engine.turn import Turn
from agentspark.errors import ConfigError, TraceWriteError
from agentspark.models.target import Target
from agentspark.models.tools.call import said
from agentspark.trace.build import EngineFacts, from_completion
from agentspark.trace.context import TraceContext
from agentspark.trace.environment import Environment, describe_environment
from agentspark.trace.recorder import Recorder

_log = logging.getLogger(__name__)

Prompt = str | Seq[int]
Messages = Seq[Mapping[str, Any]]


class Engine:
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
        self._detail = self._context.detail(trace_tokens)
        # The parts are put together on the loop's thread; see there.
        self._loop = EngineLoop(lambda: self._assemble(model, drafter))
        parts = self._parts
        self.target: Target = parts.target
        self.max_context = parts.max_context
        self.exact = parts.exact
        self.drafter_name = None if parts.drafter is None else parts.drafter.name
        self._facts = EngineFacts(
            exact=parts.exact,
            dtype=self.config.dtype,
            device=str(parts.target.spec.device),
            environment=_environment(parts.target),
        )
        self._intake = Intake(parts, self._context)

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

    # -- one prompt ----------------------------------------------------------------------------

    def submit(self, request: Request) -> Handle:
        """Queue a request. Raises ``InvalidRequestError`` at once for what cannot be served."""
        sequence = self._intake.sequence(
            request, lambda handle: self._loop.cancel(handle.request_id)
        )
        self._loop.submit(sequence)
        return sequence.handle

    def generate(
        self,
        prompt: Prompt,
        sampling: SamplingParams | None = None,
        *,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> Completion:
        """Continue ``prompt`` (text or token ids) and wait for the end.

        Interrupted (``KeyboardInterrupt``), it cancels the request.
        """
        return self._complete(self.submit(self._request(prompt, sampling, options, labels)))

    def stream(
        self,
        prompt: Prompt,
        sampling: SamplingParams | None = None,
        *,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> Iterator[Delta]:
        """Like ``generate``, delta by delta; leaving the iteration cancels the request."""
        return iter(self.submit(self._request(prompt, sampling, options, labels)))

    async def agenerate(
        self,
        prompt: Prompt,
        sampling: SamplingParams | None = None,
        *,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> Completion:
        """``generate`` without blocking the event loop; cancelling the task cancels it."""
        handle = self.submit(self._request(prompt, sampling, options, labels))
        return await self._acomplete(handle)

    def astream(
        self,
        prompt: Prompt,
        sampling: SamplingParams | None = None,
        *,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> AsyncIterator[Delta]:
        """``stream`` for ``async for``."""
        return adelta_stream(self.submit(self._request(prompt, sampling, options, labels)))

    # -- a conversation ------------------------------------------------------------------------

    def chat_request(
        self,
        messages: Messages,
        sampling: SamplingParams | None = None,
        *,
        chat: ChatFormat | None = None,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> Request:
        """The request that answers ``messages`` through the model's chat template.

        ``chat`` says which tools may be called and what the answer must look like. Raises
        ``InvalidRequestError`` for messages that cannot be rendered.
        """
        prompt = chat_prompt(self.target.tokenizer, messages, chat or ChatFormat())
        request = self._request(prompt.token_ids, sampling, options, labels)
        return dataclasses.replace(request, constraint=prompt.constraint, answer=prompt.answer)

    def chat(
        self,
        messages: Messages,
        sampling: SamplingParams | None = None,
        *,
        chat: ChatFormat | None = None,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> Completion:
        """Answer ``messages``; see ``chat_request`` for what can be asked for."""
        request = self.chat_request(messages, sampling, chat=chat, options=options, labels=labels)
        return self._complete(self.submit(request))

    def chat_stream(
        self,
        messages: Messages,
        sampling: SamplingParams | None = None,
        *,
        chat: ChatFormat | None = None,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> Iterator[Delta]:
        """``chat``, delta by delta."""
        request = self.chat_request(messages, sampling, chat=chat, options=options, labels=labels)
        return iter(self.submit(request))

    async def achat(
        self,
        messages: Messages,
        sampling: SamplingParams | None = None,
        *,
        chat: ChatFormat | None = None,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> Completion:
        """``chat`` without blocking the event loop."""
        request = self.chat_request(messages, sampling, chat=chat, options=options, labels=labels)
        return await self._acomplete(self.submit(request))

    def achat_stream(
        self,
        messages: Messages,
        sampling: SamplingParams | None = None,
        *,
        chat: ChatFormat | None = None,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> AsyncIterator[Delta]:
        """``chat_stream`` for ``async for``."""
        request = self.chat_request(messages, sampling, chat=chat, options=options, labels=labels)
        return adelta_stream(self.submit(request))

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

    @property
    def scheduler(self) -> str:
        """Which planner cuts the drafts: ``synchronous`` or ``asynchronous``."""
        return self._parts.turn.proposing.planner_name

    @property
    def drafter(self) -> Drafter | None:
        """The drafter, if there is one; it belongs to the engine's loop."""
        return self._parts.drafter

    @contextmanager
    def watch_drafts(self, watcher: DraftWatcher) -> Iterator[None]:
        """Call ``watcher`` for every round's drafts meanwhile, on the loop's thread."""
        proposing = self._parts.turn.proposing
        proposing.watcher = watcher
        try:
            yield
        finally:
            proposing.watcher = None

    @contextmanager
    def watch_rounds(self, watcher: RoundWatcher) -> Iterator[None]:
        """Call ``watcher`` for what every round verifies meanwhile, on the loop's thread."""
        proposing = self._parts.turn.proposing
        proposing.round_watcher = watcher
        try:
            yield
        finally:
            proposing.round_watcher = None

    def save_costs(self, folder: Path) -> Path:
        """Write what rounds cost on this machine, as measured and observed, into ``folder``."""
        path = folder / "costs.json"
        self._parts.costs.table.save(path, self._parts.costs.key)
        return path

    def close(self) -> None:
        """Cancel what runs, end the loop, close the trace. May be called again."""
        self._loop.close()
        self._parts.turn.runner.close()
        self._parts.costs.save()
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

    def _complete(self, handle: Handle) -> Completion:
        try:
            return handle.result()
        finally:
            handle.cancel()

    async def _acomplete(self, handle: Handle) -> Completion:
        async for delta in adelta_stream(handle):
            if delta.completion is not None:
                return delta.completion
        return handle.result(0)

    def _request(
        self,
        prompt: Prompt,
        sampling: SamplingParams | None,
        options: RequestOptions | None,
        labels: Labels | None,
    ) -> Request:
        ids = self.target.tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
        return Request(
            prompt_token_ids=ids,
            sampling=sampling or SamplingParams(),
            options=options or RequestOptions(),
            labels=labels or Labels(),
        )

    def _finish(
        self, sequence: Sequence, reason: FinishReason, error: BaseException | None
    ) -> Completion:
        """Make the completion, remember its ids for later prompts, write its record."""
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
        )
        self._remember(completion, request)
        if self._recorder is not None:
            self._trace(self._recorder, completion, request, error)
        return completion

    def _remember(self, completion: Completion, request: Request) -> None:
        calls = [(call.name, call.arguments) for call in completion.tool_calls]
        self.target.tokenizer.remember(
            completion.prompt_token_ids,
            completion.token_ids,
            completion.text,
            said(completion.content, calls),
            frozenset() if request.answer is None else request.answer.shown,
        )

    def _trace(
        self,
        recorder: Recorder,
        completion: Completion,
        request: Request,
        error: BaseException | None,
    ) -> None:
        try:
            record = from_completion(
                completion,
                engine=self._facts,
                sampling=request.sampling,
                detail=self._detail,
                error=error,
            )
            recorder.write(record)
        except TraceWriteError as failure:
            # Tracing must never cost a request.
            _log.error("A trace record was lost: %s", failure)


def _environment(target: Target) -> Environment:
    device = target.spec.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return describe_environment(threads=torch.get_num_threads(), accelerator=name)
