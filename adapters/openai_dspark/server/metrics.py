"""What Prometheus can read of the server and its engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentspark.engine.result import Completion

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1)
_TOKENS = ("prompt", "cached", "completion", "draft", "verified", "accepted", "reasoning")


class Meters:
    """Counters and histograms of one server, on a registry of its own.

    Histograms carry OpenTelemetry's names for generative AI servers, dots as underscores.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._http = Counter(
            "agentspark_http_requests", "HTTP requests.", ("route", "status"), registry=registry
        )
        self._http_seconds = Histogram(
            "agentspark_http_request_seconds",
            "Whole HTTP requests, streams included.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._finished = Counter(
            "agentspark_generations", "Ended generations.", ("arm", "finish"), registry=registry
        )
        self._tokens = Counter(
            "agentspark_tokens",
            "Tokens of generations that came to their end, by what became of them.",
            ("arm", "kind"),
            registry=registry,
        )
        self._rounds = Counter(
            "agentspark_rounds", "Target passes after the prefill.", ("arm",), registry=registry
        )
        self._queue = self._seconds("agentspark_queue_seconds", "Waiting for a place.")
        self._first = self._seconds(
            "gen_ai_server_time_to_first_token_seconds", "From submission to the first token."
        )
        self._whole = self._seconds(
            "gen_ai_server_request_duration_seconds", "From submission to the last token."
        )
        self._each = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Mean time of the tokens after the first.",
            ("arm",),
            buckets=_PER_TOKEN,
            registry=registry,
        )

    def _seconds(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, ("arm",), buckets=_SECONDS, registry=self.registry)

    def watch(self, engine: Engine) -> None:
        """Read the engine's state whenever somebody asks."""
        self.registry.register(_EngineGauges(engine))

    def http(self, route: str, status: int, seconds: float) -> None:
        """Count an HTTP request; status 0 means that the client left before there was one."""
        self._http.labels(route, str(status or 499)).inc()
        self._http_seconds.labels(route).observe(seconds)

    def finished(self, completion: Completion) -> None:
        """Count a generation that ran to its end."""
        arm = completion.labels.arm or "none"
        counts, timings = completion.counts, completion.timings
        self._finished.labels(arm, completion.finish_reason).inc()
        for kind in _TOKENS:
            self._tokens.labels(arm, kind).inc(getattr(counts, f"{kind}_tokens") or 0)
        self._rounds.labels(arm).inc(counts.rounds)
        pairs = (
            (self._queue, timings.queue_s),
            (self._first, timings.ttft_s),
            (self._whole, timings.total_s),
        )
        for histogram, seconds in pairs:
            if seconds is not None:
                histogram.labels(arm).observe(seconds)
        if timings.decode_s is not None and counts.completion_tokens > 1:
            self._each.labels(arm).observe(timings.decode_s / (counts.completion_tokens - 1))

    def failed(self, arm: str | None, how: str) -> None:
        """Count one that did not reach its end: ``cancelled``, ``deadline`` or ``error``."""
        self._finished.labels(arm or "none", how).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _EngineGauges(Collector):
    """The engine's queue and memory at the moment of asking."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """The gauges with their values now."""
        stats = self._engine.stats()
        values = {
            "running": (stats.running, "Sequences being computed."),
            "waiting": (stats.waiting, "Sequences waiting for a place."),
            "kv_blocks": (stats.total_blocks, "KV blocks of the pool."),
            "kv_blocks_used": (stats.used_blocks, "KV blocks in use or cached."),
            "kv_blocks_cached": (stats.cached_blocks, "KV blocks kept for later requests."),
        }
        for name, (value, text) in values.items():
            yield GaugeMetricFamily(f"agentspark_{name}", text, value)
