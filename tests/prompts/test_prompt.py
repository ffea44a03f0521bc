"""What is known of a prompt: its name, its ids and its digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentspark.errors import DataError
from agentspark.prompts.lines import Place
from agentspark.prompts.prompt import Prompt, parse_prompt

PLACE = Place(Path("folder/p.jsonl"), 3)
CHAT = [{"role": "user", "content": "a"}]
TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


def parsed(**fields: object) -> Prompt:
    return parse_prompt({"id": "a", "messages": CHAT, **fields}, PLACE)


def test_a_digest_tells_what_is_asked_and_not_its_name():
    chat = [{"role": "user", "content": "a"}]
    one = Prompt("a", "chat", chat, None)
    same = Prompt("b", "code", [{"content": "a", "role": "user"}], None, Place(Path("p.jsonl"), 1))
    assert one.digest == same.digest
    others = [Prompt("a", "chat", [*chat, *chat], None), Prompt("a", "chat", None, [1])]
    assert one.digest not in {other.digest for other in others}


def test_a_digest_tells_the_tools_and_is_as_it_was_without_any():
    # Responses on disk carry it: lines that ask for nothing must keep theirs.
    assert parsed().digest == "6ce4515861b33634"
    for same in ({"tools": []}, {"temperature": 1.0, "seed": 3}, {"source": "a set"}):
        assert parsed(**same).digest == parsed().digest
    others = {parsed(tools=[TOOL]).digest, parsed(template_args={"a": 1}).digest, parsed().digest}
    assert len(others) == 3


def test_a_prompt_is_called_by_its_id_and_the_name_of_its_file():
    assert parsed().name == "'a' (p.jsonl line 3)"
    assert (parsed(id=7).id, parsed(id=7).line_id) == ("7", 7)
    assert (parsed(id="7").id, parsed(id="7").line_id) == ("7", "7")
    assert (parsed().kind, parsed(kind="code").kind) == ("unknown", "code")


@pytest.mark.parametrize("fields", [{"id": "\ud800"}, {"kind": "\ud800"}])
def test_names_that_could_not_be_written_are_refused(fields):
    with pytest.raises(DataError, match="no Unicode"):
        parsed(**fields)
