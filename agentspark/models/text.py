"""Plain text to token ids and back."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import TYPE_CHECKING

from agentspark.models.text_stream import TextStream

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BYTES = tuple(f"<0x{value:02X}>" for value in range(256))


class TextTokenizer:
    """A target's tokenizer, ``hf`` in transformers. Safe to use from several threads.

    ``controls`` has the id of every control token by how it is written.
    """

    def __init__(self, hf: PreTrainedTokenizerBase) -> None:
        self.hf = hf
        self._lock = RLock()  # the tokenizer keeps settings of a call in itself
        added = hf.added_tokens_decoder.items()
        self.controls = {token.content: index for index, token in added if token.special}
        self._control_ids = frozenset(index for index, token in added if token.special)
        vocabulary = hf.get_vocab()
        bytewise = all(name in vocabulary for name in _BYTES)
        self._byte_ids = frozenset(vocabulary[name] for name in _BYTES) if bytewise else frozenset()
        self._newline = self._encode_start("\n", markup=False)
        # SentencePiece tokenizers put a space before a text; inside a chat there is none.
        self._adds_space = self._encode_start("\na", markup=False) != (
            self._newline + self._encode_start("a", markup=False)
        )

    def encode(self, text: str, *, markup: bool = False) -> list[int]:
        """Token ids of ``text``, with the start token if the model wants one.

        Control tokens spelled out in ``text`` stay plain text unless ``markup`` is set.
        """
        return self._encode_start(text, markup=markup, add_special_tokens=True)

    def decode(self, token_ids: Sequence[int], shown: frozenset[int] = frozenset()) -> str:
        """The text of ``token_ids``; control tokens have none, except those that are ``shown``."""
        hidden = self._control_ids - shown
        return self._decode([token for token in token_ids if token not in hidden])

    def token_text(self, token_id: int, *, first: bool = False) -> str:
        """What ``token_id`` adds to a text it does not begin (or does: ``first``).

        A control token is as it is written; a part of a character is a replacement character.
        """
        if first or token_id in self._control_ids:
            return self._decode([token_id])
        # SentencePiece tokenizers take a space off the beginning of what they decode.
        before = self._encode_middle("a", markup=False)
        return self._decode([*before, token_id])[len(self._decode(before)) :]

    def encode_continuation(self, text: str) -> list[int]:
        """Token ids of plain ``text`` that does not begin a sequence."""
        return self._encode_middle(text, markup=False)

    def stream(self, shown: frozenset[int] = frozenset()) -> TextStream:
        """A new incremental detokenizer whose pieces add up to ``decode`` of all its tokens."""
        return TextStream(self._decode, skipped=self._control_ids - shown, joined=self._byte_ids)

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(
            self.hf.decode(
                list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def _encode_start(
        self, text: str, *, markup: bool, add_special_tokens: bool = False
    ) -> list[int]:
        with self._lock:
            return list(
                self.hf.encode(
                    text,
                    add_special_tokens=add_special_tokens,
                    split_special_tokens=not markup,
                    verbose=False,
                )
            )

    def _encode_middle(self, text: str, *, markup: bool) -> list[int]:
        """Token ids of text that does not begin a sequence."""
        if not self._adds_space:
            return self._encode_start(text, markup=markup)
        ids = self._encode_start("\n" + text, markup=markup)
        if ids[: len(self._newline)] == self._newline:
            return ids[len(self._newline) :]
        return self._encode_start(text, markup=markup)
