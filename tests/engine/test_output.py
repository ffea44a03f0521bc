"""What is counted of an output does not depend on how many tokens a round brings."""

from __future__ import annotations

import pytest

from agentspark.engine.output import OutputText
from agentspark.models.text_stream import TextStream
from agentspark.models.tools.answer import AnswerFormat
from agentspark.models.tools.reasoning import Beginning, ReasoningFormat
from agentspark.sampling.params import SamplingParams

THINK = ReasoningFormat("<think>", "</think>")


def reasoning_tokens(text: str, beginning: Beginning, size: int) -> tuple[int, str, str | None]:
    """What is read of ``text``, a token for each letter, in rounds of ``size`` tokens."""
    reader = AnswerFormat(reasoning=THINK, beginning=beginning).reader()
    stream = TextStream(lambda ids: "".join(map(chr, ids)))
    output = OutputText(stream, SamplingParams(), frozenset((0,)), 100, reader)
    tokens = [*map(ord, text), 0]
    for at in range(0, len(tokens), size):
        output.push(tokens[at : at + size])
    return reader.reasoning_tokens, reader.answer.content, reader.answer.reasoning


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        (" <think>hm, so</think>\n\nYes.", "optional"),
        ("<thin air>", "optional"),
        ("hm, so</think>Yes.", "inside"),
        ("Yes.", "none"),
    ],
)
def test_tokens_of_reasoning_are_as_many_in_rounds_of_any_size(
    text: str, beginning: Beginning
) -> None:
    plain = reasoning_tokens(text, beginning, 1)
    for size in (2, 5, 9, 40):
        assert reasoning_tokens(text, beginning, size) == plain
