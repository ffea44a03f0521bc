"""What a comparison tells a script's engine, and what the engine makes of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agentspark.errors import ConfigError
from agentspark.trace import Place, TraceContext, run_label, split_run


def test_a_context_survives_the_environment(tmp_path):
    sent = TraceContext(arm="accelerated", trace=tmp_path / "t.jsonl", run="agent::r2")

    got = TraceContext.from_environment(sent.to_environment())

    assert (got.arm, got.trace, got.run) == ("accelerated", tmp_path / "t.jsonl", "agent::r2")


def test_the_trace_path_is_absolute_for_scripts_that_change_folder():
    sent = TraceContext(trace=Path("t.jsonl")).to_environment()

    assert Path(sent["AGENTSPARK_TRACE"]) == Path.cwd() / "t.jsonl"


def test_an_empty_environment_changes_nothing():
    context = TraceContext.from_environment({"AGENTSPARK_ARM": "", "AGENTSPARK_RUN": ""})

    assert context.to_environment() == {}
    assert context.place() == Place(None, None, None)
    assert not context.detail().output_token_ids


def test_the_process_environment_is_read(monkeypatch):
    monkeypatch.setenv("AGENTSPARK_ARM", "baseline")

    assert TraceContext.from_environment().arm == "baseline"


def test_unknown_arm():
    with pytest.raises(ConfigError, match="'fast' is no arm: use baseline or accelerated"):
        TraceContext.from_environment({"AGENTSPARK_ARM": "fast"})


def test_in_an_arm_output_ids_are_kept_to_find_where_outputs_part():
    assert TraceContext(arm="baseline").detail().output_token_ids


def test_margins_are_kept_with_outputs_that_may_part():
    assert TraceContext(arm="baseline").detail(exact=False).output_margins
    assert not TraceContext(arm="baseline").detail(exact=True).output_margins
    assert not TraceContext().detail(exact=False).output_margins


@pytest.mark.parametrize(
    ("context", "asked", "prompt", "output"),
    [
        (TraceContext(), False, False, False),
        (TraceContext(), True, True, True),
        (TraceContext.from_environment({"AGENTSPARK_TRACE_TOKENS": "1"}), False, True, True),
        (TraceContext.from_environment({"AGENTSPARK_TRACE_TOKENS": "0"}), False, False, False),
        (TraceContext(arm="baseline"), True, True, True),
    ],
)
def test_token_ids_are_kept_where_they_are_asked_for(context, asked, prompt, output):
    detail = context.detail(asked)

    assert (detail.prompt_token_ids, detail.output_token_ids) == (prompt, output)


def test_asking_for_token_ids_survives_the_environment():
    sent = TraceContext(tokens=True).to_environment()

    assert TraceContext.from_environment(sent).tokens
    with pytest.raises(ConfigError, match="AGENTSPARK_TRACE_TOKENS='yes' cannot be read"):
        TraceContext.from_environment({"AGENTSPARK_TRACE_TOKENS": "yes"})


def test_steps_are_numbered_in_the_order_of_submission():
    context = TraceContext(arm="baseline", run="agent::r1")

    steps = [context.place().step for _ in range(3)]

    assert steps == [1, 2, 3]


def test_numbering_goes_on_after_the_scripts_own_numbers():
    context = TraceContext()

    given = [context.place(run="a", step=step).step for step in (None, 7, None, 3, None)]

    assert given == [1, 7, 8, 3, 9]
    assert context.place(run="b").step == 1


def test_calls_of_no_run_have_no_number():
    assert TraceContext().place().step is None


def test_the_scripts_own_run_is_kept_with_the_repetition():
    context = TraceContext(arm="baseline", run="agent::r2")

    assert context.place().run == "agent::r2"
    assert context.place(run="task-7").run == "task-7::r2"
    assert context.place(run="task-7::r5").run == "task-7::r5"


def test_the_comparisons_arm_wins():
    assert TraceContext(arm="baseline").place(arm="accelerated").arm == "baseline"
    assert TraceContext().place(arm="accelerated").arm == "accelerated"


def test_threads_never_get_the_same_number():
    context = TraceContext(run="agent")
    got: list[int | None] = []

    def work() -> None:
        for _ in range(200):
            got.append(context.place().step)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(step or 0 for step in got) == list(range(1, 801))


@pytest.mark.parametrize(
    "run", ["a", "a::r0", "::r", "a::r1b", "", "a:r1", "a::r1" + "0" * 15, None]
)
def test_labels_without_a_repetition(run):
    assert split_run(run) == (run, None)


def test_run_labels_round_trip():
    assert split_run(run_label("a::r1", 12)) == ("a::r1", 12)
