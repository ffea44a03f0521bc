"""The engine without any speculation, against transformers' own ``generate``."""

from __future__ import annotations

import time
from statistics import median

import torch

from agentspark.cli.arms import arm_options
from agentspark.report.statistics import ratio
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.progress import track
from benchmarks.prompts import Prompt
from benchmarks.reference import Answer, Reference

_WARM_UP_TOKENS = 8


def measure(bench: Bench) -> Measurement:
    """Tokens per second of whole calls (prefill included), one stream, end tokens ignored.

    Both sides run in a process of their own with the same threads, in turn. The value is the
    median over the prompts of the ratio of both speeds.
    """
    target = bench.engine.target
    with Reference(
        target.folder,
        dtype=bench.engine.dtype,
        device=str(target.spec.device),
        threads=torch.get_num_threads(),
    ) as reference:
        reference.generate(bench.prompts[0].token_ids, _WARM_UP_TOKENS)
        return _compare(bench, reference)


def _compare(bench: Bench, reference: Reference) -> Measurement:
    work = [(r, at) for r in range(bench.settings.repeats) for at in range(len(bench.prompts))]
    engine_s: list[list[float]] = [[] for _ in bench.prompts]
    reference_s: list[list[float]] = [[] for _ in bench.prompts]
    same = 0
    for repeat, at in track(work, "plain decoding"):
        prompt = bench.prompts[at]
        arms = ("engine", "transformers")
        answers: dict[str, Answer] = {}
        for arm in arms if (repeat + at) % 2 == 0 else arms[::-1]:
            answers[arm] = (
                _engine(bench, prompt)
                if arm == "engine"
                else reference.generate(prompt.token_ids, bench.settings.max_tokens)
            )
        engine_s[at].append(answers["engine"].seconds)
        reference_s[at].append(answers["transformers"].seconds)
        same += answers["engine"].token_ids == answers["transformers"].token_ids
    ours, theirs = [median(s) for s in engine_s], [median(s) for s in reference_s]
    tokens = len(bench.prompts) * bench.settings.max_tokens
    return Measurement(
        name="plain",
        title="engine without speculation against transformers' generate, one stream",
        unit="x",
        value=median(other / own for own, other in zip(ours, theirs, strict=True)),
        bar=1.5,
        note=f"{tokens / sum(ours):.1f} against {tokens / sum(theirs):.1f} tokens/s",
        figures={
            "total_ratio": ratio(sum(theirs), sum(ours)),
            "engine_tokens_s": tokens / sum(ours),
            "transformers_tokens_s": tokens / sum(theirs),
            "engine_ms": [round(s * 1e3, 1) for s in ours],
            "transformers_ms": [round(s * 1e3, 1) for s in theirs],
            "transformers_attention": reference.attention,
            "same_output_share": same / len(work),
            "prompts": [prompt.id for prompt in bench.prompts],
        },
    )


def _engine(bench: Bench, prompt: Prompt) -> Answer:
    sampling = bench.sampling(ignore_eos=True)
    options = arm_options("baseline")
    began = time.perf_counter()
    done = bench.engine.generate(prompt.token_ids, sampling, options=options)
    return Answer(done.token_ids, time.perf_counter() - began)
