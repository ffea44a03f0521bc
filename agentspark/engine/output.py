"""From committed tokens to emitted text: end tokens, length, stop strings, whole characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentspark.engine.params import SamplingParams
from agentspark.engine.result import FinishReason
from agentspark.engine.stops import StopMatcher
from agentspark.models.text_stream import TextStream


@dataclass(slots=True)
class Emitted:
    """What came of a round's tokens: how many were kept, their text, and whether it ended."""

    kept: int
    text: str
    finish_reason: FinishReason | None


class OutputText:
    """One request's output so far. Tokens after the end are dropped, not emitted."""

    def __init__(
        self, stream: TextStream, params: SamplingParams, end_ids: frozenset[int], limit: int
    ) -> None:
        self._stream = stream
        self._stops = StopMatcher(params.stop)
        self._has_stops = bool(params.stop)
        self._end_ids = frozenset() if params.ignore_eos else end_ids
        self._limit = limit
        self._pieces: list[str] = []
        self.generated = 0

    @property
    def text(self) -> str:
        """All text emitted so far."""
        return "".join(self._pieces)

    @property
    def remaining(self) -> int:
        """Tokens that may still come."""
        return self._limit - self.generated

    def push(self, tokens: Sequence[int], complete: FinishReason | None = None) -> Emitted:
        """Take a round's tokens in order, up to the one that ends the request.

        ``complete`` is the reason to end with the last of them: the output is all it had to be.
        """
        kept, reason = self._until_end(tokens)
        if complete is not None and kept == len(tokens):
            reason = complete
        text = ""
        # Only a stop string can end a request inside a token's text; without one, all at once.
        size = 1 if self._has_stops else max(kept, 1)
        for start in range(0, kept, size):
            text += self._stops.push(self._stream.push(tokens[start : min(start + size, kept)]))
            if self._stops.stopped is not None:
                kept, reason = start + 1, "stop"
                break
        if reason is not None:
            text += self._stops.push(self._stream.flush()) + self._stops.flush()
        self.generated += kept
        self._pieces.append(text)
        return Emitted(kept, text, reason)

    def _until_end(self, tokens: Sequence[int]) -> tuple[int, FinishReason | None]:
        for index, token in enumerate(tokens):
            if token in self._end_ids:
                return index + 1, "stop"
            if self.generated + index + 1 >= self._limit:
                return index + 1, "length"
        return len(tokens), None
