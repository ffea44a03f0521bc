"""Messages are checked before a template sees them."""

from __future__ import annotations

from typing import Any

import pytest

from agentspark.errors import InvalidRequestError
from agentspark.models.messages import check_messages


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "empty"),
        ("hello", "must be a list"),
        ({"role": "user", "content": "a"}, "must be a list"),
        (["hello"], r"messages\[0\] is no mapping"),
        ([{"content": "a"}], "role None"),
        ([{"role": "developer", "content": "a"}], "role 'developer'"),
        ([{"role": ["user"], "content": "a"}], "role"),
        ([{"role": "user"}], "needs content"),
        ([{"role": "user", "content": None}], "needs content"),
        ([{"role": "assistant", "content": None}], "needs content"),
        ([{"role": "user", "content": 3}], "needs content"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "'image_url'"),
        ([{"role": "user", "content": ["a"]}], "'str'"),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], "no string"),
        (
            [{"role": "user", "content": "a"}, {"role": "user", "content": "\ud800"}],
            r"\[1\].*Unicode",
        ),
    ],
)
def test_bad_messages_are_named(messages: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said) as caught:
        check_messages(messages)
    assert caught.value.param == "messages"


def test_content_becomes_one_string_and_other_fields_stay() -> None:
    calls = [{"type": "function", "function": {"name": "f", "arguments": {}}}]
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b\n"}]
    given = [
        {"role": "user", "content": parts, "name": "x"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "c", "tool_call_id": "1"},
    ]
    checked = check_messages(given)
    assert [message["content"] for message in checked] == ["ab\n", "", "c"]
    assert checked[0]["name"] == "x"
    assert checked[1]["tool_calls"] == calls
    assert given[0]["content"] is parts
