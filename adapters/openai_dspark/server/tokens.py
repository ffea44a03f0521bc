"""Tokens as responses show them: their text, their bytes, their log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from agentspark.engine.result import Delta
from agentspark.models.chat import ChatTokenizer
from agentspark.models.text_stream import TextStream
from agentspark.sampling.logprob import TokenLogprob
from openai_dspark.wire.logprobs import (
    ChatLogprob,
    ChatLogprobs,
    CompletionLogprobs,
    TopLogprob,
)

_UNDECODABLE = "\N{REPLACEMENT CHARACTER}"


class TokenTexts:
    """Shows the tokens of one model. Safe to use from several threads.

    It keeps the text of every token it showed: one answer may show tens of thousands, and most of
    them again and again.
    """

    def __init__(self, tokenizer: ChatTokenizer, end_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._known: dict[tuple[int, bool], str] = {}  # at most the vocabulary, twice

    def choice(self) -> ChoiceTokens:
        """The tokens of a new choice, none so far."""
        return ChoiceTokens(self, self._tokenizer.stream(), self._end_ids)

    def text(self, token_id: int, *, first: bool) -> str:
        """What a token adds to the text, which it begins if it is the ``first``."""
        found = self._known.get((token_id, first))
        if found is None:
            found = self._tokenizer.token_text(token_id, first=first)
            self._known[token_id, first] = found
        return found


class ChoiceTokens:
    """Shows the tokens of one choice, in order; those of whole characters spell its text.

    The token that ended the output is not shown, nor are those of the stop string that did, so that
    the tokens cover what the text has. One that the stop string begins inside of is shown whole, as
    vLLM does (which shows those of the stop string too). Tokens whose text is held back, because it
    may be that of a stop string, wait for it.
    """

    def __init__(self, texts: TokenTexts, stream: TextStream, end_ids: frozenset[int]) -> None:
        self._texts = texts
        self._end_ids = end_ids
        self._stream = stream
        self._first = True
        self._waiting: list[TokenLogprob] = []
        self._held = 0

    def add(self, delta: Delta) -> None:
        """Take the log-probabilities of what is new."""
        self._waiting += delta.logprobs or ()
        self._held = delta.held_tokens
        if delta.completion is not None:
            self._end(delta.completion.finish_reason != "length")

    def chat(self) -> ChatLogprobs:
        """Those that can be shown and were not yet, in the shape of chats."""
        return ChatLogprobs(content=[self._entry(entry) for entry in self._ready()], refusal=None)

    def completion(self, wanted: int) -> CompletionLogprobs:
        """The same in the shape of completions, with ``wanted`` alternatives."""
        shown = CompletionLogprobs(
            tokens=[], token_logprobs=[], top_logprobs=[] if wanted else None, text_offset=[]
        )
        for entry in self._ready():
            shown.tokens.append(self._text(entry.token_id))
            shown.token_logprobs.append(entry.logprob)
            if shown.top_logprobs is not None:
                shown.top_logprobs.append({self._text(token): value for token, value in entry.top})
            shown.text_offset.append(self._stream.place(entry.token_id)[0])
            self._first = False
        return shown

    def _ready(self) -> Sequence[TokenLogprob]:
        cut = len(self._waiting) - self._held
        ready, self._waiting = self._waiting[:cut], self._waiting[cut:]
        return ready

    def _end(self, ended: bool) -> None:
        """Drop what belongs to the end."""
        del self._waiting[len(self._waiting) - self._held :]
        by_token = ended and not self._held and bool(self._waiting)
        if by_token and self._waiting[-1].token_id in self._end_ids:
            self._waiting.pop()
        self._held = 0

    def _entry(self, entry: TokenLogprob) -> ChatLogprob:
        top = [self._top(token_id, logprob) for token_id, logprob in entry.top]
        own = self._top(entry.token_id, entry.logprob)
        self._first = False
        return ChatLogprob(token=own.token, logprob=own.logprob, bytes=own.bytes, top_logprobs=top)

    def _text(self, token_id: int) -> str:
        return self._texts.text(token_id, first=self._first)

    def _top(self, token_id: int, logprob: float) -> TopLogprob:
        text = self._text(token_id)
        # A token may be a part of a character, which is no text.
        spelled = None if _UNDECODABLE in text else list(text.encode("utf-8"))
        return TopLogprob(token=text, logprob=logprob, bytes=spelled)
