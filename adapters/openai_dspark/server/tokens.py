"""Tokens as responses show them: their text, their bytes, their log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from agentspark.engine.result import Completion, TokenLogprob
from agentspark.models.chat import ChatTokenizer
from openai_dspark.wire.logprobs import (
    ChatLogprob,
    ChatLogprobs,
    CompletionLogprobs,
    TopLogprob,
)

_UNDECODABLE = "\N{REPLACEMENT CHARACTER}"


class TokenTexts:
    """Shows the tokens of one model."""

    def __init__(self, tokenizer: ChatTokenizer, end_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._end_ids = end_ids

    def text(self, token_id: int) -> str:
        """A token's text, control tokens as they are written."""
        return str(self._tokenizer.hf.decode([token_id], skip_special_tokens=False))

    def shown(
        self, logprobs: Sequence[TokenLogprob], completion: Completion | None
    ) -> Sequence[TokenLogprob]:
        """Without the token that ended the output: it is no part of it."""
        ended = completion is not None and completion.finish_reason != "length"
        if ended and logprobs and logprobs[-1].token_id in self._end_ids:
            return logprobs[:-1]
        return logprobs

    def chat(self, logprobs: Sequence[TokenLogprob]) -> ChatLogprobs:
        """In the shape of chats."""
        content = []
        for entry in logprobs:
            top = [self._top(token_id, logprob) for token_id, logprob in entry.top]
            own = self._top(entry.token_id, entry.logprob)
            content.append(
                ChatLogprob(token=own.token, logprob=own.logprob, bytes=own.bytes, top_logprobs=top)
            )
        return ChatLogprobs(content=content, refusal=None)

    def completion(
        self, logprobs: Sequence[TokenLogprob], wanted: int, offset: int
    ) -> CompletionLogprobs:
        """In the shape of completions; ``offset`` is where the first token's text begins."""
        tokens = [self.text(entry.token_id) for entry in logprobs]
        offsets = []
        for token in tokens:
            offsets.append(offset)
            offset += len(token)
        tops = [
            {self.text(token_id): logprob for token_id, logprob in entry.top} for entry in logprobs
        ]
        return CompletionLogprobs(
            tokens=tokens,
            token_logprobs=[entry.logprob for entry in logprobs],
            top_logprobs=list(tops) if wanted else None,
            text_offset=offsets,
        )

    def _top(self, token_id: int, logprob: float) -> TopLogprob:
        text = self.text(token_id)
        # A token may be a part of a character, which is no text.
        spelled = None if _UNDECODABLE in text else list(text.encode("utf-8"))
        return TopLogprob(token=text, logprob=logprob, bytes=spelled)
