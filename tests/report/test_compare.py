"""Comparing files, and running real scripts in both arms."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from agentspark.errors import ArmFailedError, ConfigError, PairingError, TraceError
from agentspark.report import compare_files, compare_script
from agentspark.report.arms import script_name
from agentspark.trace import Recorder, read_trace

# A script as a user has it: it asks an engine, which asks the context of its process. The engine
# is only its accounting here, as that is what a comparison sees of it.
SCRIPT = """
import sys, time
from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.result import Completion, Counts, Timings
from agentspark.engine.recording import from_completion
from agentspark.trace import Recorder, TraceContext

context = TraceContext.from_environment()
recorder = Recorder.choose(None, context)
print("working", flush=True)
for number in range(3):
    labels = Labels(step_name=f"call {number}", **context.place()._asdict())
    plain = context.arm == "baseline"
    options = RequestOptions(speculation="off", share_prefix=False) if plain else RequestOptions()
    recorder.write(
        from_completion(
            Completion(
                request_id=str(number), model="m", drafter=None, prompt_token_ids=[1, 2, number],
                token_ids=[4, 5], text="", finish_reason="stop",
                counts=Counts(3, 0 if plain else 2, 2, 1),
                timings=Timings(time.time(), 0.0, 0.0, 0.0, 1.0, 1.0 if plain else 0.5),
                labels=labels, options=options,
            ),
            detail=context.detail(),
        )
    )
"""

# The same with a second engine of its own in one process, whose calls are steps of the same run.
TWO_ENGINES = SCRIPT.replace(
    "recorder = Recorder.choose(None, context)\n",
    "engines = [(each, Recorder.choose(None, each)) for each in (context, "
    "TraceContext.from_environment())]\n",
).replace(
    "for number in range(3):\n",
    "for number in range(6):\n    context, recorder = engines[number % 2]\n",
)


@pytest.fixture
def write_script(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def write(text: str, name: str = "my_agent.py") -> list[str]:
        path = tmp_path / name
        path.write_text(text)
        return [sys.executable, str(path)]

    return write


@pytest.fixture
def write_trace(tmp_path):
    def write(name: str, records) -> Path:
        with Recorder(tmp_path / name) as recorder:
            for record in records:
                recorder.write(record)
        return recorder.path

    return write


def test_a_script_runs_in_both_arms_by_turns(tmp_path, write_script, write_trace, make_run):
    seen: list[tuple[str, int]] = []
    write_trace("out/traces/baseline-1.jsonl", make_run("baseline"))  # of an earlier comparison
    before = dict(os.environ)
    done = compare_script(
        write_script(SCRIPT),
        tmp_path / "out",
        repeats=2,
        before_run=lambda arm, repeat: seen.append((arm, repeat)),
        after_run=lambda run: seen.append((run.arm, len(run.trace.records))),
    )

    assert dict(os.environ) == before
    assert seen == [
        ("baseline", 1),
        ("baseline", 3),
        ("accelerated", 1),
        ("accelerated", 3),
        ("baseline", 2),
        ("baseline", 3),
        ("accelerated", 2),
        ("accelerated", 3),
    ]
    summary = done.summary
    assert (summary.counts.runs, summary.counts.repeats, summary.counts.steps) == (1, 2, 3)
    assert [row.step_name for row in summary.steps] == ["call 0", "call 1", "call 2"]
    assert summary.steps[0].run == "my_agent"
    assert (summary.speedup.total, summary.outputs_identical) == (2.0, True)
    assert summary.setup["baseline"].options.speculation == "off"
    assert summary.setup["baseline"].options.share_prefix is False
    assert summary.setup["accelerated"].options.speculation == "auto"
    assert json.loads(done.paths.json.read_text())["speedup"]["total"] == 2.0
    traces = sorted(path.name for path in (tmp_path / "out" / "traces").iterdir())
    assert traces == [
        "accelerated-1.jsonl",
        "accelerated-2.jsonl",
        "baseline-1.jsonl",
        "baseline-2.jsonl",
    ]
    assert (tmp_path / "out" / "logs" / "baseline-1.stdout.txt").read_text() == "working\n"
    record = read_trace(tmp_path / "out" / "traces" / "baseline-1.jsonl").records[0]
    assert (record.prompt_token_ids, record.output_token_ids) == (None, [4, 5])


def test_a_script_with_two_engines_has_a_row_for_each_of_its_calls(tmp_path, write_script):
    summary = compare_script(write_script(TWO_ENGINES), tmp_path / "out", repeats=2).summary

    assert [(row.step, row.step_name) for row in summary.steps] == [
        (number + 1, f"call {number}") for number in range(6)
    ]
    assert [row.repeats for row in summary.steps] == [2] * 6


def test_a_scripts_token_ids_are_kept_where_they_are_asked_for(tmp_path, write_script):
    compare_script(write_script(SCRIPT), tmp_path / "out", tokens=True)

    for name in ("baseline-1", "accelerated-1"):
        records = read_trace(tmp_path / "out" / "traces" / f"{name}.jsonl").records
        assert [record.prompt_token_ids for record in records] == [[1, 2, n] for n in range(3)]


def test_a_script_that_fails_without_a_word(tmp_path):
    with pytest.raises(ArmFailedError, match=r"exit code 1\..* It printed nothing\.$"):
        compare_script(["false"], tmp_path / "out")


def test_a_script_that_fails_in_one_arm(tmp_path, write_script):
    fails = (
        "import os\nif os.environ['AGENTSPARK_ARM'] == 'accelerated':\n"
        "    raise RuntimeError('no such tool')\n"
    )
    with pytest.raises(ArmFailedError) as caught:
        compare_script(write_script(SCRIPT + fails), tmp_path / "out")

    message = str(caught.value)
    assert "failed in the accelerated arm, repetition 1: it ended with exit code 1" in message
    assert message.endswith("RuntimeError: no such tool")
    assert "accelerated-1.stderr.txt" in message


def test_of_what_a_failing_script_printed_the_end_is_shown_however_much_it_was(
    tmp_path, write_script
):
    floods = "import sys; sys.stderr.write('x' * 1_000_000 + '\\nno such tool'); sys.exit(2)"
    with pytest.raises(ArmFailedError, match=r"no such tool$") as caught:
        compare_script(write_script(floods), tmp_path)

    assert len(str(caught.value)) < 10_000


def test_a_script_that_is_killed(tmp_path, write_script):
    with pytest.raises(ArmFailedError, match="was ended by SIGKILL"):
        compare_script(
            write_script("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), tmp_path
        )


def test_a_script_that_calls_no_model(tmp_path, write_script):
    with pytest.raises(ArmFailedError, match="recorded no model call in the baseline arm"):
        compare_script(write_script("print('hello')"), tmp_path)


def test_a_command_that_does_not_exist(tmp_path):
    with pytest.raises(ArmFailedError, match=r"'no-such-program' cannot be started.*after --"):
        compare_script(["no-such-program"], tmp_path)


def test_nothing_to_run(tmp_path):
    with pytest.raises(ConfigError, match="No command"):
        compare_script([], tmp_path)
    with pytest.raises(ConfigError, match="repeats=0"):
        compare_script(["true"], tmp_path, repeats=0)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match="choose another one"):
        compare_script(["true"], tmp_path / "file")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "-u", "work/my_agent.py", "x"], "my_agent"),
        (["python", "my_agent.py", "-m", "x"], "my_agent"),
        ([".venv/bin/python3", "-m", "team.agent", "notes.py"], "team.agent"),
        (["/usr/bin/agent"], "agent"),
        (["agent", "-m", "smollm2"], "agent"),
    ],
)
def test_names_of_scripts(command, name):
    assert script_name(command) == name


def test_two_files(tmp_path, make_run, write_trace):
    slow = write_trace("a.jsonl", make_run("baseline"))
    fast = write_trace("b.jsonl", make_run("accelerated", at_s=50))

    done = compare_files(slow, fast, tmp_path / "out")

    assert done.summary.speedup.total == 4.0
    assert done.paths.html.exists()


def test_the_order_of_two_files_decides_whatever_their_labels(tmp_path, make_run, write_trace):
    one = write_trace("a.jsonl", make_run("accelerated"))
    other = write_trace("b.jsonl", make_run("accelerated", total_ms=125.0))
    unlabelled = write_trace(
        "c.jsonl", [r.model_copy(update={"arm": None}) for r in make_run("baseline")]
    )

    assert compare_files(one, other, tmp_path).summary.speedup.total == 2.0
    assert compare_files(unlabelled, one, tmp_path).summary.speedup.total == 4.0


def test_both_arms_in_one_file(tmp_path, make_both, write_trace):
    path = write_trace("both.jsonl", make_both())

    assert compare_files(path, None, tmp_path).summary.speedup.total == 4.0
    with pytest.raises(PairingError, match=r"holds both arms\. Give it alone"):
        compare_files(path, path, tmp_path)


def test_files_the_wrong_way_round(tmp_path, make_run, write_trace):
    slow = write_trace("a.jsonl", make_run("baseline"))
    fast = write_trace("b.jsonl", make_run("accelerated"))
    with pytest.raises(PairingError, match="Give the baseline first"):
        compare_files(fast, slow, tmp_path)


def test_an_empty_file(tmp_path, make_run, write_trace):
    empty = write_trace("a.jsonl", [])
    with pytest.raises(PairingError, match="holds no records"):
        compare_files(empty, write_trace("b.jsonl", make_run("accelerated")), tmp_path)


def test_a_torn_line_is_told(tmp_path, make_run, write_trace):
    slow = write_trace("a.jsonl", make_run("baseline"))
    fast = write_trace("b.jsonl", make_run("accelerated", at_s=50))
    fast.write_bytes(fast.read_bytes()[:-40])

    done = compare_files(slow, fast, tmp_path / "out")

    assert done.summary.notes[0].text.startswith("b.jsonl has 1 line cut short")
    assert done.summary.counts.pairs == 3


def test_what_a_file_holds_twice_is_counted_once_and_told(tmp_path, make_both, write_trace):
    records = make_both()
    plain = compare_files(write_trace("both.jsonl", records), None, tmp_path / "out").summary
    joined = write_trace("joined.jsonl", [*records, *records[:2]])
    found = compare_files(joined, None, tmp_path / "again").summary
    assert (found.arms, found.steps) == (plain.arms, plain.steps)
    assert "joined.jsonl holds 2 calls more than once" in " ".join(n.text for n in found.notes)


def test_a_call_is_of_one_arm_only(tmp_path, make_run, write_trace):
    records = make_run("baseline")
    file = write_trace("one.jsonl", records)
    other = write_trace("other.jsonl", [records[0]])
    for second, words in (
        (file, f"hold {len(records)} calls that are"),
        (other, "hold 1 call that"),
    ):
        with pytest.raises(PairingError, match=words):
            compare_files(file, second, tmp_path / "out")
