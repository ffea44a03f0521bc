"""What is known of a model from its template: how many calls it makes, where it reasons."""

from __future__ import annotations

import pytest

from agentspark.models.tools.formats import GENERIC, HERMES, LLAMA3, ToolFormat
from agentspark.models.tools.reasoning import ReasoningFormat, reasoning_format


@pytest.mark.parametrize(
    ("form", "asked", "several"),
    [
        (HERMES, None, True),
        (HERMES, True, True),
        (HERMES, False, False),
        (GENERIC, None, False),
        (GENERIC, True, True),
        (GENERIC, False, False),
        (LLAMA3, True, False),
    ],
)
def test_several_calls(form: ToolFormat, asked: bool | None, several: bool) -> None:
    assert form.parallel(asked) is several


@pytest.mark.parametrize(
    ("end", "beginning"),
    [
        ("<|im_end|>\nassistant\n", "optional"),
        ("assistant\n<think>\n", "inside"),
        ("assistant\n<think>\n\n</think>\n\n", "none"),
        ("assistant</think>", "none"),
    ],
)
def test_where_an_answer_begins(end: str, beginning: str) -> None:
    assert ReasoningFormat("<think>", "</think>").beginning(end) == beginning


def test_reasoning_is_known_by_template_or_tokens() -> None:
    assert reasoning_format("a </think> b", set()) == ReasoningFormat("<think>", "</think>")
    assert reasoning_format(None, {"[THINK]", "[/THINK]"}) == ReasoningFormat("[THINK]", "[/THINK]")
    assert reasoning_format("{{ messages }}", {"<think>"}) is None


@pytest.mark.parametrize(
    ("end", "beginning"),
    [("<|turn>model\n", "optional"), ("<|turn>model\n<|channel>thought\n<channel|>", "none")],
)
def test_gemma_4_reasons_in_a_channel(end: str, beginning: str) -> None:
    form = reasoning_format("{{ '<|channel>thought\\n<channel|>' }}", set())
    assert form is not None
    assert form.beginning(end) == beginning
    assert reasoning_format("<|channel|>analysis<|message|>", set()) is None
