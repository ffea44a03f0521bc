"""Grammars of chat answers: free text, tool calls, a response format, reasoning before all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agentspark.engine.grammar.constraint import Constraint, quoted
from agentspark.engine.grammar.schema import SchemaText
from agentspark.models.tools.formats import ToolFormat
from agentspark.models.tools.reasoning import Beginning, ReasoningFormat

# A weak model may call for ever.
MAX_CALLS = 16
_ANY = "/(?s:.+)/"


@dataclass(frozen=True, slots=True)
class Callable:
    """A tool as a grammar sees it; its parameters' schema is ready for the grammar."""

    name: str
    parameters: SchemaText


class AnswerGrammar:
    """Builds the rules of one answer.

    ``specials`` are the control tokens of the tokenizer by text: those are written as tokens, the
    grammar's texts never contain them. ``beginning`` says how the answer starts with respect to
    reasoning: no other rule applies inside a section.
    """

    def __init__(
        self,
        specials: Mapping[str, int],
        reasoning: ReasoningFormat | None = None,
        beginning: Beginning = "none",
    ) -> None:
        self._specials = specials
        self._split = re.compile(
            "|".join(map(re.escape, sorted(specials, key=len)[::-1])) or "(?!)"
        )
        self._reasoning = reasoning
        self._beginning = beginning if reasoning is not None else "none"

    def calls(
        self,
        tools: Sequence[Callable],
        form: ToolFormat,
        *,
        required: bool,
        parallel: bool,
        instead: Constraint | None,
    ) -> Constraint:
        """Calls of ``tools``; if not ``required``, free text (then calls), or ``instead``."""
        rules = self._call_rules(tools, form, parallel)
        schemas = tuple(tool.parameters for tool in tools)
        head, marker = form.head, form.marker
        if required:
            rules.insert(0, f"answer: {self.literal(head)} calls")
        elif instead is not None:
            rules.insert(0, f"answer: wanted | {self.literal(head)} calls")
            rules.append(re.sub(r"^answer:", "wanted:", instead.rules))
            schemas += instead.schemas
        elif form.first_only:
            rules.insert(0, "answer: TEXT? | HEAD calls")
            rules.append(f"HEAD: /[ \\n]{{0,4}}{_escaped(head)}/")
            rules.append(self._text(f"(?s:\\s*{_escaped(head)}.*)"))
        elif self._is_special(marker):
            rules.insert(0, f"answer: TEXT? | TEXT? {self.literal(head)} calls")
            rules.append(self._text())
        else:
            rules.insert(0, f"answer: TEXT? | lead {self.literal(head[len(marker) :])} calls")
            rules.append(self._text(f"(?s:.*{_escaped(marker)}.*)"))
            rules.append(f"lead[lazy]: {self._lead(marker)}")
        pattern = "" if required or instead is None else instead.pattern
        answer = Constraint("\n".join(rules), "tools", schemas, pattern=pattern)
        return self._after_reasoning(answer)

    def no_calls(self, form: ToolFormat) -> Constraint:
        """Free text in which no call can begin."""
        if form.first_only:
            text = self._text(f"(?s:\\s*{_escaped(form.head)}.*)")
        elif self._is_special(form.marker):
            text = self._text()
        else:
            text = self._text(f"(?s:.*{_escaped(form.marker)}.*)")
        return self._after_reasoning(Constraint(f"answer: TEXT?\n{text}", "tool_choice"))

    def format(self, wanted: Constraint) -> Constraint:
        """``wanted``, with reasoning before it where the model reasons."""
        return self._after_reasoning(wanted)

    def literal(self, text: str) -> str:
        """``text`` as rule items: quoted, control tokens as tokens."""
        items, at = [], 0
        for match in self._split.finditer(text):
            items += [quoted(text[at : match.start()])] if match.start() > at else []
            items.append(f"<[{self._specials[match.group()]}]>")
            at = match.end()
        items += [quoted(text[at:])] if at < len(text) else []
        return " ".join(items)

    def _call_rules(self, tools: Sequence[Callable], form: ToolFormat, parallel: bool) -> list[str]:
        more = f"(more){{0,{MAX_CALLS - 1}}} " if parallel else ""
        rules = [f"calls: one {more}{self.literal(form.closing)}".rstrip()]
        rules.append("one: " + " | ".join(f"one_{index}" for index in range(len(tools))))
        if parallel:
            rules.append(f"more: {self.literal(form.between + form.before)} one")
        for index, tool in enumerate(tools):
            start, end = self.literal(tool.name + form.middle), self.literal(form.after)
            rules.append(f"one_{index}: {start} arguments_{index} {end}".rstrip())
            rules.append(f"arguments_{index}: %json {tool.parameters.text}")
        return rules

    def _is_special(self, marker: str) -> bool:
        match = self._split.match(marker)
        return match is not None

    def _text(self, *without: str) -> str:
        """The terminal ``TEXT``: anything but what matches one of ``without``."""
        if self._beginning == "optional" and self._reasoning is not None:
            without = (*without, f"(?s:{_escaped(self._reasoning.opening)}.*)")
        return " & ".join([f"TEXT: {_ANY}", *(f"~/{pattern}/" for pattern in without)])

    def _lead(self, marker: str) -> str:
        lead = f"/(?s:.*){_escaped(marker)}/"
        if self._beginning == "optional" and self._reasoning is not None:
            lead += f" & ~/(?s:{_escaped(self._reasoning.opening)}.*)/"
        return lead

    def _after_reasoning(self, wanted: Constraint) -> Constraint:
        if self._reasoning is None or self._beginning == "none":
            return wanted
        closing = self._reasoning.closing
        if self._is_special(closing):
            rules = [f"thoughts: THOUGHT? {self.literal(closing)}", f"THOUGHT: {_ANY}"]
        else:
            rules = [f"thoughts[lazy]: /(?s:.*){_escaped(closing)}/"]
        section = "thoughts SPACE?"
        if self._beginning == "optional":
            section = f"({self.literal(self._reasoning.opening)} {section})?"
        rules = [f"preamble: {section}", *rules, "SPACE: /[ \\n]{1,4}/"]
        return replace(wanted, preamble="\n".join(rules), leaving=closing)


def _escaped(text: str) -> str:
    """``text`` inside a pattern between slashes."""
    return re.escape(text).replace("/", "\\/").replace("\n", "\\n").replace('\\"', '"')
