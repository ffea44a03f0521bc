"""Trace records as OpenTelemetry spans, sent to a collector that reads what it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan

from agentspark.cli.main import run
from agentspark.errors import SpanExportError
from agentspark.trace import StepRecord
from agentspark.trace.environment import Environment
from agentspark.trace.otlp import send
from agentspark.trace.record import Failure, Options, Sampling
from agentspark.trace.spans import spans_of

NOW = "2026-11-23T12:00:0{}Z"


def call(number: int, run: str | None = "tidy", **more: object) -> StepRecord:
    """Call ``number`` of a run, which starts at second ``number`` and takes half of one."""
    fields = {
        "id": f"{run}-{more.get('arm')}-{number}", "run": run, "step": number, "model": "smollm2",
        "started_at": NOW.format(number), "total_ms": 500.0, **more,
    }  # fmt: skip
    return StepRecord.model_validate(fields)


def ids(spans: list[ReadableSpan]) -> list[tuple[int, int, int | None]]:
    return [
        (span.context.trace_id, span.context.span_id, span.parent and span.parent.span_id)
        for span in spans
    ]


def test_a_run_is_one_trace_whose_calls_lie_below_it() -> None:
    spans = spans_of([call(2), call(1), call(3, parent="tidy-None-2")])
    root, first, second, third = spans
    assert [span.name for span in spans] == ["invoke_agent tidy", *["chat smollm2"] * 3]
    assert len({span.context.trace_id for span in spans}) == 1
    assert len({span.context.span_id for span in spans}) == 4
    assert root.parent is None
    assert first.parent.span_id == second.parent.span_id == root.context.span_id
    assert third.parent.span_id == second.context.span_id
    assert (root.start_time, root.end_time) == (first.start_time, third.end_time)
    assert first.end_time - first.start_time == 500_000_000
    assert [span.attributes["agentspark.step"] for span in spans[1:]] == [1, 2, 3]


def test_arms_repeats_and_calls_without_a_run_are_traces_of_their_own() -> None:
    records = [
        call(1, arm="baseline"), call(1, arm="accelerated"), call(2, arm="baseline"),
        call(3, arm="baseline", repeat=2), call(1, run=None, id="a"), call(2, run=None, id="b"),
    ]  # fmt: skip
    spans = spans_of(records)
    assert len({span.context.trace_id for span in spans}) == 5
    assert len(spans) == len(records) + 3
    labels = [span.attributes.get("gen_ai.conversation.id") for span in spans]
    assert labels == ["tidy"] * 5 + ["tidy::r2"] * 2 + [None] * 2


def test_the_same_records_are_the_same_spans_also_when_the_file_has_grown() -> None:
    records = [call(1), call(2)]
    assert ids(spans_of(records)) == ids(spans_of(records))
    assert ids(spans_of([*records, call(3)]))[:3] == ids(spans_of(records))


def test_attributes_are_those_of_the_convention_and_unknown_ones_are_left_out() -> None:
    record = call(
        1, request_id="r", arm="accelerated", finish_reason="stop", ttft_ms=250.0,
        prompt_tokens=10, cached_tokens=0, completion_tokens=9, reasoning_tokens=5, rounds=4,
        accepted_tokens=4, accepted_histogram=[1, 2, 1], drafter="d",
        options=Options(verify="auto", exact=True),
        sampling=Sampling(temperature=0.0, top_p=1.0, seed=None, max_tokens=16),
    )  # fmt: skip
    found = dict(spans_of([record])[1].attributes)
    assert found.pop("agentspark.accepted_histogram") == (1, 2, 1)
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "agentspark",
        "gen_ai.request.model": "smollm2",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 16,
        "gen_ai.response.id": "r",
        "gen_ai.response.model": "smollm2",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "gen_ai.conversation.id": "tidy",
        "agentspark.record.id": "tidy-accelerated-1",
        "agentspark.arm": "accelerated",
        "agentspark.step": 1,
        "agentspark.drafter": "d",
        "agentspark.rounds": 4,
        "agentspark.accepted_tokens": 4,
        "agentspark.accepted_length": 2.0,
        "agentspark.options.verify": "auto",
        "agentspark.options.exact": True,
    }


def test_other_servers_calls_have_their_own_providers() -> None:
    named = call(1, provider="vllm", server="127.0.0.1:8001", arm="accelerated")
    v6 = call(2, provider="azure.ai.openai", server="[::1]:443", arm="accelerated")
    unnamed = call(3, server="there", arm="accelerated")
    own = call(4, arm="accelerated", environment=Environment(python="3", system="Linux"))
    root, *spans = spans_of([named, v6, unnamed, own])
    assert root.attributes["gen_ai.provider.name"] == "vllm"
    names = ("gen_ai.provider.name", "server.address", "server.port")
    assert [tuple(span.attributes.get(name) for name in names) for span in spans] == [
        ("vllm", "127.0.0.1", 8001),
        ("azure.ai.openai", "::1", 443),
        ("openai", "there", None),  # the API that it speaks
        ("agentspark", None, None),
    ]


def test_a_seed_of_any_size_is_sent(
    collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (2**63 - 1, 2**64 - 1):
        sampling = Sampling(temperature=1.0, top_p=1.0, seed=seed, max_tokens=16)
        send(spans_of([call(1, run=None, id="a", sampling=sampling)]), collector.url)
    sent = [request.resource_spans[0].scope_spans[0].spans[0] for request in collector.requests]
    small, large = (
        next(pair.value for pair in span.attributes if pair.key == "gen_ai.request.seed")
        for span in sent
    )
    assert (small.int_value, large.string_value) == (2**63 - 1, str(2**64 - 1))
    assert capsys.readouterr().err == ""


def test_a_failed_call_is_an_error_of_no_length() -> None:
    failed = call(1, total_ms=None, error=Failure(type="KVCapacityError", message="too long"))
    root, span = spans_of([failed])
    assert (span.status.is_ok, span.status.description) == (False, "too long")
    assert span.attributes["error.type"] == "KVCapacityError"
    assert span.start_time == span.end_time == root.end_time
    assert root.status.is_ok


class Collector(HTTPServer):
    """Keeps the spans it is sent, answers with ``code``."""

    def __init__(self) -> None:
        self.code, self.requests = 200, list[ExportTraceServiceRequest]()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1/traces"


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(self.server.code)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"".join(call(number).to_json_line() for number in (1, 2)))
    return path


def test_the_command_sends_files(
    collector: Collector, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["spans", str(trace), "--endpoint", collector.url, "--service", "bank"]) == 0
    assert "Sent 3 spans of 2 calls." in capsys.readouterr().err
    [request] = collector.requests
    [group] = request.resource_spans
    service = {pair.key: pair.value.string_value for pair in group.resource.attributes}
    assert service["service.name"] == "bank"
    names = [span.name for scope in group.scope_spans for span in scope.spans]
    assert names == ["invoke_agent tidy", "chat smollm2", "chat smollm2"]


def test_runs_of_several_files_stay_apart_though_they_have_one_name(
    collector: Collector, trace: Path
) -> None:
    other = trace.with_name("other.jsonl")
    other.write_bytes(b"".join(call(n, id=f"other-{n}").to_json_line() for n in (1, 2)))
    for files in ([trace, other], [other, trace], [other]):
        assert run(["spans", *map(str, files), "--endpoint", collector.url]) == 0
    sent = [
        {span.trace_id: span.name for span in request.resource_spans[0].scope_spans[0].spans}
        for request in collector.requests
    ]
    assert [len(traces) for traces in sent] == [2, 2, 1]
    assert sent[0].keys() == sent[1].keys() > sent[2].keys()


def test_a_call_that_is_given_twice_is_sent_once_and_what_is_lost_is_told(
    collector: Collector, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = trace.with_name("copy.jsonl")
    copy.write_bytes(trace.read_bytes() * 2 + b'{"schema_version":1,"id"')
    assert run(["spans", str(trace), str(copy), "--endpoint", collector.url]) == 0
    said = capsys.readouterr().err
    assert "Sent 3 spans of 2 calls." in said
    assert "copy.jsonl has 1 line cut short" in said


def test_files_without_calls_send_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert run(["spans", str(tmp_path / "empty.jsonl"), "--endpoint", "http://127.0.0.1:9"]) == 0
    assert "The files hold no calls" in capsys.readouterr().err


def test_many_spans_go_in_batches(collector: Collector) -> None:
    send(spans_of(call(1, id=str(n)) for n in range(600)), collector.url)
    assert len(collector.requests) == 2


def test_what_a_collector_says_no_to_is_told(
    collector: Collector, trace: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    collector.code = 401
    with pytest.raises(SpanExportError, match=r"0 of 3 spans were sent, then http://127.* 401"):
        send(spans_of([call(1), call(2)]), collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.removesuffix("/v1/traces"))
    assert run(["spans", str(trace)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "Traceback" not in said
    assert len(collector.requests) == 2


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(json.dumps({"a": 1}))
    assert run(["spans", str(path)]) == 1


def test_a_missing_package_is_named(
    trace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: Callable[[str], object] = lambda name: None  # noqa: E731
    monkeypatch.setattr("agentspark.cli.extras.find_spec", found)
    assert run(["spans", str(trace)]) == 1
    assert "pip install 'agentspark[otel]'" in capsys.readouterr().err
