"""Models with several chat templates by name, as Hermes 3 and Command R have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentspark.models import ChatTokenizer
from agentspark.models.template import named_template
from agentspark.models.tools.call import said
from agentspark.models.tools.formats import GENERIC, HERMES
from agentspark.models.tools.tool import read_tools
from tests.conftest import CHATML
from tests.models.tools import templates

READ = {
    "type": "function",
    "function": {"name": "read", "parameters": {"type": "object", "properties": {}}},
}
TOOLS = read_tools([READ])
# For another use: it says nothing of how calls are written.
RAG = '<|im_start|>documents {"tool_name": ...}<think></think>'


@pytest.fixture(params=["saved", "listed"])
def tokenizer(request: pytest.FixtureRequest, tiny_target_dir: Path, tmp_path: Path) -> Any:
    """Kept as transformers saves several templates, and as older checkpoints have them."""
    from transformers import AutoTokenizer

    named = {"default": CHATML, "tool_use": templates.TOOLS_ONLY, "rag": RAG}
    hf = AutoTokenizer.from_pretrained(tiny_target_dir)
    if request.param == "saved":
        hf.chat_template = named
    hf.save_pretrained(tmp_path)
    if request.param == "listed":
        (tmp_path / "chat_template.jinja").unlink()
        file = tmp_path / "tokenizer_config.json"
        told = json.loads(file.read_text(encoding="utf-8"))
        told["chat_template"] = [{"name": name, "template": named[name]} for name in named]
        file.write_text(json.dumps(told), encoding="utf-8")
    return ChatTokenizer(AutoTokenizer.from_pretrained(tmp_path))


def chat() -> list[dict[str, Any]]:
    call = {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    return [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "c"},
    ]


def test_chats_with_tools_get_the_template_for_tools(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.tool_format is HERMES
    assert tokenizer.reasoning_format is not None
    text = tokenizer.decode(tokenizer.encode_chat(chat(), tools=TOOLS))
    assert text.startswith('{"type": "function"')
    assert '<tool_call>\n{"name": "read", "arguments": {}}\n</tool_call>' in text
    plain = tokenizer.encode_chat([{"role": "user", "content": "a"}])
    assert tokenizer.decode(plain) == "user\na\nassistant\n"


def test_calls_of_a_chat_without_tools_are_not_lost(tokenizer: ChatTokenizer) -> None:
    text = tokenizer.decode(tokenizer.encode_chat(chat()))
    assert text.startswith('user\na\nassistant\n<tool_call>\n{"name": "read", "arguments": {}}')
    assert text.endswith("</tool_call>\ntool\nfound\nassistant\n")


def test_a_chat_with_tools_extends_what_was_generated(tokenizer: ChatTokenizer) -> None:
    prompt = tokenizer.encode_chat(chat()[:1], tools=TOOLS)
    text = '<tool_call>\n{"name":"read","arguments":{ }}</tool_call>'
    generated = tokenizer.encode(text)
    tokenizer.remember(prompt, generated, text, said("", [("read", "{}")]))
    longer = tokenizer.encode_chat(chat(), tools=TOOLS)
    assert longer[: len(prompt) + len(generated)] == [*prompt, *generated]


def test_names_are_chosen_from_what_there_is() -> None:
    assert named_template(None, tools=True) is None
    assert named_template("a", tools=True) == "a"
    assert named_template({"tool_use": "t", "rag": "r"}, tools=False) == "t"
    assert named_template({"default": "d", "rag": "r"}, tools=True) == "d"
    assert named_template({"rag": "r"}, tools=True) == "r"
    assert named_template({}, tools=False) is None


def test_a_template_for_tools_of_an_unknown_format_is_left_alone(tiny_target_dir: Path) -> None:
    from transformers import AutoTokenizer

    hf = AutoTokenizer.from_pretrained(tiny_target_dir)
    command_r = '{{ tools }}[{"tool_name": "a", "parameters": {}}]'
    hf.chat_template = {"default": CHATML, "tool_use": command_r}
    tokenizer = ChatTokenizer(hf)
    assert tokenizer.tool_format is GENERIC
    text = tokenizer.decode(tokenizer.encode_chat(chat(), tools=TOOLS))
    assert text.startswith("system\nYou can use these tools:")
    assert "tool_name" not in text
