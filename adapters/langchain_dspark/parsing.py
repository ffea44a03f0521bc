"""The step behind a model that was asked for structured output: whole answers, parsed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig

from langchain_dspark.whole import Check


class Parsing(Runnable[AIMessage, Any]):
    """What ``parser`` makes of an answer that passes ``check``; the errors of both are raised.

    A stream brings what can be read so far, and is checked at its end.
    """

    def __init__(self, check: Check, parser: Runnable[Any, Any]) -> None:
        self._check = check
        self._parser = parser

    def invoke(self, input: AIMessage, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Parse a whole answer."""
        self._check(input)
        return self._parser.invoke(input, config, **kwargs)

    def transform(
        self, input: Iterator[AIMessage], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Parse an answer as it comes."""
        passed = _Passed()
        yield from self._parser.transform(passed.on(input), config, **kwargs)
        self._end(passed)

    async def atransform(
        self, input: AsyncIterator[AIMessage], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Parse an answer as it comes."""
        passed = _Passed()
        async for parsed in self._parser.atransform(passed.aon(input), config, **kwargs):
            yield parsed
        self._end(passed)

    def found(self, answer: AIMessage) -> Any:
        """What a whole answer says; ``None`` where it cannot be parsed."""
        return None if self.error(answer) is not None else self.invoke(answer)

    def error(self, answer: AIMessage) -> ValueError | None:
        """Why a whole answer cannot be parsed, if so."""
        try:
            self.invoke(answer)
        except ValueError as error:  # OutputParserException and Pydantic's errors are
            return error
        return None

    def _end(self, passed: _Passed) -> None:
        if passed.message is not None:
            self.invoke(passed.message)


class _Passed:
    """What has passed on its way to a parser."""

    def __init__(self) -> None:
        self.message: AIMessage | None = None

    def on(self, messages: Iterator[AIMessage]) -> Iterator[AIMessage]:
        for message in messages:
            self._add(message)
            yield message

    async def aon(self, messages: AsyncIterator[AIMessage]) -> AsyncIterator[AIMessage]:
        async for message in messages:
            self._add(message)
            yield message

    def _add(self, message: AIMessage) -> None:
        whole = self.message
        if isinstance(whole, AIMessageChunk) and isinstance(message, AIMessageChunk):
            message = whole + message
        self.message = message
