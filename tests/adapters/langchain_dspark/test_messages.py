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
        {"role": "tool", "content": "d", "tool_call_id": "1"},
        {"role": "user", "content": "e"},
    ]


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage([{"type": "image_url", "image_url": {"url": "data:"}}]),
        FunctionMessage("x", name="f"),
    ],
)
def test_what_a_text_model_cannot_be_shown_is_named(message):
    with pytest.raises(InvalidRequestError, match=r"messages\[1\]") as caught:
        to_engine_messages([HumanMessage("fine"), message])
    assert caught.value.param == "messages"


def test_a_chat_that_other_models_began_can_be_gone_on_with():
    """Its answers have their calls and thoughts in the content as well, each in its own way."""
    call = {"name": "f", "args": {}, "id": "1", "type": "tool_call"}
    parts = [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning_content", "reasoning_content": {"text": "hm"}},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1", "id": "fc_1"},
        {"type": "invalid_tool_call", "name": "f", "args": "{", "id": "2", "error": None},
    ]
    (sent,) = to_engine_messages(
        [AIMessage([{"type": "text", "text": "so"}, *parts], tool_calls=[call])]
    )
    assert sent["content"] == "so"
    assert [one["id"] for one in sent["tool_calls"]] == ["1"]
    with pytest.raises(InvalidRequestError, match="function_call"):
        to_engine_messages([HumanMessage(parts[2:3])])


def test_calls_and_reasoning_go_back_as_they_were():
    call = {"name": "f", "args": {"a": "ü"}, "id": "1", "type": "tool_call"}
    content = [{"type": "text", "text": "so"}, {"type": "tool_use", "id": "1", "name": "f"}]
    message = AIMessage(content, tool_calls=[call], additional_kwargs={"reasoning_content": "hm"})
    assert to_engine_messages([message]) == [
        {
            "role": "assistant",
            "content": "so",
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": "ü"}'},
                }
            ],
            "reasoning_content": "hm",
        }
    ]


def test_invalid_calls_go_back_where_they_are_answered():
    cut = {"name": "f", "args": '{"a": "x', "id": "2", "error": None, "type": "invalid_tool_call"}
    call = {"name": "f", "args": {"a": "\ud800"}, "id": "1", "type": "tool_call"}
    message = AIMessage("", tool_calls=[call], invalid_tool_calls=[cut])
    for answers, arguments in (
        ("1", [r'{"a": "\ud800"}']),
        ("12", [r'{"a": "\ud800"}', '{"a": "x']),
    ):
        told = [ToolMessage("done", tool_call_id=ident) for ident in answers]
        calls = to_engine_messages([message, *told])[0]["tool_calls"]
        assert [one["function"]["arguments"] for one in calls] == arguments
        assert [one["id"] for one in calls] == [*answers]


def test_tags_label_too_but_metadata_wins():
    tags = ["mine", "agentspark_run:report", "agentspark_step:4", "agentspark_nonsense:1"]
    assert labels_of(None, {}, tags) == Labels(run="report", step=4)
    assert labels_of(None, {"agentspark_run": "r"}, tags) == Labels(run="r", step=4)


def test_a_number_of_any_length_is_refused_by_name():
    for given, tags in (({"step": 10**5000}, []), ({}, ["agentspark_step:" + "1" * 5000])):
        with pytest.raises(InvalidRequestError, match=r"label step=.*\.\.\. cannot") as at:
            labels_of(given, {}, tags)
        assert at.value.param == "step"
        assert len(str(at.value)) < 400


def test_a_calls_labels_win_over_metadata_and_that_over_the_node_name():
    metadata = {"agentspark_run": "r", "agentspark_step": 3, "langgraph_node": "n", "other": 1}
    assert labels_of(None, metadata) == Labels(run="r", step=3, step_name="n")
    assert labels_of({"run": "mine"}, metadata) == Labels(run="mine", step=3, step_name="n")
    assert labels_of(Labels(step_name="own"), metadata).step_name == "own"
    assert labels_of(None, {"langgraph_node": "a\n" + "ü" * 300}).step_name == "a" + "ü" * 255
    assert named(Labels(run="r", step=0)) == {"run": "r", "step": 0}


@pytest.mark.parametrize(
    ("given", "param"), [({"stepp": 1}, "stepp"), ({"step": "1"}, "step"), ({"run": 1}, "run")]
)
def test_a_wrong_label_is_named(given, param):
    with pytest.raises(InvalidRequestError) as caught:
        labels_of(given, {})
    assert caught.value.param == param
