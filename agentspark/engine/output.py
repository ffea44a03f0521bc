"""From committed tokens to emitted text: end tokens, length, stop strings, whole characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentspark.engine.result import FinishReason
from agentspark.engine.stops import StopMatcher
from agentspark.models.text_stream import TextStream
from agentspark.models.tools.answer import AnswerReader
from agentspark.models.tools.call import AnswerDelta
from agentspark.sampling.params import SamplingParams


@dataclass(slots=True)
class Emitted:
    """What came of a round's tokens: how many were kept, their text, and whether it ended.

    ``answer`` is what their text adds to the parts of an answer that is read.
    """

    kept: int
    text: str
    finish_reason: FinishReason | None
    answer: AnswerDelta | None = None


class OutputText:
    """One request's output so far. Tokens after the end are dropped, not emitted."""

    def __init__(
        self,
        stream: TextStream,
        params: SamplingParams,
        end_ids: frozenset[int],
        limit: int,
        reader: AnswerReader | None = None,
    ) -> None:
        self._stream = stream
        self._stops = StopMatcher(params.stop)
        self._has_stops = bool(params.stop)
        self._end_ids = frozenset() if params.ignore_eos else end_ids
        self._limit = limit
        self._pieces: list[str] = []
        self._out = 0  # characters emitted
        # Where the texts of tokens begin that have none of it out.
        self._held: list[int] | None = [] if params.stop and params.logprobs is not None else None
        self.reader = reader
        self.generated = 0

    @property
    def text(self) -> str:
        """All text emitted so far."""
        return "".join(self._pieces)

    @property
    def held_tokens(self) -> int:
        """How many of the last tokens have no text out: they are, or may be, of a stop string.

        A token that a stop string begins inside of has. Only known where log-probabilities are
        asked for, which have to fit the text; 0 elsewhere.
        """
        return len(self._held or ())

    @property
    def stopped_by(self) -> str | None:
        """The stop string that ended the output, if one did."""
        return self._stops.stopped

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
        pieces: list[tuple[int, str]] = []
        # Only a stop string can end a request inside a token's text; without one, all at once.
        # Reasoning is counted in tokens.
        counting = self.reader is not None and self.reader.counting
        size = 1 if self._has_stops or counting else max(kept, 1)
        for start in range(0, kept, size):
            end = min(start + size, kept)
            pieces.append((end - start, self._stops.push(self._decode(tokens[start:end]))))
            if self._stops.stopped is not None:
                kept, reason = start + 1, "stop"
                break
        if reason is not None:
            pieces.append((0, self._stops.push(self._stream.flush()) + self._stops.flush()))
        self.generated += kept
        text = "".join(piece for _, piece in pieces)
        self._pieces.append(text)
        self._out += len(text)
        self._release(whole=reason is not None and self._stops.stopped is None)
        answer = self._read(pieces, last=reason is not None)
        if reason == "stop" and self.reader is not None and self.reader.answer.tool_calls:
            reason = "tool_calls"
        return Emitted(kept, text, reason, answer)

    def _decode(self, tokens: Sequence[int]) -> str:
        if self._held is None:
            return self._stream.push(tokens)
        (token,) = tokens  # with stop strings, one at a time
        begins, text = self._stream.place(token)
        self._held.append(begins)
        return text

    def _release(self, *, whole: bool) -> None:
        """Let go of the tokens up to the last one that has text out, or of all."""
        held = self._held or []
        out = len(held) if whole else 0
        out = max([out, *(index + 1 for index, at in enumerate(held) if at < self._out)])
        del held[:out]

    def _read(self, pieces: Sequence[tuple[int, str]], *, last: bool) -> AnswerDelta | None:
        if self.reader is None:
            return None
        whole = AnswerDelta()
        for index, (tokens, text) in enumerate(pieces):
            whole.add(self.reader.push(text, tokens, last=last and index == len(pieces) - 1))
        return whole

    def _until_end(self, tokens: Sequence[int]) -> tuple[int, FinishReason | None]:
        for index, token in enumerate(tokens):
            if token in self._end_ids:
                return index + 1, "stop"
            if self.generated + index + 1 >= self._limit:
                return index + 1, "length"
        return len(tokens), None
