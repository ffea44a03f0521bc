"""How much of what a step has in common with the step before comes from the cache."""

from __future__ import annotations

from typing import Any

from agentspark.cli.arms import arm_options
from agentspark.cli.transcripts import Transcript
from agentspark.common import common_prefix
from agentspark.engine.engine import Engine
from agentspark.report.statistics import ratio
from agentspark.sampling.params import SamplingParams
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.progress import track

# Enough for an answer to matter in the next step's prefix.
_ANSWER_TOKENS = 24

Counted = list[tuple[int, int]]


def measure(bench: Bench) -> Measurement:
    """Cached tokens over common tokens, summed over all steps but the first ones.

    Common with the step before are the leading tokens that its prompt and its own answer together
    have in common with this prompt. Measured twice: on the transcripts as they are, and ``live``,
    with the model's own answers in the place of the recorded ones. The value is the lower share.
    """
    recorded: Counted = []
    live: Counted = []
    for transcript in track(bench.transcripts, "shared prefixes"):
        recorded += _cached_and_common(bench.engine, transcript, live=False)
        live += _cached_and_common(bench.engine, transcript, live=True)
    shares = {"recorded": _share(recorded), "live": _share(live)}
    known = [share for share in shares.values() if share is not None]
    return Measurement(
        name="shared",
        title="cached share of the tokens a step shares with the step before",
        unit="share",
        value=min(known, default=None),
        bar=0.95,
        note=f"{len(recorded)} steps, as recorded and with the model's own answers",
        figures={
            **shares,
            "steps": len(recorded),
            "lowest_step": min((c / max(n, 1) for c, n in [*recorded, *live]), default=None),
            "recorded_cached_tokens": sum(cached for cached, _ in recorded),
            "recorded_common_tokens": sum(common for _, common in recorded),
            "live_cached_tokens": sum(cached for cached, _ in live),
            "live_common_tokens": sum(common for _, common in live),
        },
    )


def _cached_and_common(engine: Engine, transcript: Transcript, *, live: bool) -> Counted:
    """Per step from the second on: cached tokens, and tokens common with the step before."""
    sampling = SamplingParams(max_tokens=_ANSWER_TOKENS)
    kind = "live" if live else "recorded"
    options = arm_options("accelerated", cache_salt=f"shared/{kind}/{transcript.id}")
    counted: Counted = []
    before: list[int] = []
    messages: list[dict[str, Any]] = []
    answer = ""
    for step in transcript.steps:
        new = step[len(messages) :]
        if live and messages and new[0]["role"] == "assistant":
            new = [{**new[0], "content": answer}, *new[1:]]
        messages = [*messages, *new]
        done = engine.chat(messages, sampling, options=options)
        if before:
            common = common_prefix(before, done.prompt_token_ids)
            counted.append((done.counts.cached_tokens, common))
        before, answer = [*done.prompt_token_ids, *done.token_ids], done.text
    return counted


def _share(counted: Counted) -> float | None:
    return ratio(sum(cached for cached, _ in counted), sum(common for _, common in counted))
