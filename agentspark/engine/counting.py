"""What a round adds to its request's counts."""

from __future__ import annotations

from agentspark.common import common_prefix
from agentspark.engine.sequence import Sequence


def count_round(sequence: Sequence, verified: int, accepted: int) -> None:
    """Count a target pass that verified so many drafts of ``sequence`` and kept so many."""
    counts = sequence.counts
    counts.rounds += 1
    counts.verified_tokens += verified
    counts.accepted_tokens += accepted
    histogram = counts.accepted_histogram
    histogram.extend([0] * (accepted + 1 - len(histogram)))
    histogram[accepted] += 1
    if counts.round_verified is not None and counts.round_accepted is not None:
        counts.round_verified.append(verified)
        counts.round_accepted.append(accepted)
    if sequence.copies is None:
        return
    if predicted := sequence.copies.predicted(sequence.copy):
        drafts = sequence.proposal.token_ids[:verified]
        same = common_prefix(drafts, sequence.copy.token_ids)
        tried = len(predicted[: max(same - predicted.start, 0)])
        kept = min(tried, max(accepted - predicted.start, 0))
        counts.prediction_accepted += kept
        counts.prediction_rejected += tried - kept
