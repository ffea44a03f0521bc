"""The step behind a model that was asked for structured output: whole answers, parsed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import AddableDict, Runnable, RunnableConfig

from langchain_dspark.whole import Check


class Parsing(Runnable[AIMessage, Any]):
    """What ``parser`` makes of an answer that passes ``check``; the errors of both are raised.

    A stream brings what can be read so far, and is checked at its end.
    """

    @property
    def InputType(self) -> Any:
        """What goes in."""
        return AIMessage

    @property
    def OutputType(self) -> Any:
        """What comes out: what the parser makes."""
        return self._parser.OutputType

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

    def _end(self, passed: _Passed) -> None:
        if passed.message is not None:
            # Untold: tracers have seen the parser read the whole answer as its pieces came.
            self.invoke(passed.message, {"callbacks": []})


class WithRaw(Runnable[dict[str, Any], dict[str, Any]]):
    """Adds to a ``raw`` answer what ``parsing`` makes of it, ``parsed``, and ``parsing_error``.

    A stream brings the raw answer as it comes, and the others at its end.
    """

    def __init__(self, parsing: Parsing) -> None:
        self._parsing = parsing

    @property
    def InputType(self) -> Any:
        """What goes in."""
        return dict[str, Any]

    @property
    def OutputType(self) -> Any:
        """What comes out."""
        return dict[str, Any]

    def invoke(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Parse a whole answer."""
        return {**input, **self._read(input["raw"], config)}

    def transform(
        self, input: Iterator[dict[str, Any]], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """Parse an answer at its end."""
        passed = _Passed()
        for part in input:
            passed.add(part["raw"])
            yield AddableDict(part)
        if passed.message is not None:
            yield self._read(passed.message, config)

    async def atransform(
        self,
        input: AsyncIterator[dict[str, Any]],
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[dict[str, Any]]:
        """Parse an answer at its end."""
        passed = _Passed()
        async for part in input:
            passed.add(part["raw"])
            yield AddableDict(part)
        if passed.message is not None:
            yield self._read(passed.message, config)

    def _read(self, answer: AIMessage, config: RunnableConfig | None) -> AddableDict:
        try:
            return AddableDict(parsed=self._parsing.invoke(answer, config), parsing_error=None)
        except ValueError as error:  # OutputParserException and Pydantic's errors are
            return AddableDict(parsed=None, parsing_error=error)


class _Passed:
    """What has passed on its way to a parser."""

    def __init__(self) -> None:
        self.message: AIMessage | None = None

    def on(self, messages: Iterator[AIMessage]) -> Iterator[AIMessage]:
        for message in messages:
            self.add(message)
            yield message

    async def aon(self, messages: AsyncIterator[AIMessage]) -> AsyncIterator[AIMessage]:
        async for message in messages:
            self.add(message)
            yield message

    def add(self, message: AIMessage) -> None:
        """Join ``message`` to what has passed."""
        whole = self.message
        if isinstance(whole, AIMessageChunk) and isinstance(message, AIMessageChunk):
            message = whole + message
        self.message = message
