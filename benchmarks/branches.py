"""What sixteen branches of one long prefix take in KV memory, against one branch."""

from __future__ import annotations

from functools import partial

from pydantic import JsonValue

from agentspark.cli.arms import arm_options
from agentspark.engine.engine import Engine
from agentspark.engine.handle import Event, Handle
from agentspark.engine.request import Request
from agentspark.report.statistics import ratio
from agentspark.sampling.params import SamplingParams
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement

# What a branch adds to the prefix: the end of its prompt, and an answer. Memory goes by whole
# blocks and room for the answer is taken ahead, so long answers are measured beside short ones.
_OWN_TOKENS = 8
_SHORT_ANSWER = 8
_LONG_ANSWER = 32


def measure(bench: Bench, prefix_tokens: int = 2000, branches: int = 16) -> Measurement:
    """KV bytes in use when every branch has begun to answer, over those of a single branch.

    The value is of short answers, where nearly all of a branch is the prefix. ``peak_ratio`` is
    the same at the most bytes in use until the last branch ended, ``ideal_ratio`` what single
    tokens, each stored once, would give. Drafts need room too: a few tokens behind the last one.
    """
    with bench.fresh_engine() as engine:
        prefix = _prefix(bench, prefix_tokens)
        runs = {
            name: (
                _Branches(engine, prefix, 1, answer),
                _Branches(engine, prefix, branches, answer),
            )
            for name, answer in (("short", _SHORT_ANSWER), ("long", _LONG_ANSWER))
        }
        block = engine.stats().block_tokens
    one, many = runs["short"]
    return Measurement(
        name="branches",
        title=f"KV memory of {branches} branches with a common prefix of {prefix_tokens} tokens, "
        "against one branch",
        unit="x",
        value=ratio(many.begun, one.begun),
        bar=1.2,
        sense="at most",
        note=f"{many.begun / 2**20:.1f} against {one.begun / 2**20:.1f} MiB; "
        f"unshared it would be {branches}x",
        figures={
            "block_tokens": block,
            "own_tokens": _OWN_TOKENS,
            **{name: _figures(*pair) for name, pair in runs.items()},
        },
    )


class _Branches:
    """Runs ``count`` branches at once and reads the memory in use as their tokens come.

    ``begun``: bytes at the moment the last branch gave its first token. ``peak``: the most bytes.
    """

    def __init__(self, engine: Engine, prefix: list[int], count: int, answer: int) -> None:
        self.answer = answer
        self.tokens = len(prefix) + count * (_OWN_TOKENS + answer)
        self._engine = engine
        self._already = engine.stats().kv_bytes_used
        self._count = count
        self._seen: set[str] = set()
        self.begun = 0
        self.peak = 0
        handles = [
            engine.submit(_request(prefix, branch, count, answer)) for branch in range(count)
        ]
        for handle in handles:
            handle.redirect(partial(self._note, handle))
        for handle in handles:
            handle.result()

    def _note(self, handle: Handle, event: Event) -> None:
        """Called on the loop's thread, between two steps of it, so the reading is consistent."""
        if isinstance(event, BaseException):
            return
        used = self._engine.stats().kv_bytes_used - self._already
        self.peak = max(self.peak, used)
        self._seen.add(handle.request_id)
        if len(self._seen) == self._count and not self.begun:
            self.begun = used


def _figures(one: _Branches, many: _Branches) -> dict[str, JsonValue]:
    return {
        "answer_tokens": one.answer,
        "ratio": ratio(many.begun, one.begun),
        "peak_ratio": ratio(many.peak, one.peak),
        "ideal_ratio": many.tokens / one.tokens,
        "one_bytes": one.begun,
        "branches_bytes": many.begun,
        "one_peak_bytes": one.peak,
        "branches_peak_bytes": many.peak,
    }


def _request(prefix: list[int], branch: int, count: int, answer: int) -> Request:
    distinct = list(dict.fromkeys(prefix))
    own = [distinct[branch % len(distinct)], *prefix[: _OWN_TOKENS - 1]]
    return Request(
        prompt_token_ids=[*prefix, *own],
        sampling=SamplingParams(max_tokens=answer, ignore_eos=True),
        options=arm_options("accelerated", cache_salt=f"branches/{count}/{answer}"),
    )


def _prefix(bench: Bench, length: int) -> list[int]:
    """The beginning of the first transcript's last step, repeated if it is too short."""
    ids = bench.engine.target.tokenizer.encode_chat(bench.transcripts[0].steps[-1])
    return (ids * -(-length // len(ids)))[:length]
