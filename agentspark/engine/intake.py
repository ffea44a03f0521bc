"""From a request to a sequence: validation, labels, and where it may look for prefixes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentspark.drafting.choose import DraftRecord
from agentspark.drafting.suffix import SuffixSource
from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.handle import Handle
from agentspark.engine.lineage import Lineage
from agentspark.engine.output import OutputText
from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.request import Request
from agentspark.engine.result import Counts
from agentspark.engine.sequence import Sequence
from agentspark.errors import InvalidRequestError
from agentspark.sampling.draw import make_generator
from agentspark.sampling.noise import PositionNoise
from agentspark.sampling.penalties import TokenHistory
from agentspark.trace.context import TraceContext

if TYPE_CHECKING:
    from agentspark.engine.assembly import Parts


class Intake:
    """Makes sequences of requests; what they share across requests is kept here.

    ``margins`` is whether every token's margin over the best other one is noted, ``rounds`` whether
    every round's counts are.
    """

    def __init__(
        self, parts: Parts, context: TraceContext, *, margins: bool = False, rounds: bool = False
    ) -> None:
        self._parts = parts
        self._context = context
        self._margins = margins
        self._rounds = rounds
        self._copies = SuffixSource()
        self._lineage = Lineage()
        target = parts.target
        self._grammars = GrammarCompiler(
            target.tokenizer, target.spec.vocab_size, target.spec.eos_token_ids
        )

    def sequence(self, request: Request, cancel: Callable[[Handle], None]) -> Sequence:
        """A sequence ready to queue. Raises ``InvalidRequestError`` for what cannot be served."""
        spec, tokenizer = self._parts.target.spec, self._parts.target.tokenizer
        request.validate(vocab_size=spec.vocab_size, max_context=self._parts.max_context)
        request = dataclasses.replace(
            request, options=_plain(limited(request.options, self._context))
        )
        if request.options.speculation == "dspark" and self._parts.drafter is None:
            raise InvalidRequestError(
                "speculation='dspark' needs a drafter and this engine has none: load it with one, "
                "or use 'auto', 'suffix' or 'off'.",
                param="speculation",
            )
        params, prompt = request.sampling, list(map(int, request.prompt_token_ids))
        limit = min(params.max_tokens, self._parts.max_context - len(prompt))
        grammar = None
        if request.constraint is not None:
            grammar = self._grammars.state(request.constraint, limit)
        # Nothing is refused from here on: what is refused takes no number of its run's steps.
        request = dataclasses.replace(request, labels=labelled(request.labels, self._context))
        uses_drafter = self._uses_drafter(request)
        answer = request.answer
        stream = tokenizer.stream() if answer is None else tokenizer.stream(answer.shown)
        reader = None if answer is None else answer.reader()
        return Sequence(
            request=request,
            handle=Handle(request.id, cancel, request.labels),
            output=OutputText(stream, params, spec.eos_token_ids, limit, reader),
            generator=None if params.greedy or params.seed is not None else make_generator(None),
            noise=None
            if params.greedy or params.seed is None
            else PositionNoise(params.seed, spec.vocab_size, spec.device),
            namespace=self._namespace(request, uses_drafter),
            uses_drafter=uses_drafter,
            # A copy of ``prompt``: that list grows by what is said, which the copies are told.
            copies=self._copies.open(
                tuple(prompt), self._scope(request), list(map(int, request.prediction))
            )
            if request.options.speculation in ("auto", "suffix")
            else None,
            counts=Counts(
                len(prompt),
                cache_break_position=self._lineage.part(request, prompt),
                round_verified=[] if self._rounds else None,
                round_accepted=[] if self._rounds else None,
            ),
            tokens=prompt,
            history=TokenHistory(prompt, spec.device) if params.penalized else None,
            record=DraftRecord(self._parts.drafter.block_size)
            if uses_drafter and self._parts.drafter is not None
            else None,
            logprobs=None if params.logprobs is None else [],
            margins=[] if self._margins else None,
            grammar=grammar,
        )

    def _uses_drafter(self, request: Request) -> bool:
        return self._parts.drafter is not None and request.options.speculation in ("auto", "dspark")

    def _namespace(self, request: Request, uses_drafter: bool) -> str | None:
        """Prefixes are shared within a salt, and only with requests that fill the same KV.

        Requests without the drafter leave no drafter context behind, so that a request with it
        must not build on their blocks.
        """
        if not request.options.share_prefix:
            return None
        return f"{'drafted' if uses_drafter else 'plain'}:{request.options.cache_salt or ''}"

    def _scope(self, request: Request) -> tuple[str | None, ...] | None:
        """Whose earlier tokens a request may copy: those of its own run, arm and salt."""
        labels = request.labels
        if labels.run is None or not request.options.share_prefix:
            return None
        return (request.options.cache_salt, labels.run, labels.arm)


def labelled(labels: Labels, context: TraceContext) -> Labels:
    """The labels, completed by what ``context`` knows of the run, the step and the arm."""
    place = context.place(run=labels.run, step=labels.step, arm=labels.arm)
    return dataclasses.replace(labels, run=place.run, step=place.step, arm=place.arm)


def limited(options: RequestOptions, context: TraceContext) -> RequestOptions:
    """The options that the arm allows: no speculation and no shared prefix in the baseline."""
    if context.arm != "baseline":
        return options
    return dataclasses.replace(options, speculation="off", share_prefix=False)


def _plain(options: RequestOptions) -> RequestOptions:
    """``options`` with a number that is Python's own, whatever kind was given (NumPy's)."""
    if isinstance(options.verify, str):
        return options
    return dataclasses.replace(options, verify=int(options.verify))
