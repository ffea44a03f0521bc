"""Trace records as OpenTelemetry spans, in the words of its GenAI conventions.

A run becomes a span ``invoke_agent``, its model calls the spans below it. What has no convention
yet, speculation above all, is called ``agentspark.*``. Ids follow from the records: what is sent
twice is the same spans again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from agentspark.trace.record import StepRecord
from agentspark.trace.runs import run_label

Attributes = dict[str, str | int | float | bool | Sequence[str] | Sequence[int]]

_OWN = (
    "arm", "step", "step_name", "step_kind", "drafter", "gap_ms", "queue_ms", "prefill_ms",
    "decode_ms", "rounds", "draft_tokens", "verified_tokens", "accepted_tokens", "accepted_length",
    "accepted_histogram", "cache_break_position", "prompt_hash", "output_hash",
)  # fmt: skip
_OPTIONS = ("speculation", "verify", "share_prefix", "exact", "dtype", "device")


def spans_of(records: Iterable[StepRecord], *, service: str = "agentspark") -> list[ReadableSpan]:
    """The spans of all records; the calls of one run and arm are one trace.

    ``service`` is the name they are listed under. A call without a run is a trace of its own.
    """
    runs: dict[tuple[str | None, ...], list[StepRecord]] = {}
    for record in records:
        alone = record.id if record.run is None else None
        runs.setdefault((_conversation(record), record.arm, alone), []).append(record)
    spans = _Spans(service)
    for calls in runs.values():
        _write_run(spans, sorted(calls, key=lambda call: call.started_at))
    return spans.written()


class _Spans(IdGenerator):
    """Spans of the past, with given ids."""

    def __init__(self, service: str) -> None:
        self._next, self._kept = SpanContext(1, 1, is_remote=False), InMemorySpanExporter()
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": service}),
            id_generator=self,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self._tracer = provider.get_tracer("agentspark")

    def generate_trace_id(self) -> int:
        """The trace of the span that is being written."""
        return self._next.trace_id

    def generate_span_id(self) -> int:
        """The id of the span that is being written."""
        return self._next.span_id

    def write(
        self,
        name: str,
        place: SpanContext,
        above: SpanContext | None,
        times: tuple[float, float],
        attributes: Attributes,
        status: Status | None = None,
    ) -> None:
        """Write a span from ``times[0]`` to ``times[1]`` (unix seconds) below another one."""
        self._next = place
        start, end = (round(time * 1e9) for time in times)
        context = None if above is None else set_span_in_context(NonRecordingSpan(above))
        span = self._tracer.start_span(name, context, attributes=attributes, start_time=start)
        if status is not None:
            span.set_status(status)
        span.end(end)

    def written(self) -> list[ReadableSpan]:
        """All of them, in the order they were written."""
        return list(self._kept.get_finished_spans())


def _write_run(spans: _Spans, calls: Sequence[StepRecord]) -> None:
    """Write the calls of one run, in the order they started, below a span of the run."""
    first = calls[0]
    trace = _number(f"trace {first.id}", 16)
    root = None
    if first.run is not None:
        root = _place(trace, f"run {first.id}")
        times = first.started_unix, max(_times(call)[1] for call in calls)
        spans.write(f"invoke_agent {first.run}", root, None, times, _run_attributes(first))
    places = {call.id: _place(trace, call.id) for call in calls}
    for call in calls:
        above = places.get(call.parent or "", root)
        error = call.error
        status = None if error is None else Status(StatusCode.ERROR, error.message)
        name = f"chat {call.model}"
        spans.write(name, places[call.id], above, _times(call), _call_attributes(call), status)


def _run_attributes(first: StepRecord) -> Attributes:
    return _known(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": _provider(first),
            "gen_ai.agent.name": first.run,
            "gen_ai.conversation.id": _conversation(first),
            "agentspark.arm": first.arm,
        }
    )


def _call_attributes(call: StepRecord) -> Attributes:
    sampling, cost, error = call.sampling, call.cost, call.error
    return _known(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _provider(call),
            **_address(call.server),
            "gen_ai.request.model": call.model,
            "gen_ai.request.temperature": sampling and sampling.temperature,
            "gen_ai.request.top_p": sampling and sampling.top_p,
            "gen_ai.request.seed": sampling and sampling.seed,
            "gen_ai.request.max_tokens": sampling and sampling.max_tokens,
            "gen_ai.response.id": call.request_id,
            "gen_ai.response.model": call.model,
            "gen_ai.response.finish_reasons": call.finish_reason and [call.finish_reason],
            "gen_ai.response.time_to_first_chunk": call.ttft_ms and call.ttft_ms / 1e3,
            "gen_ai.usage.input_tokens": call.prompt_tokens,
            "gen_ai.usage.cache_read.input_tokens": call.cached_tokens,
            "gen_ai.usage.output_tokens": call.completion_tokens,
            "gen_ai.usage.reasoning.output_tokens": call.reasoning_tokens,
            "gen_ai.conversation.id": _conversation(call),
            "error.type": error and error.type,
            "agentspark.record.id": call.id,
            "agentspark.cost.total": cost and cost.total,
            "agentspark.cost.currency": cost and cost.currency,
            **{f"agentspark.{name}": getattr(call, name) for name in _OWN},
            **{f"agentspark.options.{name}": getattr(call.options, name) for name in _OPTIONS},
        }
    )


def _provider(call: StepRecord) -> str:
    """Who answered, which the convention requires.

    A server that does not say what it is speaks OpenAI's API: the name stands for that, and the
    server's address for the rest.
    """
    return call.answered_by or "openai"


def _address(server: str | None) -> dict[str, object]:
    if server is None:
        return {}
    host, _, port = server.rpartition(":")
    if not port.isdecimal():
        return {"server.address": server}
    return {"server.address": host.strip("[]"), "server.port": int(port)}


def _known(attributes: Mapping[str, object]) -> Attributes:
    """The attributes that have a value: unknown is left out, never zero.

    A number that OTLP has no room for, as a seed may be, is written out.
    """
    return {
        name: str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value
        for name, value in attributes.items()
        if isinstance(value, (str, int, float, list))
    }


def _conversation(record: StepRecord) -> str | None:
    if record.run is None or record.repeat is None:
        return record.run
    return run_label(record.run, record.repeat)


def _times(call: StepRecord) -> tuple[float, float]:
    ended = call.ended_unix
    return call.started_unix, call.started_unix if ended is None else ended


def _place(trace: int, name: str) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(trace, _number(name, 8), is_remote=False, trace_flags=sampled)


def _number(name: str, size: int) -> int:
    """An id of ``size`` bytes that is the same for the same name, and never 0."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:size]) or 1
