"""What an agent has asked and been answered, from traces that carry token ids."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentspark.errors import DataError
from agentspark.trace.reader import read_traces
from agentspark.trace.record import StepRecord
from agentspark.train.responses import Response

# One in five steps is measured on: an agent has hundreds of steps, not millions.
HELD_OUT_SHARE = 0.2
FEWEST_HELD_OUT = 2
FEWEST_STEPS = 8

_RECORD = (
    "Record them anew with --trace-tokens, Engine(..., trace_tokens=True), "
    "ChatDSpark(trace_tokens=True) or AGENTSPARK_TRACE_TOKENS=1."
)


@dataclass(frozen=True, slots=True)
class TraceSteps:
    """Distinct model calls of some traces; ``held_out`` are ids of those to measure on.

    ``notes`` say what was left out and why.
    """

    responses: list[Response]
    held_out: frozenset[str]
    notes: tuple[str, ...]

    @property
    def mostly_greedy(self) -> bool:
        """Whether at least half of the steps to measure on were chosen greedily."""
        greedy = [r.temperature == 0.0 for r in self.responses if r.id in self.held_out]
        return 2 * sum(greedy) >= len(greedy)


def trace_files(paths: Iterable[Path]) -> list[Path]:
    """Return the trace files among ``paths``; of a folder all ``*.jsonl`` below it.

    Raises ``DataError`` where there is none.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
        if not found:
            raise DataError(f"There is no trace (*.jsonl) in {path}: give another folder or files.")
        files.extend(found)
    return files


def read_trace_steps(paths: Iterable[Path], model: str, vocab_size: int) -> TraceSteps:
    """Read the calls of ``model`` that succeeded, once each, and hold some of them out.

    Where no record names ``model``, all are taken: one model has several names (a folder, a hub
    id), and training finds out whether the outputs are the target's. Raises ``DataError`` for
    records without token ids, with ids beyond the vocabulary, and for too few steps.
    """
    files = trace_files(paths)
    records = [record for file in read_traces(files) for record in file.records]
    usable = [r for r in records if r.prompt_token_ids and r.output_token_ids]
    if not usable:
        raise DataError(
            f"None of the {len(records)} records in {_named(files)} carries prompt and output "
            f"token ids, and nothing can be learnt without them. {_RECORD}"
        )
    left_out: Counter[str] = Counter()
    left_out["carry no token ids"] = len(records) - len(usable)
    names = {record.model for record in usable}
    chosen: dict[str, tuple[StepRecord, Response]] = {}
    for record in usable:
        reason = _unusable(record, model if model in names else record.model)
        if reason is None:
            response = _response(record, vocab_size)
            if response.id not in chosen:
                chosen[response.id] = (record, response)
                continue
            reason = "repeat another call token for token"
        left_out[reason] += 1
    held_out = _held_out([record for record, _ in chosen.values()], list(chosen))
    notes = [f"{count} trace records were left out: they {why}." for why, count in left_out.items()]
    kept = [note for note, count in zip(notes, left_out.values(), strict=True) if count]
    return TraceSteps([response for _, response in chosen.values()], held_out, tuple(kept))


def _unusable(record: StepRecord, model: str) -> str | None:
    if record.model != model:
        return f"are of another model than {model}"
    if not record.succeeded:
        return "failed or were cancelled"
    if len(record.output_token_ids or ()) < 2:
        return "have an output of one token"
    return None


def _response(record: StepRecord, vocab_size: int) -> Response:
    prompt, output = record.prompt_token_ids or [], record.output_token_ids or []
    highest = max(max(prompt), max(output))
    if highest >= vocab_size or min(min(prompt), min(output)) < 0:
        raise DataError(
            f"A trace record of {record.model} has token {highest}, the target has {vocab_size} "
            "tokens: these traces are of another model."
        )
    digest = hashlib.sha256(repr((prompt, output)).encode()).hexdigest()
    return Response(
        id=f"trace-{digest[:24]}",
        kind=record.step_kind or "trace",
        temperature=(record.sampling and record.sampling.temperature) or 0.0,
        prompt_token_ids=prompt,
        token_ids=output,
    )


def _held_out(records: Sequence[StepRecord], ids: Sequence[str]) -> frozenset[str]:
    """Ids to measure on: a step of a run, in all its repetitions, is on one side only.

    The choice is a hash's, so that a step stays on its side as traces grow; equal prompts go
    together whatever their step.
    """
    sides: dict[str, str] = {}
    keys = [
        sides.setdefault(r.prompt_hash or name, _key(r, name))
        for r, name in zip(records, ids, strict=True)
    ]
    places = {key: _place(key) for key in keys}
    if len(places) < FEWEST_STEPS:
        raise DataError(
            f"The traces hold {len(places)} different steps, {FEWEST_STEPS} are needed to train on "
            "some and measure on others: record more of the agent's work."
        )
    ranked = sorted(places, key=places.__getitem__)
    count = sum(place < HELD_OUT_SHARE for place in places.values())
    chosen = frozenset(ranked[: min(max(count, FEWEST_HELD_OUT), len(ranked) // 2)])
    return frozenset(name for name, key in zip(ids, keys, strict=True) if key in chosen)


def _key(record: StepRecord, name: str) -> str:
    if record.run is None or record.step is None:
        return record.prompt_hash or name
    return f"{record.run}/{record.step}"


def _place(key: str) -> float:
    """A number from 0 to 1 that is the same for a key in every run."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2.0**64


def _named(files: Sequence[Path]) -> str:
    first = ", ".join(str(file) for file in files[:3])
    return first if len(files) <= 3 else f"{first} and {len(files) - 3} more files"
