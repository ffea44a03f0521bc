"""How the answers of one request are to be read, and an answer that was read to its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentspark.models.tools.call import AnswerDelta, ToolCall
from agentspark.models.tools.formats import ToolFormat
from agentspark.models.tools.parser import AnswerParser
from agentspark.models.tools.reasoning import Beginning, ReasoningFormat


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """``tools`` ``None``: calls are not looked for. ``shown``: control tokens that have a text.

    ``required``: the answer, behind its reasoning, is calls and nothing else.
    """

    tools: ToolFormat | None = None
    reasoning: ReasoningFormat | None = None
    beginning: Beginning = "none"
    shown: frozenset[int] = frozenset()
    required: bool = False

    @property
    def plain(self) -> bool:
        """Whether an answer is its text, so that there is nothing to read."""
        return self.tools is None and self.reasoning is None

    def reader(self) -> AnswerReader:
        """A new reader of one answer."""
        return AnswerReader(
            AnswerParser(self.tools, self.reasoning, self.beginning, required=self.required)
        )


@dataclass(slots=True)
class Answer:
    """An answer's parts. ``reasoning`` is ``None`` where the model does not reason.

    ``tool_calls`` are complete; ``unfinished`` is the call that the answer's end cut short, with
    the beginning of its arguments.
    """

    content: str = ""
    reasoning: str | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    unfinished: ToolCall | None = None


class AnswerReader:
    """Reads a growing answer and keeps its parts."""

    def __init__(self, parser: AnswerParser) -> None:
        self._parser = parser
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self.reasoning_tokens = 0

    @property
    def reasons(self) -> bool:
        """Whether the model reasons at all."""
        return self._parser.reasons

    @property
    def counting(self) -> bool:
        """Whether the next text is reasoning or may be, and tokens should come one by one."""
        return self._parser.thinking or self._parser.undecided

    def push(self, text: str, tokens: int, *, last: bool) -> AnswerDelta:
        """Add the text of ``tokens`` tokens; ``last`` ends the answer."""
        thought = self._parser.thinking
        delta = self._parser.push(text)
        if thought or self._parser.thinking:
            self.reasoning_tokens += tokens
        if last:
            delta.add(self._parser.flush())
        self._content.append(delta.content)
        self._reasoning.append(delta.reasoning)
        return delta

    @property
    def answer(self) -> Answer:
        """What was read so far."""
        reasons = self._parser.reasons
        return Answer(
            "".join(self._content),
            "".join(self._reasoning) if reasons else None,
            list(self._parser.calls),
            self._parser.unfinished,
        )
