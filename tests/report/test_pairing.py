"""Which call answers which: every record once, the right ones together."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentspark.errors import PairingError
from agentspark.report import pair_records
from agentspark.trace import StepRecord
from agentspark.trace.record import Sampling


def keys(pairing):
    return [(pair.run, pair.repeat, pair.step) for pair in pairing.pairs]


def test_steps_pair_by_run_repetition_and_step(make_both):
    pairing = pair_records(make_both(repeats=(1, 2), steps=2))

    assert sorted(keys(pairing)) == [("task", 1, 1), ("task", 1, 2), ("task", 2, 1), ("task", 2, 2)]
    assert pairing.unpaired == []
    assert all(p.baseline.repeat == p.accelerated.repeat == p.repeat for p in pairing.pairs)
    assert all(p.baseline.arm == "baseline" for p in pairing.pairs)


def test_steps_without_numbers_pair_in_the_order_they_started(make_run):
    records = make_run("baseline", 3, step=None) + make_run("accelerated", 3, step=None, at_s=50)

    pairing = pair_records(reversed(records))

    assert [pair.step for pair in pairing.pairs] == [1, 2, 3]
    assert pairing.pairs[0].baseline == records[0]
    assert pairing.pairs[0].accelerated == records[3]


def test_branches_that_ran_in_another_order_pair_by_prompt(make_record):
    prompts = {1: [1, 1], 2: [2, 2], 3: [3, 3]}
    baseline = [make_record("baseline", step, prompt=prompts[step]) for step in (1, 2, 3)]
    accelerated = [
        make_record("accelerated", step, prompt=prompts[asked])
        for step, asked in ((1, 1), (2, 3), (3, 2))
    ]

    pairing = pair_records(baseline + accelerated)

    assert all(pair.prompts_identical for pair in pairing.pairs)
    assert [pair.step for pair in pairing.pairs] == [1, 2, 3]


def test_models_that_were_asked_the_same_at_once_pair_by_model(make_record):
    baseline = [make_record("baseline", step, model=model) for step, model in ((1, "a"), (2, "b"))]
    accelerated = [
        make_record("accelerated", step, model=model) for step, model in ((1, "b"), (2, "a"))
    ]
    same = [r.model_copy(update={"prompt_hash": "asked"}) for r in baseline + accelerated]

    for pair in pair_records(same).pairs:
        assert pair.baseline.model == pair.accelerated.model


def test_the_choices_of_a_call_pair_by_seed(make_record):
    def choices(arm, seeds):
        sampling = [Sampling(temperature=1.0, top_p=1.0, seed=s, max_tokens=8) for s in seeds]
        return [make_record(arm, 1, id=f"{arm}-{s.seed}", sampling=s) for s in sampling]

    pairing = pair_records([*choices("baseline", (1, 2, 3)), *choices("accelerated", (3, 1, 2))])
    ids = [(pair.baseline.id, pair.accelerated.id) for pair in pairing.pairs]
    assert ids == [(f"baseline-{seed}", f"accelerated-{seed}") for seed in (1, 2, 3)]


def test_after_an_output_that_differs_steps_pair_by_number(make_record):
    baseline = [make_record("baseline", 1, output=[1, 2, 3]), make_record("baseline", 2)]
    accelerated = [
        make_record("accelerated", 1, output=[1, 5, 3]),
        make_record("accelerated", 2, prompt=[9, 9]),
    ]

    first, second = pair_records(baseline + accelerated).pairs

    assert (first.prompts_identical, first.outputs_identical) == (True, False)
    assert (second.step, second.prompts_identical) == (2, False)


def test_steps_of_one_arm_only_are_listed(make_run):
    pairing = pair_records(make_run("baseline", 4) + make_run("accelerated", 2, at_s=50))

    assert [pair.step for pair in pairing.pairs] == [1, 2]
    assert [record.step for record in pairing.unpaired] == [3, 4]


def test_runs_of_other_names_pair_in_order(make_run):
    records = [
        *make_run("baseline", 2, run="a"),
        *make_run("baseline", 2, run="b", at_s=20),
        *make_run("accelerated", 2, run="x", at_s=40),
        *make_run("accelerated", 2, run="y", at_s=60),
    ]

    pairing = pair_records(records)

    assert pairing.runs_by_order
    assert {(p.run, p.accelerated.run) for p in pairing.pairs} == {("a", "x"), ("b", "y")}


def test_runs_by_order_with_one_run_too_many(make_run):
    records = [
        *make_run("baseline", 1, run="a"),
        *make_run("accelerated", 1, run="x", at_s=40),
        *make_run("accelerated", 1, run="y", at_s=60),
    ]

    pairing = pair_records(records)

    assert {(p.run, p.accelerated.run) for p in pairing.pairs} == {("a", "x")}
    assert [record.run for record in pairing.unpaired] == ["y"]


def test_records_of_other_arms_are_set_apart(make_both, make_record):
    pairing = pair_records([*make_both(), make_record(None), make_record("third")])

    assert len(pairing.pairs) == 4
    assert {record.arm for record in pairing.ignored} == {None, "third"}


def test_failed_pairs_are_not_compared(make_both):
    records = make_both(steps=2)
    records[0] = records[0].model_copy(update={"finish_reason": "cancelled"})

    pairing = pair_records(records)

    assert len(pairing.pairs) == 2
    assert [pair.step for pair in pairing.compared] == [2]


@pytest.mark.parametrize("missing", ["baseline", "accelerated"])
def test_a_missing_arm_is_named(make_both, missing):
    with pytest.raises(PairingError, match=f"no records of the {missing} arm"):
        pair_records(record for record in make_both() if record.arm != missing)


def test_nothing_in_common(make_run):
    records = [
        *make_run("baseline", 1, repeat=1, step=1, prompt=[1]),
        *make_run("accelerated", 1, repeat=1, step=2, prompt=[2]),
    ]
    with pytest.raises(PairingError, match="No step of the baseline arm"):
        pair_records(records)


@pytest.mark.parametrize(
    ("one", "other", "position", "tokens"),
    [
        ([1, 2, 3], [1, 5, 3], 1, (2, 5)),
        ([1, 2], [1, 2, 3], 2, (None, 3)),
        ([], [4], 0, (None, 4)),
    ],
)
def test_first_divergent_token(make_record, one, other, position, tokens):
    margins = [0.5, 0.25, 0.125]
    pair = pair_records(
        [
            make_record("baseline", output=one, output_margins=margins[: len(one)]),
            make_record("accelerated", output=other),
        ]
    ).pairs[0]

    found = pair.divergence()

    assert found is not None
    assert found.position == position
    assert (found.baseline_token, found.accelerated_token) == tokens
    assert found.baseline_margin == (margins[position] if position < len(one) else None)
    assert found.accelerated_margin is None


def test_no_divergence_to_show(make_record):
    same = pair_records([make_record("baseline"), make_record("accelerated")]).pairs[0]
    private = pair_records(
        [
            make_record("baseline", output_token_ids=None),
            make_record("accelerated", output=[4], output_token_ids=None),
        ]
    ).pairs[0]

    assert (same.outputs_identical, same.divergence()) == (True, None)
    assert (private.outputs_identical, private.divergence()) == (False, None)


MARKS = st.tuples(
    st.sampled_from(["baseline", "accelerated", None]),
    st.sampled_from(["a", "b", None]),
    st.sampled_from([1, 2, None]),
    st.sampled_from([1, 2, 3, None]),
    st.sampled_from(["p", "q", None]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(MARKS, max_size=14))
def test_every_record_ends_up_in_one_place(marks):
    records = [
        StepRecord(
            id=str(place),
            model="m",
            started_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=place),
            arm=arm,
            run=run,
            repeat=repeat,
            step=step,
            prompt_hash=prompt,
        )
        for place, (arm, run, repeat, step, prompt) in enumerate(marks)
    ]
    try:
        pairing = pair_records(records)
    except PairingError:
        return

    placed = [r.id for p in pairing.pairs for r in (p.baseline, p.accelerated)]
    placed += [record.id for record in [*pairing.unpaired, *pairing.ignored]]
    assert Counter(placed) == Counter(record.id for record in records)
    for pair in pairing.pairs:
        assert (pair.baseline.arm, pair.accelerated.arm) == ("baseline", "accelerated")
        if not pairing.runs_by_order:
            units = {(r.run, r.repeat) for r in (pair.baseline, pair.accelerated)}
            assert units == {(pair.run, pair.repeat)}
    # Within a run, no step is left over in both arms with the same prompt.
    left = [(r.arm, r.run, r.repeat, r.prompt_hash) for r in pairing.unpaired]
    if not pairing.runs_by_order:
        for arm, *rest in left:
            other = "accelerated" if arm == "baseline" else "baseline"
            assert rest[-1] is None or (other, *rest) not in left
