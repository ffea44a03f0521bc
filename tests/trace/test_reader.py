"""Reading trace files: what is forgiven, and what is refused."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from agentspark.errors import TraceError, TraceFormatError
from agentspark.trace import Recorder, StepRecord, read_trace

NOW = "2026-11-23T12:00:00Z"


def line(**fields: object) -> str:
    record = StepRecord.model_validate({"id": "0", "model": "m", "started_at": NOW})
    return json.dumps({**json.loads(record.to_json_line()), **fields}) + "\n"


def test_fields_of_a_later_version_are_skipped(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(line(mood="good", options={"speculation": "auto", "turbo": 11}))

    record = read_trace(path).records[0]

    assert record.options.speculation == "auto"
    assert not hasattr(record, "mood")


def test_fields_that_do_not_exist_cannot_be_written():
    with pytest.raises(ValueError, match="mood"):
        StepRecord.model_validate({"id": "1", "model": "m", "started_at": NOW, "mood": "good"})


def test_a_file_takes_no_more_memory_than_its_records(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text((" " * 300_000 + "\r\n" + line()) * 20)
    tracemalloc.start()
    try:
        assert len(read_trace(path).records) == 20
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kept", ["", '{"schema_ver', line()[:-1]])
def test_nul_bytes_of_a_power_cut_are_a_torn_line(tmp_path, kept):
    path = tmp_path / "trace.jsonl"
    path.write_text(line() + kept + "\0" * 50)

    file = read_trace(path)
    assert (len(file.records), file.torn_lines) == (2 if kept == line()[:-1] else 1, [2])

    with Recorder(path) as recorder:
        recorder.write(file.records[0])
    continued = read_trace(path)
    assert (len(continued.records), continued.torn_lines) == (len(file.records) + 1, [2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line(schema_version=9), "line 2 has schema version 9; this agentspark reads 1. Upgrade"),
        ('{"id": "x"}\n', "line 2 is no trace record"),
        ("[1, 2]\n", "line 2 is no trace record"),
        ("some notes of mine\n", "line 2 is not JSON"),
        (line(prompt_tokens=-1), "line 2 is a damaged record: prompt_tokens"),
        (line(started_at="2026-11-23T12:00:00"), "line 2 is a damaged record: started_at"),
        (line(started_at="9999-12-31T23:59:59Z"), "line 2 is a damaged record: started_at"),
        (line(total_ms=1e300), "line 2 is a damaged record: total_ms"),
        (line(prompt_tokens=10**400), "line 2 is a damaged record: prompt_tokens"),
        (line(cost={"currency": "EUR", "total": 1e308}), "damaged record: cost.total"),
        (line(schema_version=[]), r"line 2 has schema version \[\]; this agentspark reads 1"),
        (line(schema_version=True), "line 2 has schema version True"),
        (line(mood="?").replace('"?"', "[" * 20_000 + "]" * 20_000), "line 2 is nested too deep"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, text, message):
    path = tmp_path / "trace.jsonl"
    path.write_text(line() + text)
    with pytest.raises(TraceFormatError, match=message):
        read_trace(path)


def test_missing_file(tmp_path):
    with pytest.raises(TraceError, match=r"cannot be read.*Check the path"):
        read_trace(tmp_path / "none.jsonl")
