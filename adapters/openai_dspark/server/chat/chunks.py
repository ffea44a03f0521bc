"""From the engine's deltas to the chunks of a chat's stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentspark.engine.result import Completion, Delta
from openai_dspark.server.head import ReplyHead
from openai_dspark.server.tokens import TokenTexts
from openai_dspark.server.usage import metrics_of, usage_of
from openai_dspark.wire.chat_chunk import (
    ChatChunk,
    ChatDelta,
    ChunkChoice,
    FunctionDelta,
    ToolCallDelta,
)


class ChunkWriter:
    """Writes the chunks of one call with ``n`` choices.

    Per choice: the role, then reasoning, content and calls as they come, then the reason it
    ended. With log-probabilities, those of tokens whose text is still held back wait for it.
    """

    def __init__(self, head: ReplyHead, n: int, texts: TokenTexts) -> None:
        self._head = head
        self._begun = [False] * n
        self._tokens = [texts.choice() for _ in range(n)]

    def push(self, index: int, delta: Delta) -> Iterator[ChatChunk]:
        """The chunks that ``delta`` of choice ``index`` makes."""
        if not self._begun[index]:
            self._begun[index] = True
            yield self._chunk(index, ChatDelta(role="assistant", content=""))
        self._tokens[index].add(delta)
        if delta.reasoning:
            yield self._chunk(index, ChatDelta(reasoning_content=delta.reasoning))
        if delta.content:
            chunk = self._chunk(index, ChatDelta(content=delta.content))
            self._attach_logprobs(index, chunk)
            yield chunk
        for call in delta.tool_calls:
            function = FunctionDelta(arguments=call.arguments)
            piece = ToolCallDelta(index=call.index, function=function)
            if call.id is not None:
                function = FunctionDelta(name=call.name, arguments=call.arguments)
                piece = ToolCallDelta(
                    index=call.index, id=call.id, type="function", function=function
                )
            yield self._chunk(index, ChatDelta(tool_calls=[piece]))
        if delta.completion is not None:
            chunk = self._chunk(index, ChatDelta(), delta.completion.finish_reason)
            self._attach_logprobs(index, chunk)
            yield chunk

    def usage(self, choices: Sequence[Completion]) -> ChatChunk:
        """The last chunk, where the client asked for it."""
        return ChatChunk(
            **self._head.fields,
            object="chat.completion.chunk",
            choices=[],
            usage=usage_of(choices, len(choices)),
            metrics=metrics_of(choices),
        )

    def _chunk(self, index: int, delta: ChatDelta, finish: str | None = None) -> ChatChunk:
        choice = ChunkChoice(index=index, delta=delta, finish_reason=finish, logprobs=None)
        return ChatChunk(**self._head.fields, object="chat.completion.chunk", choices=[choice])

    def _attach_logprobs(self, index: int, chunk: ChatChunk) -> None:
        shown = self._tokens[index].chat()
        if shown.content:
            chunk.choices[0].logprobs = shown
