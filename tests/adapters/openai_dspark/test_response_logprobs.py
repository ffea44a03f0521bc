"""Log-probabilities of the Responses API: those of the same chat, whole and as they come."""

from __future__ import annotations

import pytest

from ..serving import MODEL

CHAT = [{"role": "user", "content": "What does an agent read?"}]
ASKED = {"model": MODEL, "input": CHAT, "max_output_tokens": 16, "temperature": 0}
INCLUDE = {"include": ["message.output_text.logprobs"]}


@pytest.fixture
def wanted(client):
    """The entries that the chat gives."""
    choice = client.chat.completions.create(
        model=MODEL, messages=CHAT, max_tokens=16, temperature=0, logprobs=True, top_logprobs=2
    ).choices[0]
    return [
        {**entry.model_dump(), "bytes": entry.bytes or [],
         "top_logprobs": [{**top.model_dump(), "bytes": top.bytes or []}
                          for top in entry.top_logprobs]}
        for entry in choice.logprobs.content
    ]  # fmt: skip


def test_a_response_has_those_of_the_chat(client, wanted):
    answer = client.responses.create(**ASKED, **INCLUDE, top_logprobs=2)
    (part,) = answer.output[0].content
    assert [entry.model_dump() for entry in part.logprobs] == wanted
    assert answer.top_logprobs == 2
    plain = client.responses.create(**ASKED, **INCLUDE)
    assert all(entry.top_logprobs == [] for entry in plain.output[0].content[0].logprobs)
    given = [*CHAT, *answer.output, *CHAT]
    follow = client.responses.create(**{**ASKED, "input": given})
    assert follow.usage.input_tokens_details.cached_tokens >= answer.usage.input_tokens
    none = client.responses.create(**ASKED)
    assert (none.output[0].content[0].logprobs, none.top_logprobs) == ([], 0)


def test_a_stream_brings_them_with_the_text(client, wanted):
    events = list(client.responses.create(**ASKED, **INCLUDE, top_logprobs=2, stream=True))
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    pieces = [entry.to_dict() for event in deltas for entry in event.logprobs]
    assert pieces == wanted[: len(pieces)]
    assert len(pieces) > 1
    (done,) = (event for event in events if event.type == "response.output_text.done")
    assert [entry.to_dict() for entry in done.logprobs] == wanted
    (part,) = (event.part for event in events if event.type == "response.content_part.done")
    (text,) = events[-1].response.output[0].content
    for given in (part, text):
        assert [entry.model_dump() for entry in given.logprobs] == wanted
