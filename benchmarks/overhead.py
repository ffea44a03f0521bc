"""What scheduling and tracing cost in each turn of the loop."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pydantic import JsonValue

from agentspark.cli.arms import arm_options, in_turn
from agentspark.drafting.dspark import DSparkDrafter
from agentspark.engine import engine as engine_module
from agentspark.engine import turn as turn_module
from agentspark.engine.engine import Engine
from agentspark.report.statistics import ratio
from agentspark.trace.record import ARMS
from agentspark.trace.recorder import Recorder
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.progress import track
from benchmarks.stopwatch import Stopwatch, watched

# What is timed by itself because a phase has model work in it: the drafter's forward (in draft),
# its context and the choice of tokens (in commit); and the trace, which is a part of commit.
_WATCHED = {
    "drafter": (DSparkDrafter, "propose"),
    "context": (DSparkDrafter, "append"),
    "choose": (turn_module, "choose_tokens"),
    "record": (engine_module, "from_completion"),
    "write": (Recorder, "write"),
}
_PHASES = ("admit", "draft", "plan", "forward", "commit")

# A request's end is announced within its last turn, a moment before that turn is counted.
_SETTLE_S = 0.02


def measure(bench: Bench) -> Measurement:
    """The share of the turns' time that is neither the target, the drafter nor choosing tokens.

    That is: admission, looking for copies, planning, block and prefix bookkeeping, text and
    delivery of tokens, and the trace. One stream; the value is the higher share of both arms.
    """
    spent: dict[str, Counter[str]] = {arm: Counter() for arm in ARMS}
    work = [(r, at) for r in range(bench.settings.repeats) for at in range(len(bench.prompts))]
    with _watches() as watches:
        for repeat, at in track(work, "overhead"):
            for arm in in_turn(ARMS, repeat + at):
                options = arm_options(arm, cache_salt=f"overhead/{repeat}/{at}")
                before = _reading(bench.engine, watches)
                bench.engine.generate(
                    bench.prompts[at].token_ids, bench.sampling(), options=options
                )
                time.sleep(_SETTLE_S)
                spent[arm].update(_reading(bench.engine, watches))
                spent[arm].subtract(before)
    shares = {arm: ratio(_overhead(spent[arm]), _turns_s(spent[arm])) for arm in ARMS}
    per_turn = {arm: (ratio(_overhead(spent[arm]), spent[arm]["turns"]) or 0) * 1e3 for arm in ARMS}
    return Measurement(
        name="overhead",
        title="trace and scheduling, share of a turn of the loop",
        unit="share",
        value=max((share for share in shares.values() if share is not None), default=None),
        bar=0.02,
        sense="at most",
        note=", ".join(f"{arm} {per_turn[arm]:.2f} ms a turn" for arm in ARMS),
        figures={arm: {"share": shares[arm], **_per_turn(spent[arm])} for arm in ARMS},
    )


@contextmanager
def _watches() -> Iterator[dict[str, Stopwatch]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(watched(owner, attribute))
            for name, (owner, attribute) in _WATCHED.items()
        }


def _reading(engine: Engine, watches: dict[str, Stopwatch]) -> dict[str, float]:
    """Seconds so far by phase and by watch, and the number of turns."""
    times = dataclasses.asdict(engine.stats().times)
    phases = {phase: times[f"{phase}_s"] for phase in _PHASES}
    return {
        "turns": times["turns"],
        **phases,
        **{name: watch.seconds for name, watch in watches.items()},
    }


def _turns_s(spent: Counter[str]) -> float:
    return sum(spent[phase] for phase in _PHASES)


def _overhead(spent: Counter[str]) -> float:
    model = ("forward", "drafter", "context", "choose")
    return _turns_s(spent) - sum(spent[name] for name in model)


def _per_turn(spent: Counter[str]) -> dict[str, JsonValue]:
    """Milliseconds a turn; phases without what is listed beside them."""
    own = {
        "turn": _turns_s(spent),
        "admit": spent["admit"],
        "draft": spent["draft"] - spent["drafter"],
        "drafter": spent["drafter"] + spent["context"],
        "plan": spent["plan"],
        "forward": spent["forward"],
        "choose": spent["choose"],
        "commit": spent["commit"] - sum(spent[n] for n in ("context", "choose", "record", "write")),
        "trace": spent["record"] + spent["write"],
    }
    turns = spent["turns"]
    figures: dict[str, JsonValue] = {"turns": int(turns)}
    for name, seconds in own.items():
        figures[f"{name}_ms"] = round(seconds / turns * 1e3, 4) if turns else None
    return figures
