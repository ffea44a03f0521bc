"""Several engines of one process that write one file: their calls are steps of the same runs."""

from __future__ import annotations

from agentspark.engine.params import Labels
from agentspark.engine.recording import from_completion
from agentspark.engine.result import Timings
from agentspark.trace import Recorder, TraceContext, read_trace


def test_engines_that_write_one_file_number_their_calls_together(tmp_path):
    contexts = [TraceContext(trace=tmp_path / "t.jsonl", run="agent") for _ in range(2)]
    recorders = [Recorder.choose(None, context) for context in contexts]

    steps = [contexts[turn % 2].place().step for turn in range(4)]

    assert steps == [1, 2, 3, 4]
    assert all(recorder is not None for recorder in recorders)


def test_an_engine_that_comes_after_another_goes_on_with_its_numbers(
    tmp_path, make_completion, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    steps = []
    for path in (tmp_path / "t.jsonl", "t.jsonl"):
        context = TraceContext()
        recorder = Recorder.choose(path, context)
        assert recorder is not None
        labels = Labels(**context.place(run="agent")._asdict())
        recorder.write(from_completion(make_completion(labels=labels)))
        recorder.close()
        steps.append(labels.step)

    assert steps == [1, 2]


def test_files_and_engines_without_one_number_for_themselves(tmp_path):
    steps = []
    for path in (tmp_path / "a.jsonl", tmp_path / "b.jsonl", None, None):
        context = TraceContext()
        Recorder.choose(path, context)
        steps.append(context.place(run="agent").step)

    assert steps == [1, 1, 1, 1]


def test_the_gap_is_that_since_the_runs_last_call_on_any_engine(tmp_path, make_completion):
    recorders = [Recorder(tmp_path / "t.jsonl") for _ in range(2)]
    for turn, start in enumerate((100.0, 101.5, 103.0)):
        labels = Labels(run="agent", step=turn + 1)
        timings = Timings(start, total_s=1.0)
        record = from_completion(make_completion(labels=labels, timings=timings))
        recorders[turn % 2].write(record)

    assert [r.gap_ms for r in read_trace(tmp_path / "t.jsonl").records] == [None, 500.0, 500.0]


def test_a_file_that_was_replaced_begins_anew(tmp_path, make_completion):
    path, steps = tmp_path / "t.jsonl", []
    for start in (100.0, 900.0):
        path.unlink(missing_ok=True)
        context = TraceContext()
        recorder = Recorder.choose(path, context)
        assert recorder is not None
        labels = Labels(**context.place(run="agent")._asdict())
        timings = Timings(start, total_s=1.0)
        recorder.write(from_completion(make_completion(labels=labels, timings=timings)))
        recorder.close()
        steps.append(labels.step)

    assert steps == [1, 1]
    assert read_trace(path).records[0].gap_ms is None
