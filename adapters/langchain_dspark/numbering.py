"""Which call of a stream a piece belongs to, whatever the server numbers them."""

from __future__ import annotations

from openai_dspark.wire.chat_chunk import ToolCallDelta


class CallNumbers:
    """Numbers the calls of one stream in the order they begin.

    Some servers give all calls of an answer one index, or none: a piece with a name and an id that
    the index has not had begins another call there.
    """

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, str | None]] = {}
        self._begun = 0

    def of(self, piece: ToolCallDelta) -> int:
        """The number of the call that ``piece`` is of."""
        number, known = self._places.get(piece.index, (None, None))
        named = piece.function is not None and bool(piece.function.name)
        another = named and piece.id is not None and known is not None and piece.id != known
        if number is None or another:
            number, self._begun = self._begun, self._begun + 1
            known = None
        self._places[piece.index] = number, known or piece.id
        return number
