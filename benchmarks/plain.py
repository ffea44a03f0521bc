"""The engine without any speculation, against transformers' own ``generate``."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from agentspark.cli.arms import arm_options
from agentspark.models import load_target
from agentspark.report.statistics import ratio
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.progress import track
from benchmarks.prompts import Prompt

_WARM_UP_TOKENS = 8


def measure(bench: Bench) -> Measurement:
    """Tokens per second of whole calls (prefill included), one stream, end tokens ignored.

    The value is the median over the prompts of the ratio of both speeds.
    """
    reference = _reference(bench)
    work = [(r, at) for r in range(bench.settings.repeats) for at in range(len(bench.prompts))]
    engine_s: list[list[float]] = [[] for _ in bench.prompts]
    reference_s: list[list[float]] = [[] for _ in bench.prompts]
    same = 0
    _generate(reference, bench.prompts[0], _WARM_UP_TOKENS)
    for repeat, at in track(work, "plain decoding"):
        prompt = bench.prompts[at]
        arms = ("engine", "transformers")
        outputs: dict[str, list[int]] = {}
        for arm in arms if (repeat + at) % 2 == 0 else arms[::-1]:
            started = time.perf_counter()
            if arm == "engine":
                outputs[arm] = _engine(bench, prompt)
                engine_s[at].append(time.perf_counter() - started)
            else:
                outputs[arm] = _generate(reference, prompt, bench.settings.max_tokens)
                reference_s[at].append(time.perf_counter() - started)
        same += outputs["engine"] == outputs["transformers"]
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
            "transformers_attention": reference.config._attn_implementation,
            "same_output_share": same / len(work),
            "prompts": [prompt.id for prompt in bench.prompts],
        },
    )


def _reference(bench: Bench) -> PreTrainedModel:
    """The same weights as transformers loads them, on the same device in the same dtype."""
    spec = bench.engine.target.spec
    folder = bench.engine.target.folder
    model = load_target(folder, dtype=spec.dtype, device=str(spec.device)).model
    # Without end tokens both sides write exactly as many tokens as they are asked for.
    model.generation_config = GenerationConfig(pad_token_id=min(spec.eos_token_ids, default=0))
    return model


def _engine(bench: Bench, prompt: Prompt) -> list[int]:
    sampling = bench.sampling(ignore_eos=True)
    options = arm_options("baseline")
    return bench.engine.generate(prompt.token_ids, sampling, options=options).token_ids


@torch.inference_mode()
def _generate(model: PreTrainedModel, prompt: Prompt, tokens: int) -> list[int]:
    ids = torch.tensor([prompt.token_ids], device=model.device)
    generate: Any = model.generate
    output = generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False
    )
    written: list[int] = output[0, ids.shape[1] :].tolist()
    return written
