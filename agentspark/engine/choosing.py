"""The accept phase: from a sequence's logit rows to its next tokens."""

from __future__ import annotations

import logging
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import torch
from torch import Tensor

from agentspark.common import common_prefix
from agentspark.engine.sequence import Sequence
from agentspark.engine.verify import verify_greedy, verify_sampled
from agentspark.errors import RequestError
from agentspark.sampling import bits as masks
from agentspark.sampling.bits import Bits
from agentspark.sampling.penalties import add_bias, ban_early_end
from agentspark.sampling.sampler import argmax_ids, probabilities, token_logprobs, token_margins

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """The tokens that a round commits to one sequence; the first ``accepted`` were drafts."""

    tokens: list[int]
    accepted: int


def choose_tokens(
    sequences: Seq[Sequence], logits: Tensor, end_ids: frozenset[int]
) -> list[Choice | RequestError]:
    """Per sequence, the tokens this round commits: its accepted drafts and the token after them.

    A grammar goes along at once: it may be complete before the last of them, or have something
    else said (see ``grammar/steering.py``).

    ``logits`` ``[R, V]`` holds, in the sequences' order, ``1 + len(proposal)`` rows each. Where one
    sequence's choice fails, an error stands in its place and the others' go on.
    """
    best: list[int] | None = None
    if any(sequence.plain_greedy for sequence in sequences):
        best = argmax_ids(logits)
    chosen: list[Choice | RequestError] = []
    row = 0
    for sequence in sequences:
        rows = slice(row, row + 1 + len(sequence.proposal))
        row = rows.stop
        if sequence.plain_greedy and best is not None:
            verified = verify_greedy(best[rows], sequence.proposal.token_ids)
            chosen.append(_choice(sequence, *verified))
            continue
        try:
            verified = _processed(sequence, logits[rows], end_ids)
            chosen.append(_choice(sequence, *verified))
        except Exception as error:
            chosen.append(failure(sequence, "its next token could not be chosen", error))
    return chosen


def _choice(sequence: Sequence, accepted: int, bonus: int) -> Choice:
    """The accepted drafts and the token after them, or what a grammar makes of these."""
    drafts = sequence.proposal.token_ids
    tokens = [*drafts[:accepted], bonus]
    if sequence.grammar is None:
        return Choice(tokens, accepted)
    said = sequence.grammar.advance(tokens)
    if sequence.grammar.complete:
        # Its end may be a draft, or a draft's token that was said for another reason.
        return Choice(said, common_prefix(drafts, said))
    return Choice(said, min(accepted, len(said) - 1))


def failure(sequence: Sequence, problem: str, error: Exception) -> RequestError:
    """What a request ends with after an ``error`` that nobody expected; it is logged too."""
    _log.error("Request %s failed.", sequence.request.id, exc_info=error)
    told = RequestError(
        f"Request {sequence.request.id} ended: {problem} "
        f"({type(error).__name__}: {error}). Other requests go on; report this with the log."
    )
    told.__cause__ = error
    return told


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


def note_logits(sequence: Sequence, raw: Tensor, tokens: Seq[int]) -> None:
    """Append what is asked for of the logits of ``tokens`` (rows of ``raw`` in order).

    That is log-probabilities for whoever sent the request, and margins for its record.
    """
    if not tokens:
        return
    rows, wanted = raw[: len(tokens)], sequence.sampling.logprobs
    if sequence.logprobs is not None and wanted is not None:
        sequence.logprobs.extend(token_logprobs(rows, tokens, [wanted] * len(tokens)))
    if sequence.margins is not None:
        sequence.margins.extend(token_margins(rows, tokens))
