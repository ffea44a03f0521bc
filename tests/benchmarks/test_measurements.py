"""Every measurement runs on a tiny engine and counts right; no test looks at how long it took."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentspark.drafting.dspark import DSparkDrafter
from agentspark.engine import turn
from agentspark.trace.recorder import Recorder
from benchmarks import (
    batch,
    branches,
    decode,
    exact,
    families,
    grammar,
    hit,
    identical,
    overhead,
    plain,
    reference,
    replay,
    scheduler,
    schemas,
    shared,
    structured,
)
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.reference import Reference
from benchmarks.suite import run_suite
from tests.family_drafters import FamilyDir


def part(found: Measurement, name: str) -> dict[str, object]:
    value = found.figures[name]
    assert isinstance(value, dict)
    return dict(value)


def number(found: Measurement, name: str) -> float:
    return number_in(found.figures, name)


def number_in(figures: Mapping[str, object], name: str) -> float:
    value = figures[name]
    assert isinstance(value, int | float)
    return value


def test_identical_answers_every_prompt_in_both_arms(bench: Bench) -> None:
    found = identical.measure(bench)
    assert found.value == 1.0
    assert found.met
    assert found.figures["prompts"] == 2
    assert all(len(pair.runs[arm]) == 1 for pair in bench.pairs for arm in pair.runs)
    assert {run.counts.cached_tokens for pair in bench.pairs for run in pair.runs["accelerated"]} \
        == {0}  # fmt: skip


def test_decode_reads_the_same_answers(bench: Bench) -> None:
    before = bench.engine.stats().times.turns
    found = decode.measure(bench)
    assert bench.engine.stats().times.turns == before
    assert set(part(found, "by_kind")) == {"chat", "code"}
    assert set(part(found, "speedups")) == {"first", "second"}


def test_plain_writes_as_many_tokens_on_both_sides(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as kept:
        made: list[Reference] = []

        def keep(*args: Any, **kwargs: Any) -> nullcontext[Reference]:
            made.append(kept.enter_context(Reference(*args, **kwargs)))
            return nullcontext(made[0])

        monkeypatch.setattr(plain, "Reference", keep)
        found = plain.measure(bench)
        assert len(made[0].generate(bench.prompts[0].token_ids, 40).token_ids) == 40
    assert found.figures["prompts"] == ["first", "second"]
    ours, theirs = number(found, "engine_tokens_s"), number(found, "transformers_tokens_s")
    assert number(found, "total_ratio") == pytest.approx(ours / theirs)


def test_a_reference_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Something that fails with these arguments, without loading torch first.
    monkeypatch.setattr(reference, "_serve", operator.index)
    with pytest.raises(RuntimeError, match="ended with 1"):
        Reference(tmp_path, dtype="float32", device="cpu", threads=1)


def test_replay_compares_every_step_of_this_run_alone(bench: Bench) -> None:
    replay.measure(bench)
    found = replay.measure(bench)
    assert found.figures["steps"] == 4
    assert found.figures["repeats"] == 1
    assert found.figures["outputs_identical"] is True
    assert set(part(found, "per_transcript")) == {"reader"}
    arms = part(found, "arms")
    assert isinstance(arms["baseline"], dict)
    assert isinstance(arms["accelerated"], dict)
    assert arms["baseline"]["cached_tokens"] == 0
    assert arms["accelerated"]["cached_tokens"] > 0
    assert arms["baseline"]["total_ms"] / arms["accelerated"]["total_ms"] == pytest.approx(
        found.value, rel=1e-3
    )


def test_shared_counts_whole_blocks_of_what_is_common(bench: Bench) -> None:
    found = shared.measure(bench)
    size = bench.engine.config.block_tokens
    cached, common = (
        number(found, "recorded_cached_tokens"),
        number(found, "recorded_common_tokens"),
    )
    assert found.figures["steps"] == 3
    assert cached % size == 0
    assert common - 3 * size < cached <= common
    assert number(found, "live_common_tokens") > 0
    assert found.value == pytest.approx(
        min(
            cached / common,
            number(found, "live_cached_tokens") / number(found, "live_common_tokens"),
        )
    )


def test_hit_restores_the_drafters_context(bench: Bench) -> None:
    found = hit.measure(bench)
    assert found.value == 1.0
    assert found.met
    assert found.figures["prompts"] == found.figures["same_histogram"] == 3
    assert found.figures["same_tokens"] == 3
    assert number(found, "cached_tokens") > 0


def test_branches_share_their_prefix(bench: Bench) -> None:
    found = branches.measure(bench, prefix_tokens=320, branches=4)
    size = bench.engine.config.block_tokens
    common, own = 320 // size, -(-(8 + 1) // size)
    assert found.value is not None
    # Eight tokens of its own and the first of its answer: a branch's blocks behind the common ones.
    assert found.value == pytest.approx((common + 4 * own) / (common + own), abs=0.01)
    for name, answer in (("short", 8), ("long", 32)):
        figures = part(found, name)
        assert figures["ideal_ratio"] == (320 + 4 * (8 + answer)) / (320 + 8 + answer)
        assert figures["branches_peak_bytes"] >= figures["branches_bytes"]  # type: ignore[operator]
        assert figures["branches_bytes"] < 2 * figures["one_bytes"]  # type: ignore[operator]


def test_overhead_is_what_the_models_leave(bench: Bench) -> None:
    originals = DSparkDrafter.propose, turn.choose_tokens, Recorder.write
    found = overhead.measure(bench)
    assert originals == (DSparkDrafter.propose, turn.choose_tokens, Recorder.write)
    for arm in ("baseline", "accelerated"):
        figures = part(found, arm)
        parts = [value for name, value in figures.items() if name.endswith("_ms")]
        assert sum(parts) - figures["turn_ms"] == pytest.approx(figures["turn_ms"], rel=0.01)  # type: ignore[call-overload,operator]
        assert all(value >= 0 for value in parts)  # type: ignore[operator]
    assert part(found, "baseline")["drafter_ms"] == 0.0
    assert part(found, "accelerated")["drafter_ms"] != 0.0
    assert part(found, "baseline")["turns"] == 2 * 6


def test_exact_compares_two_engines(bench: Bench) -> None:
    found = exact.measure(bench)
    assert found.value is not None
    on, off = number(found, "exact_on_tokens_s"), number(found, "exact_off_tokens_s")
    assert number(found, "total_cost") == pytest.approx(1 - on / off)


def test_batch_measures_every_number_of_streams(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "STREAMS", (1, 2))
    found = batch.measure(bench)
    assert list(found.figures) == ["1", "2"]
    at_two = part(found, "2")
    assert found.value == min(number_in(part(found, n), "ratio") for n in ("1", "2"))
    assert at_two["ratio"] == pytest.approx(
        at_two["accelerated_tokens_s"] / at_two["baseline_tokens_s"]  # type: ignore[operator]
    )


def test_the_best_fixed_number_is_not_the_luckiest() -> None:
    steady: list[float] = [10.0] * 5
    lucky = [9.0, 9.0, 9.0, 9.0, 14.0]
    assert scheduler._against_best({"auto": steady, 1: steady, 2: lucky}) == 1.0
    assert scheduler._best({"auto": [90.0], 1: [3.0], 2: [4.0]}) == 2
    assert scheduler._against_best({"auto": [9.0], 1: [10.0], "full": [12.0]}) == 0.75
    # Each number is the best one just where it is not looked at.
    swapped = {"auto": [10.0] * 2, 1: [20.0, 5.0], 2: [5.0, 20.0]}
    assert scheduler._against_best(swapped) == 2.0


def test_the_scheduler_is_held_against_every_fixed_number(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "STREAMS", (1, 2))
    found = scheduler.measure(bench)
    at_two = part(found, "2")
    speeds = at_two["tokens_s"]
    assert isinstance(speeds, dict)
    assert list(speeds) == ["auto", "1", "2", "3", "5", "full"]
    best = max(speed for name, speed in speeds.items() if name != "auto")
    assert at_two["against_best_fixed"] == pytest.approx(speeds["auto"] / best)
    assert found.value == min(number_in(part(found, n), "against_best_fixed") for n in ("1", "2"))


def test_families_compares_the_given_checkpoints(bench: Bench, family_dir: FamilyDir) -> None:
    assert families.measure(bench).value is None
    folders = (family_dir("dspark").parent, family_dir("mtp").parent)
    both = tuple(folder / "drafter" for folder in folders)
    settings = replace(bench.settings, families=both, max_tokens=12, limit=1)
    found = families.measure(SimpleNamespace(settings=settings))
    assert found.figures["outputs_identical"] is True
    over = part(found, "over")["mtp/drafter"]
    assert isinstance(over, list)
    assert found.value == min(over)
    assert set(part(found, "scores")) == {
        f"{name}/drafter at {t}" for name in ("dspark", "mtp") for t in (0, 1)
    }


def test_the_suite_gives_each_measurement_as_it_is_done(bench: Bench) -> None:
    done = list(run_suite(bench, ("identical", "decode")))
    assert [found.name for found in done] == ["identical", "decode"]
    assert all(found.took_ms is not None for found in done)


def test_schemas_counts_what_validates(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "CASES", 3)
    monkeypatch.setattr(schemas, "MAX_TOKENS", 200)
    found = schemas.measure(bench)
    assert found.value == 1.0 and found.figures["answers"] in (2, 3)
    monkeypatch.setattr(structured, "_validates", lambda text, schema: False)
    assert schemas.measure(bench).value == 0.0


def test_grammar_answers_the_same_in_both_arms(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar, "CASES", 3)
    found = grammar.measure(bench)
    assert found.figures["same_output_share"] == 1.0
    assert number(found, "accepted_length") > 1.0
