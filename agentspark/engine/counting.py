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
    if sequence.copies is not None and sequence.copies.predicted(sequence.copy):
        drafts = sequence.proposal.token_ids[:verified]
        predicted = common_prefix(drafts, sequence.copy.token_ids)
        counts.prediction_accepted += min(accepted, predicted)
        counts.prediction_rejected += max(predicted - accepted, 0)
