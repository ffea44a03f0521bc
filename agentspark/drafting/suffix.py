"""Drafts copied from what the agent has read and said: no model, no parameters.

An agent quotes its tools, repeats identifiers and rewrites its own text. Where the last tokens of
a request occurred before, what followed then is proposed again, with a survival estimate learned
from how often such copies were kept.

Whose tokens: a request sees its own prompt and output, and those of earlier and sibling requests
of the same *scope*. The caller makes the scope from the cache salt and the run, so that nothing
crosses tenants (a timing probe could tell what others said) and no arm or repetition of a
comparison copies another one's output.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from agentspark.drafting.ngrams import MAX_MATCH, Match
from agentspark.drafting.proposal import Proposal, one_hot
from agentspark.drafting.suffix_index import SharedTokens, SuffixIndex
from agentspark.drafting.survival import SurvivalEstimator
from agentspark.recent import Recent

SOURCE = "suffix"
# First guess of the conditional survival by match length, before anything was observed.
_PRIOR = {2: 0.35, 3: 0.5, 4: 0.6, 5: 0.65, 6: 0.7, 8: 0.78, 12: 0.85, 16: 0.9, 24: 0.93, 32: 0.95}


@dataclass(frozen=True, slots=True)
class CopyKey:
    """What is remembered of a copy: its ``kind`` (what survival is learned by), and its origin.

    ``predicted`` are the places of the drafts that were copied out of the request's prediction.
    """

    kind: Hashable
    predicted: range = range(0)


class SuffixSource:
    """Proposes copies for all requests of an engine. Used by the loop thread alone.

    ``scopes`` and ``capacity`` bound the memory: the least recently used scope is forgotten.
    """

    def __init__(self, *, scopes: int = 16, capacity: int = 32768) -> None:
        self.capacity = capacity
        self._scopes: Recent[Hashable, SharedTokens] = Recent(max(scopes, 1))
        self.estimator = SurvivalEstimator(_prior)

    def open(
        self,
        prompt_ids: Sequence[int],
        scope: Hashable | None = None,
        prediction: Sequence[int] = (),
    ) -> SuffixSession:
        """Begin a request. ``scope`` ``None`` keeps its tokens to itself.

        ``prediction`` is what the request's output may turn out to be. Nothing is indexed before
        the first proposal is asked for, which is after the first token.
        """
        return SuffixSession(self, prompt_ids, scope, prediction)

    def shared(self, scope: Hashable) -> SharedTokens:
        """The scope's shared tokens; made if new."""
        found = self._scopes.get(scope)
        if found is None:
            found = SharedTokens(self.capacity)
            self._scopes.put(scope, found)
        return found

    def forget(self, scope: Hashable) -> None:
        """Drop what a scope has collected (its run is over)."""
        self._scopes.forget(scope)


class SuffixSession:
    """One request's view: what was predicted of it, then its own tokens, then its scope's."""

    def __init__(
        self,
        source: SuffixSource,
        prompt_ids: Sequence[int],
        scope: Hashable | None,
        prediction: Sequence[int] = (),
    ) -> None:
        self._source = source
        self._scope = scope
        self._prompt = prompt_ids
        self._said: list[int] = []
        self._tail = list(prompt_ids[-MAX_MATCH:])
        self._own: SuffixIndex | None = None
        self._predicted: SuffixIndex | None = None
        if prediction:
            # Behind the end of the prompt, so that it is copied from its first tokens on.
            self._predicted = SuffixIndex(source.capacity)
            self._predicted.extend([*self._tail, *prediction])
        self._prediction = range(len(self._tail), len(self._tail) + len(prediction))

    def extend(self, token_ids: Sequence[int]) -> None:
        """Committed output tokens, in order; rejected drafts must not be given."""
        self._said.extend(token_ids)
        if self._own is not None:
            self._own.extend(token_ids)
        self._tail = (self._tail + list(token_ids))[-MAX_MATCH:]

    def propose(self, max_tokens: int = 16, after: Sequence[int] = ()) -> Proposal:
        """Drafts to follow the last committed token; empty if nothing matches.

        ``after``: drafts of another source that come first; the proposal follows them (its
        survival is conditional on theirs, see ``choose.extend``).
        """
        own = self._own if self._own is not None else self._index()
        tail = (self._tail + list(after))[-MAX_MATCH:] if after else self._tail
        where, match, origin = "own", own.propose(tail, max_tokens), range(0)
        if self._predicted is not None:
            predicted = self._predicted.propose(tail, max_tokens)
            if predicted is not None and (match is None or predicted.length >= match.length):
                # What lies in the prompt's end alone is the request's own, wherever it is found.
                match, origin = predicted, self._places(predicted)
                where = "prediction" if origin else "own"
        if self._scope is not None and (match is None or match.length < MAX_MATCH):
            other = self._source.shared(self._scope).index.propose(tail, max_tokens)
            if other is not None and (match is None or other.length > match.length):
                where, match, origin = "shared", other, range(0)
        if match is None:
            return Proposal(source=SOURCE)
        kind = (where, match.length, _consensus(match))
        survival = self._source.estimator.survival(kind, len(match.token_ids))
        return one_hot(match.token_ids, survival, SOURCE, CopyKey(kind, origin))

    def learn(self, proposal: Proposal, verified: int, accepted: int) -> None:
        """Tell how a proposal of ``propose`` fared: its drafts verified, and kept of those."""
        if isinstance(proposal.key, CopyKey):
            self._source.estimator.update(proposal.key.kind, verified, accepted)

    def predicted(self, proposal: Proposal) -> range:
        """Which drafts of a proposal of ``propose`` were copied from the request's prediction."""
        return proposal.key.predicted if isinstance(proposal.key, CopyKey) else range(0)

    def close(self) -> None:
        """End the request: what it read and said is shared with its scope."""
        if self._scope is not None:
            self._source.shared(self._scope).add([*self._prompt, *self._said])

    def _places(self, match: Match) -> range:
        """Which tokens of a match in the prediction's index are the prediction's.

        The prompt's end comes before it, and a match that runs into its end repeats itself.
        """
        copied, text = len(match.token_ids), self._prediction
        return range(
            min(max(text.start - match.start, 0), copied), min(text.stop - match.start, copied)
        )

    def _index(self) -> SuffixIndex:
        self._own = own = SuffixIndex(self._source.capacity)
        if self._scope is None:
            own.extend(self._prompt)
        else:
            self._source.shared(self._scope).add(self._prompt)
            own.extend(self._prompt[-MAX_MATCH:])
        own.extend(self._said)
        return own


def _consensus(match: Match) -> str:
    """How many equally good matches there were, and whether they went on alike."""
    if match.votes < match.found:
        return "contested"
    return "single" if match.found == 1 else "unanimous"


def _prior(key: Hashable) -> float:
    """Conditional survival of a kind of match before any of it was seen."""
    length, consensus = (key[1], key[2]) if isinstance(key, tuple) else (2, "single")
    return _PRIOR[length] * (0.7 if consensus == "contested" else 1.0)
