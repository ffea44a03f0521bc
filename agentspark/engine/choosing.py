"""The accept phase: from a sequence's logit rows to its next tokens."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from agentspark.engine.grammar import bits as masks
from agentspark.engine.grammar.bits import Bits
from agentspark.engine.penalties import add_bias, ban_early_end
from agentspark.engine.sampler import argmax_ids, probabilities, token_logprobs
from agentspark.engine.sequence import Sequence
from agentspark.engine.verify import verify_greedy, verify_sampled


def choose_tokens(
    sequences: Seq[Sequence], logits: Tensor, end_ids: frozenset[int]
) -> list[list[int]]:
    """Per sequence, the tokens this round commits: its accepted drafts and the token after them.

    ``logits`` ``[R, V]`` holds, in the sequences' order, ``1 + len(proposal)`` rows each.
    """
    best: list[int] | None = None
    if any(sequence.plain_greedy for sequence in sequences):
        best = argmax_ids(logits)
    chosen, row = [], 0
    for sequence in sequences:
        rows = slice(row, row + 1 + len(sequence.proposal))
        if sequence.plain_greedy and best is not None:
            accepted, bonus = verify_greedy(best[rows], sequence.proposal.token_ids)
        else:
            accepted, bonus = _processed(sequence, logits[rows], end_ids)
        chosen.append([*sequence.proposal.token_ids[:accepted], bonus])
        row = rows.stop
    return chosen


def _processed(sequence: Sequence, raw: Tensor, end_ids: frozenset[int]) -> tuple[int, int]:
    """Verify with penalties, the ban on early ends, grammar and sampling applied to every row."""
    params, proposal = sequence.sampling, sequence.proposal
    logits = raw.to(torch.float32, copy=True)
    if sequence.history is not None:
        sequence.history.penalize(logits, params, proposal.token_ids)
    add_bias(logits, params)
    if sequence.grammar is None:
        ban_early_end(logits, params, sequence.output.generated, end_ids)
    else:
        masks.forbid(logits, _grammar_rows(sequence, end_ids))
    if params.greedy:
        return verify_greedy(argmax_ids(logits), proposal.token_ids)
    probs = probabilities(logits, [params] * logits.shape[0])
    if sequence.noise is not None:
        drawn = sequence.noise.choose(probs, sequence.output.generated)
        return verify_greedy(drawn, proposal.token_ids)
    return verify_sampled(probs, proposal, sequence.generator)


def _grammar_rows(sequence: Sequence, end_ids: frozenset[int]) -> Bits:
    """What the grammar allows in every row; an end before ``min_tokens`` only if nothing else."""
    assert sequence.grammar is not None, "only called for a sequence with a grammar"
    rows = sequence.grammar.rows(sequence.proposal.token_ids)
    early = min(sequence.sampling.min_tokens - sequence.output.generated, len(rows))
    if early > 0:
        rows = rows.copy()
        masks.clear(rows, early, tuple(end_ids))
    return rows


def note_logprobs(sequence: Sequence, raw: Tensor, tokens: Seq[int]) -> None:
    """Append the log-probabilities of ``tokens`` (rows of ``raw`` in order) where asked for."""
    wanted = sequence.sampling.logprobs
    if sequence.logprobs is not None and wanted is not None and tokens:
        rows = raw[: len(tokens)]
        sequence.logprobs.extend(token_logprobs(rows, tokens, [wanted] * len(tokens)))
