"""What exact mode costs: the same plain decoding with it on and off."""

from __future__ import annotations

from agentspark.cli.arms import arm_options
from agentspark.engine.result import Completion
from agentspark.report.statistics import known_median, ratio
from benchmarks.bench import Bench, warm_up
from benchmarks.measurement import Measurement
from benchmarks.pairs import decode_speed, total_speed
from benchmarks.progress import track

_MODES = ("on", "off")


def measure(bench: Bench) -> Measurement:
    """The part of the plain decode speed that exact mode takes; two engines take turns.

    The value is the median over the prompts.
    """
    with bench.fresh_engine(exact=True) as on, bench.fresh_engine(exact=False) as off:
        engines = {"on": on, "off": off}
        for engine in engines.values():
            warm_up(engine, bench.prompts[0])
        runs: dict[str, list[list[Completion]]] = {
            mode: [[] for _ in bench.prompts] for mode in _MODES
        }
        work = [(r, at) for r in range(bench.settings.repeats) for at in range(len(bench.prompts))]
        for repeat, at in track(work, "exact mode"):
            for mode in _MODES if (repeat + at) % 2 == 0 else _MODES[::-1]:
                done = engines[mode].generate(
                    bench.prompts[at].token_ids,
                    bench.sampling(ignore_eos=True),
                    options=arm_options("baseline"),
                )
                runs[mode][at].append(done)
    speeds = {
        mode: [known_median(decode_speed(run) for run in prompt) for prompt in runs[mode]]
        for mode in _MODES
    }
    kept = [ratio(a, b) for a, b in zip(speeds["on"], speeds["off"], strict=True)]
    total = {mode: total_speed(run for prompt in runs[mode] for run in prompt) for mode in _MODES}
    same = sum(
        a.token_ids == b.token_ids
        for one, other in zip(runs["on"], runs["off"], strict=True)
        for a, b in zip(one, other, strict=True)
    )
    return Measurement(
        name="exact",
        title="decode speed that exact mode costs, without speculation",
        unit="share",
        value=_cost(known_median(kept)),
        bar=0.15,
        sense="at most",
        note=f"{total['on'] or 0:.1f} against {total['off'] or 0:.1f} tokens/s",
        figures={
            "total_cost": _cost(ratio(total["on"], total["off"])),
            "exact_on_tokens_s": total["on"],
            "exact_off_tokens_s": total["off"],
            "prompts": len(bench.prompts),
            "same_output_share": same / len(work),
        },
    )


def _cost(kept: float | None) -> float | None:
    return None if kept is None else 1.0 - kept
