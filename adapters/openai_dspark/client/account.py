"""The account of one call: what came when, and the trace record of it in the end."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from agentspark.engine.params import Labels
from agentspark.errors import TraceWriteError
from agentspark.trace.record import ARMS, Failure, Options, Sampling, StepRecord
from agentspark.trace.runs import split_run
from openai_dspark.client.figures import draft_counts, server_figures, server_times, token_counts
from openai_dspark.client.llama_cpp import Timings, timings_of
from openai_dspark.client.opening import brings
from openai_dspark.client.order import Order
from openai_dspark.client.said import Said, output_hash, prompt_hash
from openai_dspark.client.server import Server
from openai_dspark.wire.chat_chunk import ChatChunk
from openai_dspark.wire.chat_reply import ChatCompletion
from openai_dspark.wire.completion_reply import TextCompletion
from openai_dspark.wire.metrics import Metrics
from openai_dspark.wire.usage import Usage

Generated = ChatChunk | ChatCompletion | TextCompletion

# As chats, completions and responses call it.
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_LEFT = (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt)


class Account:
    """Takes in a call's replies as they come; times are those at which the caller takes them."""

    def __init__(self, order: Order) -> None:
        self.labels = order.labels or Labels()
        self.server: Server | None = None
        self._order = order
        self._started_at = datetime.now(UTC)
        self._began = self._last = time.perf_counter()
        self._first: float | None = None
        self._said: dict[int, Said] = defaultdict(Said)
        self._head: Generated | None = None
        self._finish: str | None = None
        # Servers send them with any chunk, some with several.
        self._usage: Usage | None = None
        self._metrics: Metrics | None = None
        self._timings: Timings | None = None

    def add(self, reply: Generated) -> None:
        """Take in the answer, or what is new in it."""
        self._last = time.perf_counter()
        self._head = self._head or reply
        self._usage, self._metrics = reply.usage or self._usage, reply.metrics or self._metrics
        self._timings = timings_of(reply) or self._timings
        for choice in reply.choices:
            self._said[choice.index].add(choice)
            self._finish = self._finish or choice.finish_reason
        if isinstance(reply, ChatCompletion) or not self._order.streamed:
            return  # it comes whole: when its first token did is the server's to say
        if brings(reply):
            self.begin()

    def begin(self) -> None:
        """A part of the answer is there, perhaps the first."""
        self._last = time.perf_counter()
        if self._first is None:
            self._first = self._last

    def record(self, error: BaseException | None) -> StepRecord:
        """The record of the call, which ended now; with ``error`` if it failed or was left.

        ``TraceWriteError`` where something the server said is not what a record can hold.
        """
        if isinstance(error, GeneratorExit) and self._finish and self._usage:
            error = None  # whoever has it all need not ask for the end
        try:
            return self._record(error)
        except (ValueError, RecursionError) as problem:
            raise TraceWriteError(
                f"The record of a call cannot be made: {problem}. The call is not affected."
            ) from problem

    def _record(self, error: BaseException | None) -> StepRecord:
        body = json.loads(self._order.body or b"{}")
        # Of several choices each has its own.
        timings = self._timings if len(self._said) < 2 else None
        own, model = server_figures(self._metrics), str(body.get("model", ""))
        for arm in ARMS:  # "smollm2:baseline" is smollm2
            model = model.removesuffix(f":{arm}")
        return StepRecord(
            id=uuid.uuid4().hex,
            request_id=None if self._head is None else self._head.id,
            **_place(self.labels, own.run, own.step, own.arm),
            model=model,
            provider=self._provider(timings),
            server=None if self.server is None else self.server.address,
            drafter=own.drafter,
            options=self._options(body),
            sampling=_sampling(body),
            started_at=self._started_at,
            **self._times(timings),
            **token_counts(self._usage, timings),
            **draft_counts(self._metrics, self._usage, len(self._said), timings),
            finish_reason=self._finish if error is None else _ending(error),
            prompt_hash=prompt_hash(self._order.body or b"{}"),
            output_hash=output_hash(self._said),
            error=None if error is None else _failure(error),
        )

    def _provider(self, timings: Timings | None) -> str | None:
        """Who answered, by what it alone says where it does not say its name."""
        if self._metrics is not None and self._metrics.agentspark is not None:
            return "agentspark"
        named = None if self.server is None else self.server.provider(self._head)
        if named is None and timings is not None:
            return "llama_cpp"
        return named

    def _options(self, body: dict[str, Any]) -> Options:
        """As the server obeyed them: agentspark's tells its arm, of others nothing is known."""
        if self._metrics is None or (own := self._metrics.agentspark) is None:
            return Options()
        fast, asked = own.arm != "baseline", body.get("agentspark") or {}
        usual = {"speculation": "auto" if fast else "off", "verify": "auto", "share_prefix": fast}
        return Options(**{name: asked.get(name, value) for name, value in usual.items()})

    def _times(self, timings: Timings | None) -> dict[str, Any]:
        """Milliseconds; of an answer that came whole, what the server says of the first token."""
        times, first = server_times(self._metrics, timings), self._first
        if first is not None:
            times["ttft_ms"] = _millis(first - self._began)
            times["decode_ms"] = _millis(self._last - first)
        return {**times, "total_ms": _millis(time.perf_counter() - self._began)}


def _place(labels: Labels, run: str | None, step: int | None, arm: str | None) -> dict[str, Any]:
    """Where the call stands: as the caller says it, else as the server found out."""
    if labels.run is None:
        name, repeat = split_run(run)
        number = step if labels.step is None else labels.step
    else:
        (name, repeat), number = split_run(labels.run), labels.step
    return {
        "run": name,
        "repeat": repeat,
        "step": number,
        "step_name": labels.step_name,
        "step_kind": labels.step_kind,
        "parent": labels.parent,
        "arm": labels.arm or arm,
    }


def _sampling(body: dict[str, Any]) -> Sampling:
    most = next((body[name] for name in _LIMITS if body.get(name) is not None), None)
    return Sampling(
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        seed=body.get("seed"),
        max_tokens=most,
    )


def _ending(error: BaseException) -> str:
    return "cancelled" if isinstance(error, _LEFT) else "error"


def _failure(error: BaseException) -> Failure:
    if isinstance(error, _LEFT):
        return Failure(type="RequestCancelledError", message="The caller left before the end.")
    return Failure(type=type(error).__name__, message=str(error))


def _millis(seconds: float) -> float:
    return round(seconds * 1e3, 3)
