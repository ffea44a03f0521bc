"""What lines ask of their calls: obeyed or refused, never passed over."""

from __future__ import annotations

import json

import pytest

from agentspark.cli.transcripts import read_transcripts
from agentspark.errors import DataError
from agentspark.prompts.asked import SAMPLING_FIELDS
from agentspark.prompts.files import read_prompts
from agentspark.sampling.params import SamplingParams

HELLO = {"role": "user", "content": "hello"}
TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


def prompt(tmp_path, **fields):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": 1, "messages": [HELLO], **fields}))
    return read_prompts(path)[0].asked


def transcript(tmp_path, **fields):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"id": 1, "steps": [[HELLO]], **fields}))
    return read_transcripts(path)[0].asked


@pytest.fixture(params=[prompt, transcript])
def read(request, tmp_path):
    return lambda **fields: request.param(tmp_path, **fields)


def test_a_line_wins_over_the_command(read):
    asked = read(max_tokens=2, stop="END", seed=3, temperature=1.5, top_p=None, tools=[TOOL])

    assert asked.over(SamplingParams(max_tokens=9, top_p=0.5)) == SamplingParams(
        max_tokens=2, stop=("END",), seed=3, temperature=1.5, top_p=0.5
    )
    assert [tool.name for tool in asked.chat.tools] == ["read"]


def test_a_line_that_asks_for_nothing_changes_nothing(read):
    sampling = SamplingParams(max_tokens=9)

    asked = read(
        kind="chat", source="a set", answer="hoped for", difficulty=3, metadata={"n": 1},
        model="another", prompt="hello", system="be brief", choices=["a", "b"],
    )  # fmt: skip

    assert asked.over(sampling) is sampling
    assert asked.chat is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tool": [TOOL]}, "tool is not known; did you mean tools"),
        ({"maxTokens": 2}, "maxTokens is not known; did you mean max_tokens"),
        ({"max_completion_tokens": 2}, "max_completion_tokens is not served here"),
        ({"logprobs": True}, "logprobs is not served here"),
        ({"ignore_eos": 1}, "ignore_eos must be true or false"),
        ({"response_format": "json"}, "response_format must be"),
    ],
)
def test_what_is_not_served_is_refused_with_the_line(read, fields, message):
    with pytest.raises(DataError, match=f"line 1: {message}"):
        read(**fields)


@pytest.mark.parametrize(
    "fields", [{"max_tokens": 0}, {"top_p": "high"}, {"stop": [5]}, {"min_tokens": 20}]
)
def test_values_that_cannot_be_served_are_refused_with_the_line(read, fields):
    with pytest.raises(DataError, match=f"line 1: {next(iter(fields))}"):
        read(**fields).over(SamplingParams(max_tokens=9))


def test_every_field_of_sampling_is_one(read):
    assert set(SAMPLING_FIELDS) <= {name for name in SamplingParams.__slots__}


def test_arms_that_would_draw_for_themselves_are_refused(tmp_path):
    with pytest.raises(DataError, match="line 1: give a seed with the temperature"):
        transcript(tmp_path, temperature=0.7)
    assert transcript(tmp_path, temperature=0.7, seed=1).sampling["seed"] == 1
    assert prompt(tmp_path, temperature=0.7).sampling == {"temperature": 0.7}
