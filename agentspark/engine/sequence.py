"""A request while the engine works on it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch

from agentspark.drafting.choose import DraftRecord
from agentspark.drafting.proposal import Proposal
from agentspark.drafting.suffix import SuffixSession
from agentspark.engine.grammar.state import GrammarState
from agentspark.engine.handle import Handle
from agentspark.engine.output import OutputText
from agentspark.engine.request import Request
from agentspark.engine.result import Counts, Timings
from agentspark.kv.contract import PrefixMatch
from agentspark.sampling.logprob import TokenLogprob
from agentspark.sampling.noise import PositionNoise
from agentspark.sampling.params import SamplingParams
from agentspark.sampling.penalties import TokenHistory


@dataclass(slots=True)
class Clock:
    """When things happened to a request (``time.perf_counter`` seconds; start also as unix)."""

    started_at: float = field(default_factory=time.time)
    submitted: float = field(default_factory=time.perf_counter)
    admitted: float | None = None
    first_token: float | None = None
    last_token: float | None = None

    def timings(self) -> Timings:
        """Durations so far; what has not happened stays ``None``."""
        end = time.perf_counter()
        timings = Timings(started_at=self.started_at, total_s=end - self.submitted)
        if self.admitted is not None:
            timings.queue_s = self.admitted - self.submitted
        if self.first_token is not None and self.admitted is not None:
            timings.prefill_s = self.first_token - self.admitted
            timings.ttft_s = self.first_token - self.submitted
            timings.decode_s = (self.last_token or self.first_token) - self.first_token
        return timings


@dataclass(slots=True, eq=False)
class Sequence:
    """A request's tokens, its place in the KV pool, and what the next round needs.

    ``tokens`` are prompt and output. The KV of the first ``computed`` of them is in the pool; in a
    decoding sequence exactly the last token (the anchor) is missing. ``blocks`` is its block
    table: first the blocks of ``match`` (shared, locked), then its own. ``namespace`` is where it
    looks for and leaves prefixes, ``None`` when it shares none. ``accounted`` says that its trace
    record, if any, is written.
    """

    request: Request
    handle: Handle
    output: OutputText
    generator: torch.Generator | None
    noise: PositionNoise | None
    namespace: str | None
    uses_drafter: bool
    copies: SuffixSession | None
    counts: Counts
    tokens: list[int]
    clock: Clock = field(default_factory=Clock)
    history: TokenHistory | None = None
    record: DraftRecord | None = None
    logprobs: list[TokenLogprob] | None = None
    margins: list[float] | None = None
    grammar: GrammarState | None = None
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    match: PrefixMatch | None = None
    proposal: Proposal = field(default_factory=Proposal)
    draft: Proposal = field(default_factory=Proposal)
    copy: Proposal = field(default_factory=Proposal)
    first_row: int = 0
    cancelled: bool = False
    accounted: bool = False

    @property
    def sampling(self) -> SamplingParams:
        """How the request wants its tokens chosen."""
        return self.request.sampling

    @property
    def anchor(self) -> int:
        """The last committed token."""
        return self.tokens[-1]

    @property
    def decoding(self) -> bool:
        """Whether only the anchor is left to compute and output has begun."""
        return self.output.generated > 0 and self.computed == len(self.tokens) - 1

    @property
    def generated_ids(self) -> list[int]:
        """The output tokens."""
        return self.tokens[self.counts.prompt_tokens :]

    @property
    def fixed(self) -> bool:
        """Whether its output is settled by the target alone: greedy, or sampled with a seed.

        Drafts of such a request cannot bias anything, however they are chosen and cut.
        """
        return self.sampling.greedy or self.noise is not None

    @property
    def speculates(self) -> bool:
        """Whether anything may be drafted for it."""
        return self.request.options.speculation != "off"

    @property
    def plain_greedy(self) -> bool:
        """Whether the next tokens are argmaxes of unprocessed logits."""
        params = self.sampling
        processed = params.penalized or params.min_tokens > 0 or bool(params.logit_bias)
        return params.greedy and not processed and self.grammar is None
