"""LangChain messages and labels as the engine takes them."""

from __future__ import annotations

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from agentspark.engine.params import Labels
from agentspark.errors import InvalidRequestError
from langchain_dspark.labels import labels_of, named
from langchain_dspark.messages import to_engine_messages


def test_every_role_has_its_message():
    given = [
        SystemMessage("s"),
        HumanMessage([{"type": "text", "text": "a"}, "b"]),
        AIMessage("c"),
        ToolMessage("d", tool_call_id="1"),
        ChatMessage("e", role="user"),
    ]
    assert to_engine_messages(given) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "c"},
        {"role": "tool", "content": "d"},
        {"role": "user", "content": "e"},
    ]


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage([{"type": "image_url", "image_url": {"url": "data:"}}]),
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        FunctionMessage("x", name="f"),
    ],
)
def test_what_a_text_model_cannot_be_shown_is_named(message):
    with pytest.raises(InvalidRequestError, match=r"messages\[1\]") as caught:
        to_engine_messages([HumanMessage("fine"), message])
    assert caught.value.param == "messages"


def test_a_calls_labels_win_over_metadata_and_that_over_the_node_name():
    metadata = {"agentspark_run": "r", "agentspark_step": 3, "langgraph_node": "n", "other": 1}
    assert labels_of(None, metadata) == Labels(run="r", step=3, step_name="n")
    assert labels_of({"run": "mine"}, metadata) == Labels(run="mine", step=3, step_name="n")
    assert labels_of(Labels(step_name="own"), metadata).step_name == "own"
    assert named(Labels(run="r", step=0)) == {"run": "r", "step": 0}


@pytest.mark.parametrize(
    ("given", "param"), [({"stepp": 1}, "stepp"), ({"step": "1"}, "step"), ({"run": 1}, "run")]
)
def test_a_wrong_label_is_named(given, param):
    with pytest.raises(InvalidRequestError) as caught:
        labels_of(given, {})
    assert caught.value.param == param
