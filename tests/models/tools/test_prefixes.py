"""Chats of an agent go on token for token, whatever a template does with earlier reasoning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agentspark.models import ChatTokenizer
from agentspark.models.tools.call import said
from agentspark.models.tools.tool import read_tools
from tests.models.tools import templates

READ = {
    "type": "function",
    "function": {"name": "read", "parameters": {"type": "object", "properties": {}}},
}
TOOLS = read_tools([READ])
END = 2


def called(ident: str, reasoning: str | None) -> dict[str, Any]:
    call = {"id": ident, "type": "function", "function": {"name": "read", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return message if reasoning is None else {**message, "reasoning_content": reasoning}


def steps(tokenizer: ChatTokenizer, opened: bool, back: bool) -> Iterator[tuple[list[int], bool]]:
    """Every prompt of an agent, and what follows it; ``back``: it sends reasoning back.

    With each prompt comes whether it extends the one before with what was generated.
    """
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    before: list[int] = []
    for turn in range(3):
        messages.append({"role": "user", "content": f"Question {turn}?"})
        for step in range(3):
            prompt = tokenizer.encode_chat(messages, tools=TOOLS)
            yield prompt, prompt[: len(before)] == before
            ident, thought = f"call_{turn}_{step}", f"Thinking of {turn} and {step}."
            shown = '<tool_call>\n{"name": "read", "arguments": { }}\n</tool_call>'
            calls = [("read", "{}")]
            if step == 2:
                shown, calls = f"Answer {turn}.", []
            start = "" if opened else "<think>"
            text = f"{start} {thought}</think>\n\n\n{shown}"
            generated = tokenizer.encode(text)
            content = "" if calls else shown
            tokenizer.remember(
                prompt, [*generated, END], text, said(content, calls), reasoning=thought
            )
            before = [*prompt, *generated]
            message = called(ident, thought if back else None)
            if not calls:
                del message["tool_calls"]
            messages.append({**message, "content": content or None})
            if calls:
                messages.append({"role": "tool", "content": "found", "tool_call_id": ident})


@pytest.mark.parametrize("back", [True, False], ids=["sent-back", "left-out"])
@pytest.mark.parametrize("name", ["OPENED_SINCE_USER", "KEPT_SINCE_USER", "OPENED", "HERMES"])
def test_every_prompt_extends_the_step_before(tiny_target_dir: Any, name: str, back: bool) -> None:
    from transformers import AutoTokenizer

    hf = AutoTokenizer.from_pretrained(tiny_target_dir)
    hf.chat_template = getattr(templates, name)
    tokenizer = ChatTokenizer(hf)
    opened = name.startswith("OPENED")
    found = [extends for _, extends in steps(tokenizer, opened, back)]
    assert found == [True] * 9
