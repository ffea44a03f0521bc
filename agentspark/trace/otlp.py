"""Sending spans to an OpenTelemetry collector, by OTLP over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from agentspark.errors import SpanExportError

# As many as OpenTelemetry's own batches have.
_BATCH = 512


def send(spans: Sequence[ReadableSpan], endpoint: str | None = None) -> None:
    """Send all spans, in batches.

    ``endpoint`` is the whole URL, such as ``http://localhost:4318/v1/traces``; ``None`` leaves it
    to OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` and others), as are headers,
    certificates and time limits. Raises ``SpanExportError`` for the first batch that is not taken.
    """
    exporter = trace_exporter.OTLPSpanExporter(endpoint)
    try:
        for start in range(0, len(spans), _BATCH):
            with _told() as said:
                result = exporter.export(spans[start : start + _BATCH])
            if result is not SpanExportResult.SUCCESS:
                why = f": {said[-1]}" if said else ""
                raise SpanExportError(
                    f"{start} of {len(spans)} spans were sent, then {exporter._endpoint} took no "
                    f"more{why}. Start a collector there, or give the address of one; spans that "
                    "are sent again are the same ones."
                )
    finally:
        exporter.shutdown()


@contextmanager
def _told() -> Iterator[list[str]]:
    """What the exporter logs meanwhile: it returns no reasons."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log, handler = logging.getLogger(trace_exporter.__name__), Keep()
    passed_on, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)
        log.propagate = passed_on
