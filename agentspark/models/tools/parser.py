"""From a growing answer to its parts: reasoning, content, tool calls.

However the text is cut into pieces, the parts add up to the same. Text that may still turn out to
be a marker is held back; white space between content and a marker, and around reasoning, is no
part of either.
"""

from __future__ import annotations

from agentspark.models.tools.call import AnswerDelta, ToolCall, ToolCallDelta, new_call_id
from agentspark.models.tools.formats import ToolFormat
from agentspark.models.tools.json_end import JsonEnd
from agentspark.models.tools.reasoning import Beginning, ReasoningFormat


class AnswerParser:
    """Takes one answer apart. ``tools`` ``None``: calls are not looked for.

    ``required``: the answer can only be calls, so that nothing which might begin one is content.
    ``calls`` are the complete calls so far.
    """

    def __init__(
        self,
        tools: ToolFormat | None,
        reasoning: ReasoningFormat | None = None,
        beginning: Beginning = "none",
        *,
        required: bool = False,
    ) -> None:
        self._tools = tools
        self._required = required
        self._reasoning = reasoning
        inside = reasoning is not None and beginning == "inside"
        optional = reasoning is not None and beginning == "optional"
        self._state = self._thoughts if inside else self._start if optional else self._content
        self._held = ""
        self._space = ""  # white space that is content only if more content follows
        self._begun = False  # whether the present part has any text yet
        self._index = 0
        self._call: tuple[str, str] | None = None
        self._arguments: list[str] = []
        self._json = JsonEnd()
        self.calls: list[ToolCall] = []

    @property
    def reasons(self) -> bool:
        """Whether the model reasons at all."""
        return self._reasoning is not None

    @property
    def thinking(self) -> bool:
        """Whether the next text is reasoning, as far as is known."""
        return self._state == self._thoughts

    @property
    def undecided(self) -> bool:
        """Whether it is not known yet if the answer begins with reasoning."""
        return self._state == self._start

    @property
    def unfinished(self) -> ToolCall | None:
        """The call whose arguments are not complete, as far as it has come."""
        if self._state != self._value or self._call is None:
            return None
        return ToolCall(*self._call, arguments="".join(self._arguments))

    def push(self, text: str) -> AnswerDelta:
        """Add text; returns what it makes certain."""
        delta = AnswerDelta()
        self._held += text
        while self._state(delta):
            pass
        return delta

    def flush(self) -> AnswerDelta:
        """End the answer; returns what was held back, unless it is the head of a call cut short."""
        if self._state == self._start and not self._required:
            self._state = self._content  # what was no opening yet is none
        delta = self.push("")
        if self._state == self._content and not self._calling:
            self._say(delta, self._held)
            if self._begun:
                delta.content += self._space
        elif self._state == self._thoughts:
            self._think(delta, self._held)
        self._held = ""
        return delta

    @property
    def _calling(self) -> bool:
        """Whether the held text, which may become a call's head, is one for certain."""
        if self._tools is None:
            return False
        return self._required or self._held.startswith(self._tools.marker)

    # -- states: each takes what it can from the held text; true if the state changed ----------

    def _start(self, delta: AnswerDelta) -> bool:
        assert self._reasoning is not None, "only models that reason start here"
        opening, text = self._reasoning.opening, self._held.lstrip()
        if text.startswith(opening):
            self._held = text[len(opening) :]
            self._state = self._thoughts
            return True
        if opening.startswith(text):
            return False
        self._state = self._content
        return True

    def _thoughts(self, delta: AnswerDelta) -> bool:
        assert self._reasoning is not None, "only models that reason come here"
        before, found = self._until(self._reasoning.closing)
        self._think(delta, before)
        if found:
            self._state, self._space, self._begun = self._content, "", False
        return found

    def _content(self, delta: AnswerDelta) -> bool:
        if self._tools is None:
            self._say(delta, self._held)
            self._held = ""
            return False
        if self._tools.first_only and (self._begun or self.calls):
            self._say(delta, self._held)
            self._held = ""
            return False
        head = self._tools.head
        if self._tools.first_only:
            text = self._held.lstrip()
            if text.startswith(head):
                self._held = text[len(head) :]
                self._state = self._name
                return True
            if not head.startswith(text):
                self._say(delta, self._held)
                self._held = ""
            return False
        before, found = self._until(head)
        self._say(delta, before)
        if found:
            self._state = self._name
        return found

    def _name(self, delta: AnswerDelta) -> bool:
        assert self._tools is not None, "calls are only found where they are looked for"
        before, found, after = self._held.partition(self._tools.middle)
        if not found:
            return False
        self._call = (new_call_id(), before)
        self._held, self._arguments, self._json = after, [], JsonEnd()
        delta.tool_calls.append(ToolCallDelta(self._index, *self._call, arguments=""))
        self._state = self._value
        return True

    def _value(self, delta: AnswerDelta) -> bool:
        assert self._call is not None, "arguments belong to a call"
        end = self._json.push(self._held)
        piece = self._held if end is None else self._held[:end]
        self._held = self._held[len(piece) :]
        if piece:
            delta.tool_calls.append(ToolCallDelta(self._index, None, None, piece))
            self._arguments.append(piece)
        if end is None:
            return False
        self.calls.append(ToolCall(*self._call, arguments="".join(self._arguments)))
        self._index += 1
        self._state = self._between
        return True

    def _between(self, delta: AnswerDelta) -> bool:
        """After a call: the beginning of the next, or nothing that matters."""
        assert self._tools is not None, "calls are only found where they are looked for"
        _, found = self._until(self._tools.before)
        if found:
            self._state = self._name
        return found

    # -- pieces --------------------------------------------------------------------------------

    def _until(self, mark: str) -> tuple[str, bool]:
        """Take the held text up to ``mark`` (which goes) or up to what may become it."""
        before, found, after = self._held.partition(mark)
        if found:
            self._held = after
            return before, True
        longest = min(len(mark) - 1, len(before))
        ends = (before[len(before) - n :] for n in range(longest, -1, -1))
        keep = next(len(end) for end in ends if mark.startswith(end))
        cut = len(before) - keep
        self._held = before[cut:]
        return before[:cut], False

    def _say(self, delta: AnswerDelta, text: str) -> None:
        """Content, without white space at its beginning (after reasoning) and before calls."""
        text = self._space + text
        if not self._begun and self._reasoning is not None:
            text = text.lstrip()
        shown = text.rstrip() if self._tools is not None else text
        self._space = text[len(shown) :]
        self._begun |= bool(shown)
        delta.content += shown

    def _think(self, delta: AnswerDelta, text: str) -> None:
        text = self._space + text
        if not self._begun:
            text = text.lstrip()
        shown = text.rstrip()
        self._space = text[len(shown) :]
        self._begun |= bool(shown)
        delta.reasoning += shown
