"""Sections of reasoning: the texts a model puts around its thoughts, and where they begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Whether an answer begins inside a section that the prompt opened, may open one, or may not.
Beginning = Literal["inside", "optional", "none"]

_MARKS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel>thought", "<channel|>"),  # Gemma 4
)


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """The texts that open and close a section."""

    opening: str
    closing: str

    def beginning(self, prompt_end: str) -> Beginning:
        """How an answer starts behind a prompt that ends with ``prompt_end`` (markup).

        ``prompt_end`` is what a template adds after the last message.
        """
        opened, closed = prompt_end.rfind(self.opening), prompt_end.rfind(self.closing)
        if opened < 0 and closed < 0:
            return "optional"
        return "inside" if opened > closed else "none"


def reasoning_format(template: str | None, added_tokens: set[str]) -> ReasoningFormat | None:
    """The format of a model, from its chat template and its added tokens; ``None`` for none."""
    for opening, closing in _MARKS:
        if closing in (template or "") or {opening, closing} <= added_tokens:
            return ReasoningFormat(opening, closing)
    return None
