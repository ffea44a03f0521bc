"""How models write tool calls. Every format is the same pattern with other texts in it::

    opening (before NAME middle ARGUMENTS after) (between ...)* closing

Which one a model was trained on shows in its chat template. Models whose template knows no tools,
or writes calls in a way that is no such pattern, get the generic format and prompt
(``prompt.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Several = Literal["always", "asked", "never"]


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """The texts around a call's name and its JSON arguments.

    ``first_only``: a call can only be the beginning of an answer (there is no marker that would
    set it apart from text elsewhere). ``marker`` is the shortest text by which the beginning of
    calls is known; everything before it is content. ``native``: the template takes ``tools``.
    ``several``: whether an answer may make more than one call; models that were not trained to
    (``asked``) do not know when to stop. ``text_arguments``: the template takes the arguments of
    earlier calls as JSON text, not as an object.
    """

    name: str
    before: str
    middle: str
    after: str
    opening: str = ""
    between: str = ""
    closing: str = ""
    marker: str = ""
    first_only: bool = False
    native: bool = True
    several: Several = "always"
    text_arguments: bool = False

    @property
    def head(self) -> str:
        """What comes before the first call's name."""
        return self.opening + self.before

    def parallel(self, asked: bool | None) -> bool:
        """Whether an answer may make several calls; ``asked`` ``None``: the caller said nothing."""
        if asked is None:
            return self.several == "always"
        return asked and self.several != "never"

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts of the format."""
        return (self.opening, self.before, self.middle, self.after, self.between, self.closing)


def _deepseek(name: str) -> str:
    """DeepSeek writes its control tokens with full-width bars."""
    return f"<\uff5c{name}\uff5c>"


HERMES = ToolFormat(
    "hermes",
    before='<tool_call>\n{"name": "',
    middle='", "arguments": ',
    after="}\n</tool_call>",
    between="\n",
    marker="<tool_call>",
)
LLAMA3 = ToolFormat(
    "llama3",
    before='{"name": "',
    middle='", "parameters": ',
    after="}",
    between="; ",
    marker='{"name": "',
    first_only=True,
    several="never",
)
MISTRAL = ToolFormat(
    "mistral",
    opening="[TOOL_CALLS][",
    before='{"name": "',
    middle='", "arguments": ',
    after="}",
    between=", ",
    closing="]",
    marker="[TOOL_CALLS]",
)
MISTRAL_ARGS = ToolFormat(
    "mistral-args",
    before="[TOOL_CALLS]",
    middle="[ARGS]",
    after="",
    marker="[TOOL_CALLS]",
)
DEEPSEEK = ToolFormat(
    "deepseek",
    opening=_deepseek("tool▁calls▁begin"),
    before=f"{_deepseek('tool▁call▁begin')}function{_deepseek('tool▁sep')}",
    middle="\n```json\n",
    after=f"\n```{_deepseek('tool▁call▁end')}",
    between="\n",
    closing=_deepseek("tool▁calls▁end"),
    marker=_deepseek("tool▁calls▁begin"),
    text_arguments=True,
)
DEEPSEEK_PLAIN = ToolFormat(
    "deepseek-plain",
    opening=_deepseek("tool▁calls▁begin"),
    before=_deepseek("tool▁call▁begin"),
    middle=_deepseek("tool▁sep"),
    after=_deepseek("tool▁call▁end"),
    closing=_deepseek("tool▁calls▁end"),
    marker=_deepseek("tool▁calls▁begin"),
    text_arguments=True,
)
GENERIC = ToolFormat(
    "generic",
    before='<tool_call>\n{"name": "',
    middle='", "arguments": ',
    after="}\n</tool_call>",
    between="\n",
    marker="<tool_call>",
    native=False,
    several="asked",
)


def tool_format(template: str | None) -> ToolFormat:
    """The format that a chat template was made for."""
    text = template or ""
    if "tools" not in text:
        return GENERIC
    if DEEPSEEK.marker in text:
        return DEEPSEEK if "```json" in text else DEEPSEEK_PLAIN
    if "[TOOL_CALLS]" in text:
        return MISTRAL_ARGS if "[ARGS]" in text else MISTRAL
    # Other formats use the same tag around something that is no JSON.
    if "invoke name=" in text:
        return GENERIC
    if "<tool_call>" in text and "<function=" not in text and "<arg_key>" not in text:
        return HERMES
    # Others write parameters too, for a "tool_name" or as a function's tag.
    others = '"tool_name": ' in text or "<function=" in text
    if not others and ("<|python_tag|>" in text or '"parameters": ' in text):
        return LLAMA3
    return GENERIC
