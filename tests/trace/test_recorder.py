"""Writing and reading back: after a kill, on a full disk, from many threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentspark.engine.params import Labels
from agentspark.engine.recording import from_completion
from agentspark.engine.result import Timings
from agentspark.errors import TraceWriteError
from agentspark.trace import Recorder, StepRecord, TraceContext, read_trace

FULL_DISK = Path("/dev/full")
NOW = "2026-11-23T12:00:00Z"


def plain(number: int = 0) -> StepRecord:
    return StepRecord(id=str(number), model="m", started_at=NOW)  # type: ignore[arg-type]


def test_records_come_back_as_written(tmp_path, make_completion):
    written = [from_completion(make_completion(request_id=str(n))) for n in range(3)]
    with Recorder(tmp_path / "deep" / "trace.jsonl") as recorder:
        for record in written:
            recorder.write(record)

    file = read_trace(recorder.path)

    assert [r.model_copy(update={"gap_ms": None}) for r in file.records] == written
    assert file.torn_lines == []


def test_a_record_is_on_the_disk_when_write_returns(tmp_path):
    recorder = Recorder(tmp_path / "trace.jsonl")
    recorder.write(plain())

    assert len(read_trace(recorder.path).records) == 1
    recorder.close()


def test_files_are_appended_to(tmp_path):
    for number in range(2):
        with Recorder(tmp_path / "trace.jsonl") as recorder:
            recorder.write(plain(number))

    assert [record.id for record in read_trace(recorder.path).records] == ["0", "1"]


def test_what_was_written_survives_a_kill(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from agentspark.trace import Recorder, StepRecord\n"
        "recorder = Recorder(sys.argv[1])\n"
        "for n in range(5):\n"
        f"    recorder.write(StepRecord(id=str(n), model='m', started_at='{NOW}'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "trace.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script, str(path)], env=environment, check=False)

    assert done.returncode == -signal.SIGKILL
    assert [record.id for record in read_trace(path).records] == ["0", "1", "2", "3", "4"]


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_file_cut_anywhere_can_be_read_and_continued(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "trace.jsonl"
    with Recorder(path) as recorder:
        for number in range(3):
            recorder.write(plain(number))
    whole = path.read_bytes()
    cut = min(cut, len(whole))
    path.write_bytes(whole[:cut])
    complete = whole[:cut].count(b"\n")
    # Without its newline a line may still be complete JSON, and then it counts.
    rest = whole[:cut].rsplit(b"\n", 1)[-1]
    last_is_whole = bool(rest) and whole[cut : cut + 1] == b"\n"

    file = read_trace(path)
    assert len(file.records) == complete + last_is_whole
    assert len(file.torn_lines) == (bool(rest) and not last_is_whole)

    with Recorder(path) as recorder:
        recorder.write(plain(99))
    continued = read_trace(path)
    assert continued.records[:-1] == file.records
    assert continued.records[-1].id == "99"
    assert continued.torn_lines == file.torn_lines


def test_threads_do_not_mix_their_lines(tmp_path):
    recorder = Recorder(tmp_path / "trace.jsonl")

    def work(first: int) -> None:
        for number in range(first, first + 50):
            recorder.write(plain(number))

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 50, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()

    ids = {int(record.id) for record in read_trace(recorder.path).records}
    assert ids == set(range(150))


@pytest.mark.skipif(not FULL_DISK.exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_told_once_and_counted(caplog):
    with Recorder(FULL_DISK) as recorder:
        with pytest.raises(TraceWriteError, match=r"No space left.*Free some space"):
            recorder.write(plain())
        recorder.write(plain())
        recorder.write(plain())

        assert recorder.lost == 3
        assert caplog.text == ""
    recorder.close()
    (told,) = caplog.messages
    assert told.startswith("/dev/full lacks 3 records that could not be written")


def test_a_disk_that_has_room_again_is_used_again(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path / "trace.jsonl")
    recorder.write(plain(0))
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:20]))
    with pytest.raises(TraceWriteError, match="only a part"):
        recorder.write(plain(1))
    monkeypatch.setattr(os, "write", real)
    recorder.write(plain(2))
    recorder.close()

    file = read_trace(recorder.path)
    assert [record.id for record in file.records] == ["0", "2"]
    assert file.torn_lines == [2]
    assert recorder.lost == 1


@pytest.mark.parametrize("how", ["moved", "deleted", "folder", "replaced"])
def test_a_file_that_goes_away_is_begun_anew(tmp_path, monkeypatch, how):
    path = tmp_path / "folder" / "trace.jsonl"
    monkeypatch.chdir(tmp_path)
    recorders = [Recorder(Path("folder") / "trace.jsonl") for _ in range(2)]
    ledger = recorders[0].ledger
    recorders[0].write(plain(0))
    assert ledger.next_step("run", None, None) == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    kept = path.rename(tmp_path / "kept.jsonl")
    if how == "deleted":
        kept.unlink()
    elif how == "folder":
        path.parent.rmdir()
    elif how == "replaced":
        path.write_text("")
    recorders[0].write(plain(1))
    assert ledger.next_step("run", None, None) == 1
    recorders[1].write(plain(2))
    assert ledger.next_step("run", None, None) == 2
    for recorder in recorders:
        recorder.close()

    assert [record.id for record in read_trace(path).records] == ["1", "2"]
    if how != "deleted":
        assert [record.id for record in read_trace(kept).records] == ["0"]
    assert [recorder.lost for recorder in recorders] == [0, 0]


def test_a_path_that_cannot_be_written_is_found_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceWriteError, match="choose another path"):
        Recorder(tmp_path / "file" / "trace.jsonl")


def test_text_that_is_not_unicode_does_not_break_the_file(tmp_path):
    with Recorder(tmp_path / "trace.jsonl") as recorder:
        with pytest.raises(TraceWriteError, match="Check the labels"):
            recorder.write(plain().model_copy(update={"step_name": "\ud800"}))
        recorder.write(plain(1))

    assert [record.id for record in read_trace(recorder.path).records] == ["1"]


def test_closed_recorder_says_so(tmp_path):
    recorder = Recorder(tmp_path / "trace.jsonl")
    recorder.close()
    recorder.close()
    with pytest.raises(TraceWriteError, match="closed"):
        recorder.write(plain())


def call(make_completion, *, start: float, seconds: float, **labels: str) -> StepRecord:
    return from_completion(
        make_completion(
            labels=Labels(**{"run": "task", "arm": "baseline", **labels}),
            timings=Timings(start, total_s=seconds),
        )
    )


def gaps(tmp_path: Path, records: list[StepRecord]) -> list[float | None]:
    with Recorder(tmp_path / "trace.jsonl") as recorder:
        for record in records:
            recorder.write(record)
    return [record.gap_ms for record in read_trace(recorder.path).records]


def test_gap_is_the_time_since_the_runs_last_call(tmp_path, make_completion):
    records = [
        call(make_completion, start=100.0, seconds=1.0),
        call(make_completion, start=101.25, seconds=1.0),
        call(make_completion, start=500.0, seconds=1.0, run="another"),
        call(make_completion, start=103.0, seconds=1.0),
    ]

    assert gaps(tmp_path, records) == [None, 250.0, None, 750.0]


def test_parallel_calls_have_no_gap_and_the_longest_one_counts(tmp_path, make_completion):
    records = [
        call(make_completion, start=100.0, seconds=5.0),
        call(make_completion, start=101.0, seconds=1.0),
        call(make_completion, start=106.0, seconds=1.0),
    ]

    assert gaps(tmp_path, records) == [None, 0.0, 1000.0]


def test_gap_is_unknown_where_the_other_arm_ran_between(tmp_path, make_completion):
    records = [
        call(make_completion, start=100.0, seconds=1.0),
        call(make_completion, start=102.0, seconds=1.0, arm="accelerated"),
        call(make_completion, start=104.0, seconds=1.0),
        call(make_completion, start=106.0, seconds=1.0),
    ]

    assert gaps(tmp_path, records) == [None, None, None, 1000.0]


def test_repetitions_are_runs_of_their_own(tmp_path, make_completion):
    records = [
        call(make_completion, start=100.0, seconds=1.0, run="task::r1"),
        call(make_completion, start=102.0, seconds=1.0, run="task::r2"),
        call(make_completion, start=104.0, seconds=1.0, run="task::r2"),
    ]

    assert gaps(tmp_path, records) == [None, None, 1000.0]


def test_the_comparisons_file_wins(tmp_path):
    chosen = Recorder.choose(tmp_path / "own.jsonl", TraceContext(trace=tmp_path / "theirs.jsonl"))

    assert chosen is not None
    assert chosen.path == tmp_path / "theirs.jsonl"
    chosen.close()


def test_without_a_comparison_the_caller_decides(tmp_path):
    context = TraceContext()
    with Recorder(tmp_path / "own.jsonl") as own:
        assert Recorder.choose(own, context) is own
    assert Recorder.choose(None, context) is None
