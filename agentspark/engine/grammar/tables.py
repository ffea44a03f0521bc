"""A tokenizer as grammars see it: control tokens are no text, and no text is a control token.

llguidance encodes text that a grammar forces with the tokenizer as it is, which makes a control
token of a text that spells one (``{"const": "<|im_end|>"}``) and then finds that the grammar does
not allow it. Here such texts are encoded in two parts, so that they stay text; a grammar that
means the token itself names it (``<[2]>``). So are texts that spell a token which was added to the
tokenizer and not to the model (Gemma 3's of images): no token may come that the model cannot say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLTokenizer
    from transformers import PreTrainedTokenizerBase


class _PlainText:
    """What llguidance asks of a tokenizer that is not its own: the tokens, and how to encode.

    Of ``tables``, which may have more, the first ``vocab_size`` tokens.
    """

    bos_token_id: int | None = None

    def __init__(self, tables: LLTokenizer, vocab_size: int) -> None:
        self._tables = tables
        self.eos_token_id: int = tables.eos_token
        known = [tables.decode_bytes([token]) for token in range(tables.vocab_size)]
        special = [i for i in range(vocab_size) if tables.is_special_token(i)]
        self.tokens, self.special_token_ids = known[:vocab_size], special
        unsaid = [*special, *range(vocab_size, tables.vocab_size)]
        texts = {known[i].decode("utf-8", "replace") for i in unsaid}
        spelled = sorted((re.escape(text) for text in texts if text), key=len, reverse=True)
        self._control = re.compile(f"({'|'.join(spelled)})") if spelled else None

    def __call__(self, text: str | bytes) -> list[int]:
        """Encode ``text`` (UTF-8) without control tokens."""
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        if self._control is None:
            return list(self._tables.tokenize_str(text))
        found: list[int] = []
        for number, part in enumerate(self._control.split(text)):
            if number % 2 == 0 and part:
                found.extend(self._tables.tokenize_str(part))
            elif number % 2 == 1:
                # Less its last character it is no control token's text, unless of a shorter one.
                found.extend(self(part[:-1]) if len(part) > 1 else [])
                found.extend(self._tables.greedy_tokenize(part[-1:]))
        return found


@dataclass(frozen=True, slots=True)
class GrammarTables:
    """A tokenizer twice: ``plain`` for grammars, ``spelling`` reads control tokens in texts."""

    plain: LLTokenizer
    spelling: LLTokenizer

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, vocab_size: int, end_ids: Iterable[int]
    ) -> GrammarTables:
        """Make both; half a second for 49,152 tokens.

        Raises ``ValueError`` for a tokenizer that llguidance cannot read.
        """
        from llguidance import LLTokenizer, TokenizerWrapper
        from llguidance.hf import from_tokenizer

        ends = sorted(end_ids)
        known = vocab_size
        if tokenizer.vocab_size <= vocab_size:
            known = max(known, *(token + 1 for token in tokenizer.added_tokens_decoder), 0)
        read = from_tokenizer(tokenizer, n_vocab=known, eos_token=ends)  # type: ignore[arg-type]
        text = TokenizerWrapper(_PlainText(read, vocab_size))
        return cls(LLTokenizer(text, n_vocab=vocab_size, eos_token=ends), read)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of ``text``, control tokens where it spells some."""
        return list(self.spelling.tokenize_str(text, parse_special=True))
