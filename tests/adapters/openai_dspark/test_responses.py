"""The Responses API with the real ``openai`` package."""

from __future__ import annotations

import openai
import pytest

from openai_dspark.server.responses.translate import messages_of
from openai_dspark.wire.response_request import ResponseRequest

from ..serving import MODEL

ASKED = {"model": MODEL, "temperature": 0, "max_output_tokens": 12}
INPUT = [{"role": "user", "content": [{"type": "input_text", "text": "What does an agent read?"}]}]


def chat_text(client, messages):
    return (
        client.chat.completions.create(model=MODEL, temperature=0, max_tokens=12, messages=messages)
        .choices[0]
        .message.content
    )


def test_a_response_is_what_the_chat_says(client):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What does an agent read?"},
    ]
    response = client.responses.create(**ASKED, input=INPUT, instructions="Be brief.")
    assert response.output_text == chat_text(client, messages)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 12
    assert response.usage.input_tokens_details.cached_tokens >= 0
    assert response.usage.output_tokens_details.reasoning_tokens == 0
    assert response.metrics["agentspark"]["arm"] == "accelerated"
    again = client.responses.create(**ASKED, input="What does an agent read?")
    assert again.output_text == chat_text(client, messages[1:])


def test_a_stream_tells_the_same_in_order(client):
    whole = client.responses.create(**ASKED, input=INPUT)
    events = list(client.responses.create(**ASKED, input=INPUT, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage.output_tokens == 12
    with client.responses.stream(**ASKED, input=INPUT) as stream:
        for _ in stream:
            pass


def test_what_was_said_can_be_given_back(client):
    first = client.responses.create(**ASKED, input=INPUT)
    follow = {"role": "user", "content": "Go on."}
    output = [item.model_dump(exclude_none=True) for item in first.output]
    second = client.responses.create(**ASKED, input=[*INPUT, *output, follow])
    assert second.usage.input_tokens > first.usage.input_tokens
    assert second.usage.input_tokens_details.cached_tokens > first.usage.input_tokens - 9


def test_items_in_a_row_become_one_turn():
    body = ResponseRequest.model_validate(
        {
            "model": "m",
            "input": [
                {"role": "developer", "content": "d"},
                {"role": "user", "content": "u"},
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
                {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": "one"},
                {"type": "function_call_output", "call_id": "2", "output": "two"},
                {"role": "assistant", "content": "b"},
                {"role": "assistant", "content": "c"},
            ],
        }
    )
    messages = messages_of(body)
    assert [message["role"] for message in messages] == [
        "developer", "user", "assistant", "tool", "tool", "assistant", "assistant",
    ]  # fmt: skip
    turn = messages[2]
    assert (turn["content"], turn["reasoning_content"]) == ("a", "hm")
    assert [call["id"] for call in turn["tool_calls"]] == ["1", "2"]
    assert [message["content"] for message in messages[-2:]] == ["b", "c"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
         "input[0].content[0].type"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"include": ["file_search_call.results"]}, "include[0]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"input": "word " * 4000}, "input"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_bad_values_are_named_in_this_apis_words(client, body, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", body={"model": MODEL, "input": "a", **body}, cast_to=object)
    assert caught.value.param == param
