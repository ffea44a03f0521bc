"""The numbers of a comparison, checked against sums done by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agentspark.errors import PairingError
from agentspark.report import Summary, summarize
from agentspark.trace import DEFAULT_PRICES, PriceTable, text_hash
from agentspark.trace.record import Cost, Failure, Options


def texts(summary, level="warning"):
    return [note.text for note in summary.notes if note.level == level]


def test_totals_and_speedups(make_both):
    summary = summarize(make_both(repeats=(1, 2)))
    slow, fast = summary.arms["baseline"], summary.arms["accelerated"]

    assert (slow.calls, slow.total_ms, slow.prefill_ms, slow.decode_ms) == (8, 8000, 4800, 3200)
    assert (fast.total_ms, fast.cached_tokens, fast.cached_share) == (2000, 480, 0.6)
    assert (fast.rounds, fast.accepted_histogram, fast.accepted_length) == (16, [8, 8], 1.5)
    assert fast.tokens_per_second == pytest.approx(8 * 3 / 0.8)
    assert (summary.speedup.total, summary.speedup.decode, summary.speedup.ttft) == (4, 4, 4)
    assert summary.outputs_identical
    assert (summary.counts.runs, summary.counts.repeats, summary.counts.pairs) == (1, 2, 8)
    assert texts(summary) == []


def test_wall_time_and_tools(make_both):
    summary = summarize(make_both(repeats=(1, 2)))
    slow, fast = summary.arms["baseline"], summary.arms["accelerated"]

    assert slow.tools_ms == pytest.approx(2 * 3 * 500)
    assert slow.wall_ms == pytest.approx(8000 + 3000)
    assert fast.wall_ms == pytest.approx(2000 + 3000)
    assert summary.speedup.wall == pytest.approx(11 / 5)


def test_parallel_calls_count_once_on_the_clock(make_run):
    records = make_run("baseline", 3, tools_s=-1.0) + make_run("accelerated", 3, at_s=50)

    slow = summarize(records).arms["baseline"]

    assert (slow.total_ms, slow.busy_ms, slow.wall_ms) == (3000, 1000, 1000)
    assert slow.tools_ms == 0


def test_arms_that_take_turns_have_no_wall_time(make_run):
    records = make_run("baseline", 3, tools_s=2.0) + make_run("accelerated", 3, at_s=1.2)

    summary = summarize(records)

    assert (summary.speedup.wall, summary.arms["baseline"].tools_ms) == (None, None)
    assert summary.speedup.total == 4
    assert summary.timeline is not None
    assert summary.timeline.joined
    assert [s.start_ms for s in summary.timeline.baseline] == [0, 1000, 2000]


def test_steps_over_their_repetitions(make_run):
    records = make_run("baseline", 2, repeat=1) + make_run("baseline", 2, repeat=2, at_s=50)
    for repeat, milliseconds in ((1, 200.0), (2, 500.0)):
        records += make_run(
            "accelerated", 2, repeat=repeat, at_s=repeat * 100, total_ms=milliseconds
        )

    row = summarize(records).steps[1]

    assert (row.run, row.step, row.step_name, row.step_kind) == ("task", 2, "read a.py", "read")
    assert (row.repeats, row.baseline.total_ms, row.accelerated.total_ms) == (2, 1000, 350)
    assert row.speedup.total == pytest.approx(2000 / 700)
    assert (row.speedup.total_low, row.speedup.total_high) == (2, 5)
    assert row.accelerated.accepted_histogram == [2, 2]
    assert row.baseline.output_hash == row.accelerated.output_hash


def test_rows_keep_the_order_of_runs_and_steps(make_run):
    records = []
    for run in ("zebra", "ant"):
        for arm in ("baseline", "accelerated"):
            records += make_run(arm, 2, run=run, at_s=20.0 * len(records))

    rows = summarize(records).steps

    assert [(row.run, row.step) for row in rows] == [
        ("zebra", 1),
        ("zebra", 2),
        ("ant", 1),
        ("ant", 2),
    ]


def test_different_outputs_are_the_first_thing_said(make_run, make_record):
    records = make_run("baseline", 2) + make_run("accelerated", 1, at_s=50)
    records.append(make_record("accelerated", 2, output=[2, 7, 1, 9]))

    summary = summarize(records)

    assert not summary.outputs_identical
    assert (summary.counts.identical, summary.counts.different) == (1, 1)
    assert summary.steps[1].first_divergence is not None
    assert summary.steps[1].first_divergence.position == 2
    assert texts(summary)[0].startswith("Outputs differ in 1 of 2 compared steps (task, step 2)")


def test_outputs_of_unknown_hash_are_not_called_identical(make_both):
    records = [record.model_copy(update={"output_hash": None}) for record in make_both()]

    summary = summarize(records)

    assert not summary.outputs_identical
    assert summary.counts.unknown == 4
    assert "unknown" in texts(summary)[0]


def test_steps_that_are_not_compared_are_listed_and_left_out(make_run):
    records = make_run("baseline", 4) + make_run("accelerated", 3, at_s=50)
    broken = {"error": Failure(type="X", message="too long"), "finish_reason": "error"}
    records[1] = records[1].model_copy(update=broken)

    summary = summarize(records)

    assert summary.arms["baseline"].calls == 2
    assert [(odd.step, odd.arm, odd.reason) for odd in summary.odd] == [
        (4, "baseline", "unpaired"),
        (2, "baseline", "failed"),
    ]
    assert summary.odd[1].error is not None
    assert summary.speedup.wall is None
    assert len(texts(summary)) == 2


@pytest.mark.parametrize("names", [("task", "task"), ("before", "after")])
def test_a_run_with_a_call_too_many_has_no_wall_time_whatever_its_name(make_run, names):
    records = make_run("baseline", 4, run=names[0])
    records += make_run("accelerated", 5, run=names[1], at_s=50)

    summary = summarize(records)

    assert (summary.speedup.total, summary.speedup.wall) == (4, None)
    assert [arm.tools_ms for arm in summary.arms.values()] == [None, None]


def test_nothing_that_succeeded(make_both):
    records = [record.model_copy(update={"finish_reason": "error"}) for record in make_both()]
    with pytest.raises(PairingError, match="Every paired step failed"):
        summarize(records)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "other"}, "differ in model (baseline: other; accelerated: smollm2)"),
        (
            {"provider": "vllm"},
            "differ in what answered (baseline: vllm; accelerated: agentspark), which the speed-up",
        ),
        ({"draft_tokens": 5}, "not plain decoding: 4 steps"),
        ({"cached_tokens": 50}, "The baseline reused cached prompt tokens in 4 steps"),
        ({"prompt_hash": "0"}, "The arms were asked different things in 4 steps"),
    ],
)
def test_a_baseline_that_is_not_one(make_run, changed, words):
    records = make_run("baseline", **changed) + make_run("accelerated", at_s=50)

    assert any(words in text for text in texts(summarize(records)))


def test_warm_starts_are_kept_apart(make_run):
    records = []
    for repeat, cached in ((1, 0), (2, 90)):
        records += make_run("baseline", 2, repeat=repeat, at_s=repeat * 100)
        fast = make_run("accelerated", 2, repeat=repeat, at_s=repeat * 100 + 50)
        warm = {"cached_tokens": cached, "total_ms": 250.0 if cached == 0 else 50.0}
        records += [fast[0].model_copy(update=warm), *fast[1:]]

    summary = summarize(records)

    assert [(group.name, group.calls) for group in summary.starts] == [("cold", 2), ("warm", 2)]
    assert summary.starts[0].speedup.total == 4
    assert summary.starts[1].speedup.total == pytest.approx(2000 / 300)
    assert any("already cached" in text for text in texts(summary))


def test_kinds_of_steps(make_both, make_record):
    kinds = {group.name: group.calls for group in summarize(make_both()).kinds}

    assert kinds == {"plan": 1, "read": 1, "note": 1, "report": 1}
    assert summarize([make_record("baseline"), make_record("accelerated")]).kinds == []


def test_default_prices_where_no_record_has_a_cost(make_both):
    summary = summarize(make_both())

    assert summary.prices == DEFAULT_PRICES
    assert summary.arms["baseline"].cost == pytest.approx(4 / 3600 * 0.1)


def test_costs_in_several_currencies_are_not_added_up(make_run):
    francs, dollars = (Cost(currency=currency, total=0.3) for currency in ("CHF", "USD"))
    records = make_run("baseline", cost=francs) + make_run("accelerated", cost=dollars, at_s=50)
    summary = summarize(records)

    assert texts(summary)[0].startswith("The traces have costs in several currencies (CHF, USD)")
    assert [arm.cost for arm in summary.arms.values()] == [None, None]
    priced = summarize(records, prices=PriceTable(currency="EUR", prompt=10.0))
    assert texts(priced) == []
    assert priced.arms["baseline"].currency == "EUR"


def test_prices_replace_recorded_costs(make_both):
    summary = summarize(make_both(), prices=PriceTable(currency="EUR", prompt=10.0, cached=1.0))

    assert summary.arms["accelerated"].cost == pytest.approx((160 * 10 + 240 * 1) / 1e6)
    assert summary.arms["accelerated"].currency == "EUR"


def test_arms_that_ran_at_the_same_time_are_told(make_run):
    records = make_run("baseline", 2) + make_run("accelerated", 2, at_s=0.5)

    (found,) = texts(summarize(records))

    # From 0.5 to 0.75 s, and nothing of the second call, which ran from 1.25 to 1.5 s.
    assert found.startswith("Calls of both arms ran at the same time, for 250 ms of 2.25 s")


def test_a_cost_of_some_of_the_calls_is_told(make_both):
    records = make_both()
    untold = {"prompt_tokens": None, "cached_tokens": None, "completion_tokens": None}
    records[1] = records[1].model_copy(update=untold)

    (found,) = texts(summarize(records, prices=PriceTable(prompt=10.0)))

    assert found.startswith("What 1 of 4 calls of the baseline arm cost is unknown")


def test_calls_that_share_the_machine_pay_for_it_once(make_run):
    records = make_run("baseline", 3, tools_s=-1.0) + make_run("accelerated", 3, at_s=50)

    arms = summarize(records).arms

    assert arms["baseline"].cost == pytest.approx(1 / 3600 * 0.1)
    assert arms["accelerated"].cost == pytest.approx(0.75 / 3600 * 0.1)


def test_setup_names_what_the_calls_agree_on(make_both):
    records = make_both()
    records[1] = records[1].model_copy(
        update={"options": records[1].options.model_copy(update={"verify": 4})}
    )

    setup = summarize(records).setup["baseline"]

    assert (setup.model, setup.options.speculation, setup.options.verify) == (
        "smollm2",
        "off",
        None,
    )


def test_the_timeline_shows_the_median_run_with_parallel_calls_in_lanes(make_run):
    records = []
    for run, milliseconds in (("slow", 500.0), ("middling", 250.0), ("quick", 100.0)):
        at_s = 200.0 * len(records)
        records += make_run("baseline", 3, run=run, at_s=at_s, tools_s=-0.5)
        records += make_run("accelerated", 3, run=run, at_s=at_s + 100, total_ms=milliseconds)

    timeline = summarize(records).timeline

    assert timeline is not None
    assert (timeline.run, timeline.joined) == ("middling", False)
    assert [segment.lane for segment in timeline.baseline] == [0, 1, 0]
    assert [segment.start_ms for segment in timeline.baseline] == [0, 500, 1000]
    assert [segment.start_ms for segment in timeline.accelerated] == [0, 750, 1500]


def test_report_json_round_trips(make_both):
    summary = summarize(make_both(repeats=(1, 2)))

    again = Summary.model_validate_json(summary.model_dump_json())

    assert again == summary
    assert again.measured_to - again.measured_from > timedelta(seconds=1)


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        (PriceTable(machine_hour={"gpu": 2.0}), "names gpu, and the calls ran on: cpu. Name"),
        (PriceTable(prompt=1.0, machine_hour={"cpu:0": 2.0}), "names cpu:0, and the calls"),
        (PriceTable(), "No price of the price table applies"),
        (PriceTable(machine_hour={"cpu": 2.0, "cuda": 3.0}), None),
        (PriceTable(prompt=1.0), None),
    ],
)
def test_prices_that_apply_to_nothing_are_told(make_both, prices, told):
    found = texts(summarize(make_both(), prices=prices))

    assert len(found) == (told is not None)
    assert told is None or told in found[0]


def test_arms_that_nobody_tells_apart(make_run):
    """Calls of foreign servers, which know no arms; drafts in one show that it had its own."""
    unsaid = {"options": Options(), "environment": None}

    def told(fast):
        found = texts(summarize(make_run("baseline", 2, **unsaid) + fast))
        return any("the arms differ in nothing unless" in text for text in found)

    for drafts in (None, 0):
        assert told(make_run("accelerated", 2, **unsaid, draft_tokens=drafts))
    assert not told(make_run("accelerated", 2, **unsaid))
    assert not told(make_run("accelerated", 2))


def test_hashes_of_texts_and_of_tokens_are_not_compared(make_run):
    slow, fast = make_run("baseline", 2), make_run("accelerated", 2, output_hash=text_hash("a"))
    assert summarize(slow + fast).steps[0].outputs_identical is None
    slow = make_run("baseline", 2, output_hash=text_hash("a"))
    assert summarize(slow + fast).steps[0].outputs_identical is True
