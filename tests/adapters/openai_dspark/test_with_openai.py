"""The real ``openai`` package against the real server, sync and async, streamed and not."""

from __future__ import annotations

import json

import openai
import pytest

from agentspark.engine.params import RequestOptions
from agentspark.sampling.params import SamplingParams

from ..serving import MODEL

PARTS = [{"type": "text", "text": part} for part in ("What does an agent ", "read?")]
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PARTS}]
PLAIN = RequestOptions(speculation="off", share_prefix=False)
ASKED = {"model": MODEL, "messages": CHAT, "temperature": 0, "max_tokens": 24}


def in_process(served, messages, options=PLAIN, **sampling):
    params = SamplingParams(**{"max_tokens": 24, **sampling})
    return served.engine.chat(messages, params, options=options)


def test_an_answer_is_what_the_engine_says_without_acceleration(served, client):
    plain = in_process(served, CHAT)
    for model in (MODEL, f"{MODEL}:baseline", f"{MODEL}:accelerated"):
        answer = client.chat.completions.create(**{**ASKED, "model": model})
        choice = answer.choices[0]
        assert choice.message.content == plain.text
        assert choice.message.role == "assistant"
        assert choice.finish_reason == "length"
        assert answer.model == model
        assert answer.id.startswith("chatcmpl-")
        assert answer.usage.prompt_tokens == plain.counts.prompt_tokens
        assert answer.usage.completion_tokens == 24
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24


def test_usage_and_acceptance_are_those_of_the_request(client):
    first = client.chat.completions.create(**ASKED)
    again = client.chat.completions.create(**ASKED)
    usage = again.usage
    assert 0 < usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens
    assert usage.completion_tokens_details.reasoning_tokens == 0
    assert first.choices[0].message.content == again.choices[0].message.content
    spec = again.metrics["speculative_decoding"]
    assert sum(spec["acceptance_histogram"]) == spec["num_spec_steps"]
    assert spec["mean_acceptance_length"] == pytest.approx(
        1 + spec["num_accepted_draft_tokens"] / spec["num_spec_steps"]
    )
    figures = again.metrics["agentspark"]
    assert figures["arm"] == "accelerated"
    assert figures["total_ms"] >= figures["ttft_ms"] > 0
    baseline = client.chat.completions.create(
        **ASKED, extra_headers={"x-agentspark-arm": "baseline"}
    )
    assert "speculative_decoding" not in baseline.metrics
    assert baseline.metrics["agentspark"]["draft_tokens"] == 0
    assert baseline.usage.prompt_tokens_details.cached_tokens == 0


def test_a_stream_has_the_role_first_the_reason_then_the_usage_last(client):
    whole = client.chat.completions.create(**ASKED)
    stream = client.chat.completions.create(
        **ASKED, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.choices[0].delta.role is None for chunk in chunks[1:])
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["length"]
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage.completion_tokens == 24
    assert last.metrics["speculative_decoding"]["num_spec_steps"] > 0
    assert len({chunk.id for chunk in [*chunks, last]}) == 1


def test_a_stream_without_usage_has_none_and_ends_as_it_should(served, client):
    assert all(chunk.choices for chunk in client.chat.completions.create(**ASKED, stream=True))
    raw = served.chat(stream=True)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.text.endswith("data: [DONE]\n\n")
    events = [line[6:] for line in raw.text.split("\n\n") if line]
    assert all(json.loads(event)["object"] == "chat.completion.chunk" for event in events[:-1])


async def test_async_gives_the_same(served, client):
    whole = client.chat.completions.create(**ASKED)
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as other:
        answer = await other.chat.completions.create(**ASKED)
        assert answer.choices[0].message.content == whole.choices[0].message.content
        text = ""
        async for chunk in await other.chat.completions.create(**ASKED, stream=True):
            text += chunk.choices[0].delta.content or ""
        assert text == whole.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_n_choices_share_the_prompt_and_differ_by_seed(client, stream):
    asked = {
        **ASKED,
        "temperature": 1.0,
        "seed": 5,
        "n": 3,
        "max_tokens": 12,
        "extra_body": {"ignore_eos": True},
    }
    single = [
        client.chat.completions.create(**{**asked, "n": 1, "seed": seed}).choices[0].message.content
        for seed in (5, 6, 7)
    ]
    if stream:
        texts = ["", "", ""]
        for chunk in client.chat.completions.create(**asked, stream=True):
            texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    else:
        answer = client.chat.completions.create(**asked)
        texts = [choice.message.content for choice in answer.choices]
        assert answer.usage.completion_tokens == 36
        assert answer.usage.prompt_tokens < 100
    assert texts == single
    assert len(set(texts)) > 1


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_are_the_engines(served, client, stream):
    plain = in_process(served, CHAT, logprobs=2)
    asked = {**ASKED, "logprobs": True, "top_logprobs": 2}
    if stream:
        found = []
        for chunk in client.chat.completions.create(**asked, stream=True):
            given = chunk.choices[0].logprobs
            found += given.content if given is not None else []
    else:
        found = client.chat.completions.create(**asked).choices[0].logprobs.content
    assert [entry.logprob for entry in found] == [entry.logprob for entry in plain.logprobs]
    assert all(len(entry.top_logprobs) == 2 for entry in found)
    for entry in found:
        if entry.bytes is not None:
            assert bytes(entry.bytes).decode() == entry.token


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_cover_what_a_stop_text_leaves(served, client, stream):
    plain = in_process(served, CHAT, logprobs=0)
    decode = served.engine.target.tokenizer.decode
    for stop in (plain.text[0], *(plain.text[at : at + 4] for at in range(1, len(plain.text), 5))):
        content = plain.text[: plain.text.index(stop)]
        covering = next(
            count
            for count in range(len(plain.token_ids) + 1)
            if decode(plain.token_ids[:count]).startswith(content)
        )
        asked = {**ASKED, "logprobs": True, "stop": stop}
        found, said = [], ""
        if stream:
            for chunk in client.chat.completions.create(**asked, stream=True):
                choice = chunk.choices[0]
                said += choice.delta.content or ""
                found += choice.logprobs.content if choice.logprobs is not None else []
                begun = decode(plain.token_ids[: max(len(found) - 1, 0)])
                assert len(begun) < max(len(said), 1)
        else:
            choice = client.chat.completions.create(**asked).choices[0]
            found, said = choice.logprobs.content, choice.message.content
        assert said == content
        assert [entry.logprob for entry in found] == [
            entry.logprob for entry in plain.logprobs[:covering]
        ]


@pytest.mark.parametrize("stream", [False, True])
def test_completions_say_where_their_tokens_begin(served, client, stream):
    asked = {"model": MODEL, "prompt": "An agent reads", "temperature": 0, "logprobs": 0}
    answers = client.completions.create(**asked, max_tokens=24, stream=stream)
    choices = [answer.choices[0] for answer in (answers if stream else [answers])]
    text = "".join(choice.text for choice in choices)
    found = [
        pair
        for choice in choices
        for pair in zip(choice.logprobs.tokens, choice.logprobs.text_offset, strict=True)
    ]
    assert len(found) == 24
    for token, offset in found:
        assert "\ufffd" in token or text[offset:].startswith(token)
    ends = [offset for _, offset in found[1:]] + [len(text)]
    whole = [at for at, (token, _) in enumerate(found) if "\ufffd" not in token]
    assert whole and all(found[at][1] + len(found[at][0]) == ends[at] for at in whole)


def test_a_stop_text_a_bias_and_a_limit_are_obeyed(client):
    text = client.chat.completions.create(**ASKED).choices[0].message.content
    stop = text[len(text) // 2 :][:3]
    stopped = client.chat.completions.create(**ASKED, stop=stop).choices[0]
    assert stopped.message.content == text[: text.index(stop)]
    assert stopped.finish_reason == "stop"
    forced = client.chat.completions.create(**ASKED, logit_bias={"300": 100})
    assert len(set(forced.choices[0].message.content[-4:])) <= 4
    assert forced.choices[0].message.content != text
    short = client.chat.completions.create(
        model=MODEL, messages=CHAT, temperature=0, max_completion_tokens=3
    )
    assert short.usage.completion_tokens == 3


def test_a_prediction_is_drafted_and_counted(served, client):
    text = client.chat.completions.create(**{**ASKED, "max_tokens": 64}).choices[0].message.content
    asked = {**ASKED, "max_tokens": 64, "extra_body": {"agentspark": {"speculation": "suffix"}}}
    alone = client.chat.completions.create(**asked)
    helped = client.chat.completions.create(
        **asked, prediction={"type": "content", "content": text}
    )
    assert helped.choices[0].message.content == text
    details = helped.usage.completion_tokens_details
    if "\ufffd" not in text:  # else the tokens of the text are others than those generated
        assert details.accepted_prediction_tokens > 0
    assert alone.usage.completion_tokens_details.accepted_prediction_tokens == 0


def test_completions_continue_texts_and_token_ids(served, client):
    prompts = ["An agent reads", "The cache keeps"]
    sampling = SamplingParams(max_tokens=10)
    plain = [served.engine.generate(p, sampling, options=PLAIN) for p in prompts]
    asked = {"model": MODEL, "temperature": 0, "max_tokens": 10}
    answer = client.completions.create(**asked, prompt=prompts, echo=True)
    assert [c.text for c in answer.choices] == [
        prompt + done.text for prompt, done in zip(prompts, plain, strict=True)
    ]
    assert [c.index for c in answer.choices] == [0, 1]
    ids = client.completions.create(**asked, prompt=plain[0].prompt_token_ids, logprobs=1)
    assert ids.choices[0].text == plain[0].text
    assert len(ids.choices[0].logprobs.tokens) == 10
    texts = ["", ""]
    for chunk in client.completions.create(
        **asked, prompt=prompts, stream=True, stream_options={"include_usage": True}
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [done.text for done in plain]
    assert chunk.usage.completion_tokens == 20
    assert client.completions.create(model=MODEL, prompt="a").usage.completion_tokens <= 16


def test_the_models_are_listed(client):
    names = [model.id for model in client.models.list()]
    assert names == [MODEL, f"{MODEL}:baseline", f"{MODEL}:accelerated"]
    assert client.models.retrieve(f"{MODEL}:baseline").owned_by == "agentspark"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_a_mark_for_the_cache_changes_nothing(client):
    asked = {"model": MODEL, "temperature": 0, "max_tokens": 8}
    text = {"type": "text", "text": "What does an agent read?"}
    said = [
        client.chat.completions.create(**asked, messages=[{"role": "user", "content": [part]}])
        for part in (text, {**text, "cache_control": {"type": "ephemeral"}})
    ]
    assert said[0].choices[0].message.content == said[1].choices[0].message.content
    assert said[0].usage.prompt_tokens == said[1].usage.prompt_tokens
