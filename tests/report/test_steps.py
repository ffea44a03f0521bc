"""Which pairs are one row of the report, and which are not."""

from __future__ import annotations

from agentspark.report import pair_records, summarize
from agentspark.report.steps import by_step


def calls(make_record, *steps_and_prompts, repeat=None):
    """Both arms of calls that came in this order."""
    return [
        make_record(
            arm,
            step,
            repeat=repeat,
            prompt=prompt,
            started_at=f"2026-11-23T12:{repeat or 0:02}:{place:02}Z",
        )
        for arm in ("baseline", "accelerated")
        for place, (step, prompt) in enumerate(steps_and_prompts)
    ]


def prompts_of(rows):
    return [{pair.baseline.prompt_hash for pair in row} for row in rows]


def test_calls_of_one_run_with_the_same_number_are_rows_of_their_own(make_record):
    records = calls(make_record, (1, [1]), (1, [2]), (2, [3]), (2, [4]))

    summary = summarize(records)

    assert [(row.step, row.repeats) for row in summary.steps] == [(1, 1), (1, 1), (2, 1), (2, 1)]
    assert all(row.speedup.total_low is None for row in summary.steps)
    assert (summary.counts.steps, summary.counts.repeats) == (4, 1)


def test_repetitions_of_such_calls_meet_in_whatever_order_they_came(make_record):
    records = calls(make_record, (1, [1]), (1, [2]), repeat=1)
    records += calls(make_record, (1, [2]), (1, [1]), repeat=2)

    rows = by_step(pair_records(records).pairs)

    assert [len(row) for row in rows] == [2, 2]
    assert all(len(prompts) == 1 for prompts in prompts_of(rows))


def test_branches_that_a_repetition_ran_in_another_order_meet_by_prompt(make_record):
    records = calls(make_record, (1, [1]), (2, [2]), (3, [3]), repeat=1)
    records += calls(make_record, (1, [1]), (2, [3]), (3, [2]), repeat=2)

    rows = by_step(pair_records(records).pairs)

    assert [row[0].step for row in rows] == [1, 2, 3]
    assert all(len(prompts) == 1 for prompts in prompts_of(rows))


def test_repetitions_with_prompts_of_their_own_meet_by_number(make_record):
    records = calls(make_record, (1, [1]), (2, [2]), repeat=1)
    records += calls(make_record, (1, [1]), (2, [7]), (3, [8]), repeat=2)

    rows = by_step(pair_records(records).pairs)

    assert [[pair.step for pair in row] for row in rows] == [[1, 1], [2, 2], [3]]
