"""From rollouts to scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from agentspark.common import common_prefix
from agentspark.engine.result import Completion, Counts
from agentspark.evaluation.contestants import Contestant
from agentspark.evaluation.results import ALL_KINDS, Difference, Score
from agentspark.evaluation.rollouts import BASELINE, Acceptance, Rollout, Turn
from agentspark.report.statistics import known_median, ratio


def score_turns(
    contestants: Sequence[Contestant], turns: Sequence[Turn], *, seeded: bool
) -> list[Score]:
    """Scores of each contestant at each temperature: over all prompts, then by kind."""
    scores = []
    for temperature in dict.fromkeys(turn.temperature for turn in turns):
        here = [t for t in turns if t.temperature == temperature and t.rollouts]
        kinds = sorted({turn.prompt.kind for turn in here})
        for contestant in contestants:
            for kind in (ALL_KINDS, *kinds):
                some = [t for t in here if kind in (ALL_KINDS, t.prompt.kind)]
                fixed = temperature == 0.0 or seeded
                scores.append(_score(contestant.name, temperature, kind, some, fixed))
    return scores


def find_differences(turns: Sequence[Turn], *, seeded: bool) -> list[Difference]:
    """Outputs that should be the baseline's, token for token, and are not."""
    found = []
    for turn in turns:
        if not turn.rollouts or (turn.temperature > 0.0 and not seeded):
            continue
        expected = turn.rollouts[BASELINE.name].completion.token_ids
        for name, rollout in turn.rollouts.items():
            got = rollout.completion.token_ids
            if got != expected:
                found.append(Difference(
                    contestant=name, prompt=turn.prompt.id, temperature=turn.temperature,
                    position=common_prefix(got, expected),
                ))  # fmt: skip
    return found


def _score(name: str, temperature: float, kind: str, turns: Sequence[Turn], fixed: bool) -> Score:
    own = [turn.rollouts[name] for turn in turns]
    plain = [turn.rollouts[BASELINE.name] for turn in turns]
    counts = [rollout.completion.counts for rollout in own]
    ended = [r.completion.counts for r in own if r.completion.finish_reason != "length"]
    verified = sum(count.verified_tokens for count in counts)
    accepted = sum(count.accepted_tokens for count in counts)
    speed, base = total_speed(own), total_speed(plain)
    return Score(
        contestant=name,
        temperature=temperature,
        kind=kind,
        prompts=len(own),
        completion_tokens=sum(count.completion_tokens for count in counts),
        rounds=sum(count.rounds for count in counts),
        accepted_length=_accepted_length(counts),
        accepted_length_error=_standard_error(counts),
        ended=len(ended),
        ended_accepted_length=_accepted_length(ended),
        ended_accepted_length_error=_standard_error(ended),
        conditional=_conditional(rollout.acceptance for rollout in own),
        draft_tokens=sum(count.draft_tokens for count in counts),
        verified_tokens=verified,
        accepted_tokens=accepted,
        wasted_tokens=verified - accepted,
        tokens_s=speed,
        baseline_tokens_s=base,
        speedup=known_median(
            ratio(decode_speed(a.completion), decode_speed(b.completion))
            for a, b in zip(own, plain, strict=True)
        ),
        total_speedup=ratio(speed, base),
        identical=sum(
            a.completion.token_ids == b.completion.token_ids
            for a, b in zip(own, plain, strict=True)
        )
        if fixed
        else 0,
        comparable=len(own) if fixed else 0,
    )


def _accepted_length(counts: Sequence[Counts]) -> float | None:
    """Tokens a round; an answer's first token comes from its prompt."""
    tokens = sum(count.completion_tokens - 1 for count in counts if count.rounds)
    return ratio(tokens, sum(count.rounds for count in counts))


def _standard_error(counts: Sequence[Counts]) -> float | None:
    """Of ``_accepted_length``, a ratio of sums over prompts; ``None`` for fewer than two.

    Linearised: the spread of what each prompt has more than its rounds at the common ratio.
    """
    length = _accepted_length(counts)
    used = [count for count in counts if count.rounds]
    if length is None or len(used) < 2:
        return None
    more = [count.completion_tokens - 1 - length * count.rounds for count in used]
    spread = math.sqrt(sum(one * one for one in more) * len(used) / (len(used) - 1))
    return spread / sum(count.rounds for count in used)


def _conditional(acceptances: Iterable[Acceptance]) -> list[float | None]:
    tried: list[int] = []
    kept: list[int] = []
    for one in acceptances:
        for total, counts in ((tried, one.tried), (kept, one.kept)):
            total.extend([0] * (len(counts) - len(total)))
            for k, count in enumerate(counts):
                total[k] += count
    return [k / t if t else None for t, k in zip(tried, kept, strict=True)]


def decode_speed(run: Completion) -> float | None:
    """Tokens per second after the first token; ``None`` for an answer of one token."""
    return ratio(run.counts.completion_tokens - 1 or None, run.timings.decode_s)


def total_speed(rollouts: Sequence[Rollout]) -> float | None:
    """All tokens after the first ones over all decode time: long answers weigh more."""
    runs = [rollout.completion for rollout in rollouts]
    tokens = sum(run.counts.completion_tokens - 1 for run in runs)
    return ratio(tokens or None, sum(run.timings.decode_s or 0.0 for run in runs))
