"""Text of a growing token sequence, piece by piece, never half a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# The character that decoders put in place of bytes that are no valid UTF-8 (yet).
REPLACEMENT = "\ufffd"
# The window is cut back to its last tokens when it has grown to this many.
_WINDOW = 24
_KEPT = 8


class TextStream:
    """Incremental detokenizer: what ``push`` and ``flush`` return adds up to the full decode.

    ``decode`` turns token ids into text. ``skipped`` tokens have no text (control tokens).
    ``joined`` tokens are decided together with their neighbours of the same kind: the single-byte
    tokens of SentencePiece vocabularies. Each ``push`` decodes a short window of tokens, however
    long the sequence is.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        *,
        skipped: frozenset[int] = frozenset(),
        joined: frozenset[int] = frozenset(),
    ) -> None:
        self._decode = decode
        self._skipped = skipped
        self._joined = joined
        self._window: list[int] = []
        self._emitted = 0  # characters of the window's text that are out already
        self._out = 0  # characters that are out already

    def push(self, token_ids: Sequence[int]) -> str:
        """Add tokens; returns the text that no later token can change."""
        self._window.extend(token for token in token_ids if token not in self._skipped)
        settled = len(self._window)
        while settled and self._window[settled - 1] in self._joined:
            settled -= 1
        text = self._decode(self._window[:settled])
        safe = len(text) - text.endswith(REPLACEMENT)
        new = text[self._emitted : safe]
        self._emitted = max(self._emitted, safe)
        if settled == len(self._window) >= _WINDOW and safe == len(text):
            # The last character is whole and lies within the tokens kept, so what these decode to
            # on their own, broken or not at its beginning, is how their text will go on to begin.
            self._window = self._window[-_KEPT:]
            self._emitted = len(self._decode(self._window))
        self._out += len(new)
        return new

    def place(self, token_id: int) -> tuple[int, str]:
        """Add one token; returns the character at which its text begins, and what ``push`` does.

        A token that goes on with a character begins where that does, or inside of it.
        """
        at, before = self._out, self._held()
        new = self.push([token_id])
        after = new + self._held()
        goes_on = after == before or not after.startswith(before)
        return at + len(before.rstrip(REPLACEMENT) if goes_on else before), new

    def flush(self) -> str:
        """The text held back so far, with what is incomplete in it replaced; ends the stream."""
        new = self._held()
        self._window, self._emitted = [], 0
        self._out += len(new)
        return new

    def _held(self) -> str:
        return self._decode(self._window)[self._emitted :]
