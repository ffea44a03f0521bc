"""What training takes from traces, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agentspark.engine.params import Labels
from agentspark.engine.recording import from_completion
from agentspark.engine.result import Completion, Counts, Timings
from agentspark.errors import DataError, TraceFormatError
from agentspark.sampling.params import SamplingParams
from agentspark.trace import Detail, Recorder, StepRecord
from agentspark.train.traces import HELD_OUT_SHARE, read_trace_steps


def record(
    step: int,
    *,
    run: str | None = "task",
    prompt: Sequence[int] | None = None,
    output: Sequence[int] = (7, 8, 9),
    tokens: bool = True,
    temperature: float = 0.0,
    **changed: str,
) -> StepRecord:
    ids = [1, 2, step] if prompt is None else list(prompt)
    done = Completion(
        request_id="r", model=changed.get("model", "m"), drafter=None, prompt_token_ids=ids,
        token_ids=list(output), text="", finish_reason=changed.get("finish", "stop"),  # type: ignore[arg-type]
        counts=Counts(len(ids), 0, len(output), 1), timings=Timings(1.0, 0.0, 0.0, 0.0, 1.0, 1.0),
        labels=Labels(run=run, step=step, arm=changed.get("arm")),
    )  # fmt: skip
    detail = Detail(prompt_token_ids=tokens, output_token_ids=tokens)
    return from_completion(done, sampling=SamplingParams(temperature=temperature), detail=detail)


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def call(*records: StepRecord, name: str = "traces/t.jsonl") -> Path:
        with Recorder(tmp_path / name) as recorder:
            for one in records:
                recorder.write(one)
        return tmp_path / name

    return call


def read(*paths: Path, vocab: int = 200):
    return read_trace_steps(paths, "m", vocab)


def test_steps_come_from_files_and_folders(write: Write) -> None:
    path = write(*(record(n, temperature=0.5) for n in range(20)))
    steps = read(path)
    assert [r.prompt_token_ids for r in steps.responses] == [[1, 2, n] for n in range(20)]
    assert {r.temperature for r in steps.responses} == {0.5}
    assert 2 <= len(steps.held_out) <= 10
    assert not steps.mostly_greedy
    assert read(path.parent).responses == steps.responses
    assert steps.notes == ()


def test_a_step_stays_on_its_side_as_traces_grow_and_with_its_repetitions(write: Write) -> None:
    few = read(write(*(record(n) for n in range(60)), name="a.jsonl"))
    repeated = [record(n, run="task::r2", output=[5, 6]) for n in range(60)]
    more = [record(n + 60) for n in range(60)]
    many = read(write(*(record(n) for n in range(60)), *repeated, *more, name="b.jsonl"))
    assert few.held_out == many.held_out & {r.id for r in few.responses}
    sides: dict[tuple[int, ...], set[bool]] = {}
    for response in many.responses:
        side = response.id in many.held_out
        sides.setdefault(tuple(response.prompt_token_ids), set()).add(side)
    assert all(len(side) == 1 for side in sides.values())
    assert abs(len(few.held_out) / 60 - HELD_OUT_SHARE) < 0.15


def test_steps_of_no_run_are_told_apart_by_their_prompts(write: Write) -> None:
    steps = read(write(*(record(1, run=None, prompt=[1, n]) for n in range(30))))
    assert 0 < len(steps.held_out) < 15


def test_what_is_left_out_is_said(write: Write) -> None:
    steps = read(
        write(
            *(record(n, arm="baseline") for n in range(10)),
            *(record(n, arm="accelerated") for n in range(10)),
            record(11, tokens=False),
            record(12, finish="cancelled"),
            record(13, output=[4]),
            record(14, model="other"),
        )
    )
    assert len(steps.responses) == 10
    assert sorted(note[:2] for note in steps.notes) == ["1 ", "1 ", "1 ", "1 ", "10"]
    assert any("repeat another call" in note for note in steps.notes)


def test_a_model_under_another_name_is_taken(write: Write) -> None:
    assert len(read(write(*(record(n, model="/models/m") for n in range(9)))).responses) == 9


def test_traces_that_cannot_be_learnt_from_say_what_to_do(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"None of the 9 records .* --trace-tokens"):
        read(write(*(record(n, tokens=False) for n in range(9)), name="a.jsonl"))
    with pytest.raises(DataError, match="hold 5 different steps"):
        read(write(*(record(n) for n in range(5)), name="b.jsonl"))
    with pytest.raises(DataError, match=r"has token 20[0-5], the target has 200"):
        read(write(*(record(n + 200) for n in range(6)), name="c.jsonl"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no trace"):
        read(tmp_path / "empty")
    (tmp_path / "other.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(TraceFormatError, match="no trace record"):
        read(tmp_path / "other.jsonl")
