"""The draft and plan phases: which source drafts for whom, and how much is verified."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq

from agentspark.drafting.choose import merge, prefer_copy
from agentspark.drafting.drafter import Drafter, DraftRequest
from agentspark.drafting.pace import DraftPace
from agentspark.drafting.proposal import Proposal
from agentspark.dspark.costs import CostTable
from agentspark.dspark.scheduler import plan
from agentspark.engine.context import DrafterContext
from agentspark.engine.grammar.drafts import copy_under, under
from agentspark.engine.memory import KVMemory
from agentspark.engine.sequence import Sequence

# Gets a drafter's proposal, how many of its drafts were right, and whether that is the final word
# (a request that ends within a round leaves the rest of its drafts open).
DraftWatcher = Callable[[Proposal, int, bool], None]
# Gets the drafts that a round verified, how many of them it decided, and how many of those it kept.
RoundWatcher = Callable[[Proposal, int, int], None]

# Copies are cheap to propose and may be long; a forward of this many rows is still one of few.
MAX_COPY = 15


class Proposing:
    """Drafts for decoding sequences and cuts the drafts to what is worth verifying."""

    def __init__(
        self,
        drafter: Drafter | None,
        context: DrafterContext,
        cost: CostTable,
        memory: KVMemory,
    ) -> None:
        self._drafter = drafter
        self._context = context
        self._cost = cost
        self._memory = memory
        self._pace = DraftPace()
        self._paced = False
        self._committed = 0
        self.drafted = 0
        self.drafting_s = 0.0
        self.draft_watchers: list[DraftWatcher] = []
        self.round_watchers: list[RoundWatcher] = []

    @property
    def block_size(self) -> int:
        """Drafts of one drafter block; 0 without a drafter."""
        return 0 if self._drafter is None else self._drafter.block_size

    @property
    def _confident(self) -> bool:
        return self._drafter is None or self._drafter.confident

    def draft(self, sequences: Seq[Sequence]) -> None:
        """Set every sequence's proposal; the drafter runs once for all that it drafts for."""
        for sequence in sequences:
            sequence.draft = sequence.copy = sequence.proposal = Proposal()
            if sequence.copies is not None:
                limit = min(MAX_COPY, sequence.output.remaining - 1)
                if limit > 0:
                    sequence.copy = sequence.copies.propose(limit)
            if sequence.grammar is not None and sequence.speculates:
                room = sequence.output.remaining - 1
                sequence.copy = copy_under(sequence.grammar, sequence.copy, room)
        drafting = self._to_draft(sequences)
        self.drafted, self.drafting_s, self._committed = len(drafting), 0.0, 0
        if drafting and self._drafter is not None:
            self._context.flush(drafting)
            started, usual = time.perf_counter(), self._drafter.usual_drafts(len(drafting))
            drafts = max(_asked(s, usual, self.block_size) for s in drafting)
            proposals = self._drafter.propose([_draft_request(s) for s in drafting], drafts)
            self.drafting_s = time.perf_counter() - started
            if drafts == usual:
                self._cost.observe_draft(len(drafting), self.drafting_s)
            for sequence, proposal in zip(drafting, proposals, strict=True):
                rated = proposal if self._confident else _expected(sequence, proposal)
                sequence.draft = rated
        for sequence in sequences:
            sequence.proposal = _chosen(sequence)
            if sequence.grammar is not None:
                room = sequence.output.remaining - 1
                sequence.proposal = under(
                    sequence.grammar, sequence.proposal, room, fixed=sequence.fixed
                )
            sequence.counts.draft_tokens += len(sequence.proposal)

    def _to_draft(self, sequences: Seq[Sequence]) -> list[Sequence]:
        """Sequences to draft for: its pass pays now, and no copy is good enough without it.

        Who asks for the drafter by name, or for a number of drafts, always gets it.
        """
        chosen: list[Sequence] = []
        wanting, pays, self._paced = 0, self._pace.drafts(len(sequences)), False
        for sequence in sequences:
            if sequence.record is None or sequence.output.remaining < 2:
                continue
            if sequence.request.options.verify == 0:
                continue  # nothing of it would be looked at
            if self._memory.room(sequence, self.block_size) < self.block_size:
                continue
            if prefer_copy(
                sequence.copy,
                sequence.record.expected(),
                self._cost,
                base_tokens=len(sequences),
                base_yield=float(len(sequences)),
                others_drafted=wanting,
            ):
                continue
            wanting += 1
            # A round in which copies are good enough is the same either way, and one long copy
            # in a few rounds would speak for the way that happened to be tried.
            automatic = sequence.request.options.automatic
            self._paced |= automatic
            if pays or not automatic:
                chosen.append(sequence)
        return chosen

    def plan(self, sequences: Seq[Sequence], other_rows: int) -> None:
        """Cut every proposal to the drafts that this round verifies.

        ``other_rows`` are rows of the forward that are no decoding rows (prefill chunks).
        """
        scheduled: list[Sequence] = []
        base, expected = other_rows + len(sequences), float(len(sequences))
        for sequence in sequences:
            verify = sequence.request.options.verify
            room = self._memory.room(sequence, len(sequence.proposal))
            limit = min(room, sequence.output.remaining - 1)
            if isinstance(verify, int):
                limit = min(limit, verify)
            sequence.proposal = sequence.proposal.truncate(max(limit, 0))
            if verify == "auto":
                scheduled.append(sequence)
            else:
                base += len(sequence.proposal)
                expected += sequence.proposal.expected_accepted
        if not scheduled:
            return
        lengths = plan(
            [sequence.proposal.survival for sequence in scheduled],
            base,
            self._cost.with_drafts(self.drafted),
            free=all(s.fixed or s.proposal.deterministic for s in scheduled),
            base_yield=expected,
        )
        for sequence, length in zip(scheduled, lengths, strict=True):
            sequence.proposal = sequence.proposal.truncate(length)

    def observe(self, rows: int, streams: int, seconds: float) -> None:
        """Learn from a round of ``rows`` rows of decoding ``streams`` that took ``seconds``."""
        self._cost.observe(rows, self.drafted, seconds)
        if self._paced:
            self._pace.observe(streams, self._committed, seconds)

    def learn(self, sequence: Sequence, committed: Seq[int]) -> None:
        """Tell the sources what really followed: ``committed`` tokens after the anchor."""
        self._committed += len(committed)
        if self.round_watchers and sequence.proposal.token_ids:
            outcome = _outcome(sequence, sequence.proposal, committed)
            for watch_round in self.round_watchers:
                watch_round(sequence.proposal, *outcome)
        if sequence.copies is not None:
            sequence.copies.learn(sequence.copy, *_outcome(sequence, sequence.copy, committed))
            sequence.copies.extend(committed)
        if sequence.record is not None:
            decided, kept = _outcome(sequence, sequence.draft, committed)
            sequence.record.update(decided, kept)
            if sequence.draft.token_ids and not decided and not self._confident:
                sequence.record.fade()
            if sequence.draft.token_ids:
                final = decided > kept or kept == len(sequence.draft)
                for watch_draft in self.draft_watchers:
                    watch_draft(sequence.draft, kept, final)


def _asked(sequence: Sequence, usual: int, block: int) -> int:
    """How many drafts a sequence needs; ``usual`` where the scheduler decides what is verified."""
    verify = sequence.request.options.verify
    if verify == "auto":
        return usual
    return block if verify == "full" else min(max(verify, usual), block)


def _draft_request(sequence: Sequence) -> DraftRequest:
    return DraftRequest(
        sequence.anchor,
        sequence.computed,
        sequence.blocks,
        sequence.sampling,
        sequence.generator,
        sequence.noise,
        sequence.output.generated,
        None if sequence.grammar is None else sequence.grammar.lookahead(),
    )


def _expected(sequence: Sequence, proposal: Proposal) -> Proposal:
    """A proposal without confidence, rated by how far the request's earlier ones got.

    Nothing of the drafts themselves is looked at, so this cannot bias a sampled output.
    """
    if sequence.record is None:
        return proposal
    return dataclasses.replace(proposal, survival=sequence.record.expected()[: len(proposal)])


def _chosen(sequence: Sequence) -> Proposal:
    """Fixed output is the same whatever is proposed, so the better of both may be taken."""
    if not sequence.draft.token_ids:
        return sequence.copy
    if sequence.fixed:
        return merge(sequence.draft, sequence.copy)
    return sequence.draft


def _outcome(sequence: Sequence, proposal: Proposal, committed: Seq[int]) -> tuple[int, int]:
    """How many of a proposal's drafts the round decided, and how many of those were right.

    Fixed output is known whether a draft was verified or not. A sampled draft that was not
    verified would be right by chance only, so there the verified ones count: those of the
    drafter where it drafted (see ``_chosen``), else the copied ones.
    """
    drafts = proposal.token_ids
    if not sequence.fixed:
        if proposal is sequence.copy and sequence.draft.token_ids:
            return 0, 0
        drafts = drafts[: len(sequence.proposal)]
    kept = 0
    for draft, token in zip(drafts, committed, strict=False):
        if draft != token:
            return kept + 1, kept
        kept += 1
    return kept, kept
