"""From finished generations, or their deltas, to text completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentspark.engine.result import Completion, Delta
from openai_dspark.server.head import ReplyHead
from openai_dspark.server.tokens import TokenTexts
from openai_dspark.server.usage import metrics_of, usage_of
from openai_dspark.wire.completion_reply import CompletionChoice, TextCompletion


class CompletionWriter:
    """Writes one call's completions; choices go by prompt, ``n`` for each.

    ``echoes`` go before the choices' texts, ``logprobs`` is the number of alternatives shown.
    """

    def __init__(
        self,
        head: ReplyHead,
        n: int,
        echoes: Sequence[str],
        texts: TokenTexts,
        logprobs: int | None,
    ) -> None:
        self._head = head
        self._n = n
        self._echoes = list(echoes)
        self._logprobs = logprobs
        self._tokens = [texts.choice() for _ in echoes]

    def whole(self, choices: Sequence[Completion]) -> TextCompletion:
        """Everything at once."""
        made = [
            self._choice(
                index,
                Delta(
                    choice.token_ids,
                    choice.text,
                    choice.logprobs,
                    choice,
                    held_tokens=choice.cut_tokens,
                ),
            )
            for index, choice in enumerate(choices)
        ]
        return self._reply(made, choices)

    def push(self, index: int, delta: Delta) -> Iterator[TextCompletion]:
        """The chunk of one delta, if it shows anything."""
        choice = self._choice(index, delta)
        if choice.text or choice.logprobs is not None or choice.finish_reason is not None:
            yield self._reply([choice])

    def usage(self, choices: Sequence[Completion]) -> TextCompletion:
        """The last chunk, where the client asked for it."""
        return self._reply([], choices)

    def _choice(self, index: int, delta: Delta) -> CompletionChoice:
        text, self._echoes[index] = self._echoes[index] + delta.text, ""
        logprobs = None
        if self._logprobs is not None and delta.logprobs is not None:
            self._tokens[index].add(delta)
            logprobs = self._tokens[index].completion(self._logprobs)
        finish = None if delta.completion is None else delta.completion.finish_reason
        return CompletionChoice(index=index, text=text, finish_reason=finish, logprobs=logprobs)

    def _reply(
        self, choices: list[CompletionChoice], done: Sequence[Completion] = ()
    ) -> TextCompletion:
        reply = TextCompletion(**self._head.fields, object="text_completion", choices=choices)
        if done:
            reply.usage = usage_of(done, self._n)
            reply.metrics = metrics_of(done)
        return reply
