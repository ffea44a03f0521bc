"""Whether drafts are as good after a prefix hit as they are on the same prompt computed cold."""

from __future__ import annotations

from dataclasses import replace

from agentspark.engine.params import RequestOptions
from agentspark.engine.result import Completion
from agentspark.report.statistics import ratio
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.pairs import accepted_length
from benchmarks.progress import track
from benchmarks.prompts import Prompt


def measure(bench: Bench) -> Measurement:
    """Accepted length on a hit over accepted length cold; 1 is equal.

    Every prompt, and the last step of every transcript, is answered twice under a salt of its own:
    cold, then from the cache. The value is of whole proposals from one source, so that nothing but
    the context that the hit restored can change it; ``auto`` has the scheduler in it, which also
    learns from the clock.
    """
    engine = bench.engine
    source = RequestOptions(
        speculation="suffix" if engine.drafter_name is None else "dspark", verify="full"
    )
    prompts = [*bench.prompts, *_long_prompts(bench)]
    full = _cold_and_hit(bench, prompts, source, "full")
    auto = _cold_and_hit(bench, prompts, RequestOptions(), "auto")
    cold, hit = (accepted_length(run[at] for run in full) for at in (0, 1))
    return Measurement(
        name="hit",
        title="accepted length on a prefix hit against the same prompt cold",
        unit="x",
        value=ratio(hit, cold),
        bar=1.0,
        sense="equal",
        note=f"{hit or 0:.3f} on hits, {cold or 0:.3f} cold ({source.speculation})",
        figures={
            "hit_accepted_length": hit,
            "cold_accepted_length": cold,
            "auto_hit_accepted_length": accepted_length(run[1] for run in auto),
            "auto_cold_accepted_length": accepted_length(run[0] for run in auto),
            "prompts": len(full),
            "without_hit": len(prompts) - len(full),
            "same_histogram": sum(
                a.counts.accepted_histogram == b.counts.accepted_histogram for a, b in full
            ),
            "same_tokens": sum(a.token_ids == b.token_ids for a, b in full),
            "cached_tokens": sum(run[1].counts.cached_tokens for run in full),
            "prompt_tokens": sum(run[1].counts.prompt_tokens for run in full),
        },
    )


def _long_prompts(bench: Bench) -> list[Prompt]:
    encode = bench.engine.target.tokenizer.encode_chat
    return [Prompt(t.id, "transcript", encode(t.steps[-1])) for t in bench.transcripts]


def _cold_and_hit(
    bench: Bench, prompts: list[Prompt], options: RequestOptions, name: str
) -> list[tuple[Completion, Completion]]:
    """Both completions of each prompt that is long enough to hit at all."""
    runs: list[tuple[Completion, Completion]] = []
    for prompt in track(prompts, f"prefix hits ({name})"):
        salted = replace(options, cache_salt=f"hit/{name}/{prompt.id}")
        cold, hit = (
            bench.engine.generate(prompt.token_ids, bench.sampling(), options=salted)
            for _ in range(2)
        )
        if hit.counts.cached_tokens:
            runs.append((cold, hit))
    return runs
