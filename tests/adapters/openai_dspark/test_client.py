"""The thin client: against the real server, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.engine.params import Labels
from agentspark.errors import (
    InvalidRequestError,
    RemoteConnectionError,
    RemoteStatusError,
)
from openai_dspark import AsyncClient, Client
from openai_dspark.client.events import EventDecoder

from ..serving import MODEL

CHAT = [{"role": "user", "content": "What does an agent read?"}]
ASKED = {"temperature": 0, "max_tokens": 12}
REPLY = {
    "id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [],
}  # fmt: skip
CHUNK = {**REPLY, "object": "chat.completion.chunk"}
ROLE, TOKEN = (
    {**CHUNK, "choices": [{"index": 0, "delta": delta}]}
    for delta in ({"role": "assistant", "content": ""}, {"content": "a"})
)
TEXT = {**CHUNK, "object": "text_completion"}
TEXT_TOKEN = {
    **TEXT, "choices": [{"index": 0, "text": "a", "finish_reason": None, "logprobs": None}],
}  # fmt: skip


@pytest.fixture
def own(served):
    with Client(f"{served.url}/v1", model=MODEL) as client:
        yield client


def text_of(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_it_says_what_the_engine_says(served, own):
    plain = served.engine.chat(CHAT)
    answer = own.chat(CHAT, **ASKED)
    assert answer.choices[0].message.content == plain.text[: len(answer.choices[0].message.content)]
    *chunks, last = list(own.chat_stream(CHAT, **ASKED))
    assert text_of(chunks) == answer.choices[0].message.content
    assert last.usage.completion_tokens == 12
    assert last.metrics.agentspark.arm == "accelerated"
    assert own.complete("An agent reads", **ASKED).usage.completion_tokens == 12
    pieces = list(own.complete_stream("An agent reads", **ASKED))
    assert pieces[-1].usage.completion_tokens == 12
    assert own.models()[0].id == MODEL


async def test_async_says_the_same(served, own):
    expected = own.chat(CHAT, **ASKED).choices[0].message.content
    async with AsyncClient(f"{served.url}/v1", model=MODEL) as client:
        answer = await client.chat(CHAT, **ASKED)
        assert answer.choices[0].message.content == expected
        chunks = [chunk async for chunk in client.chat_stream(CHAT, **ASKED)]
        assert text_of(chunks) == expected
        both = await asyncio.gather(*(client.complete("a", **ASKED) for _ in range(2)))
        assert both[0].choices[0].text == both[1].choices[0].text
        assert (await client.models())[0].id == MODEL


def test_leaving_a_stream_cancels_it(served, own):
    stream = own.chat_stream(CHAT, max_tokens=1500, ignore_eos=True)
    next(stream)
    assert served.app.service.calls
    stream.close()
    assert served.settled()


async def test_cancelling_a_task_cancels_its_request(served):
    async with AsyncClient(f"{served.url}/v1", model=MODEL) as client:
        task = asyncio.create_task(client.chat(CHAT, max_tokens=1500, ignore_eos=True))
        await asyncio.sleep(0.5)
        assert served.app.service.calls
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await asyncio.to_thread(served.settled)


def test_errors_name_the_parameter_and_the_status(own):
    with pytest.raises(RemoteStatusError, match="temperature") as caught:
        own.chat(CHAT, temperature=-1)
    assert (caught.value.status, caught.value.param) == (400, "temperature")
    assert caught.value.request_id
    with pytest.raises(RemoteStatusError) as caught:
        list(own.chat_stream(CHAT, model="other"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    with pytest.raises(RemoteStatusError) as caught:
        own.chat(CHAT, max_tokens=1500, ignore_eos=True, timeout=0.2)
    assert caught.value.code == "deadline_exceeded"


def failing(answers):
    """A transport that gives these one after the other, and what it was asked."""
    asked: list[httpx.Request] = []

    def handle(request):
        asked.append(request)
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return httpx.MockTransport(handle), asked


def error(status, **headers):
    body = {"error": {"message": "no", "type": "t", "param": "p", "code": "c"}}
    return httpx.Response(status, json=body, headers=headers)


def stream(*events, done=True):
    parts = [f"data: {json.dumps(event)}\n\n" for event in events]
    return httpx.Response(200, text="".join(parts) + ("data: [DONE]\n\n" if done else ""))


@pytest.mark.parametrize(
    "passing",
    [error(s, **{"retry-after": "0"}) for s in (408, 409, 429, 500, 503)]
    + [httpx.ConnectError("refused"), httpx.ReadTimeout("late")],
    ids=str,
)
def test_what_passes_is_tried_again(passing):
    transport, asked = failing([passing, httpx.Response(200, json=REPLY)])
    with Client("http://x/v1", model="m", transport=transport) as client:
        assert client.chat(CHAT).id == "1"
    assert len(asked) == 2
    transport, asked = failing([passing, stream(CHUNK)])
    with Client("http://x/v1", model="m", transport=transport) as client:
        assert len(list(client.chat_stream(CHAT))) == 1
    assert len(asked) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_does_not_pass_is_not(status):
    transport, asked = failing([error(status)])
    with (
        Client("http://x/v1", model="m", transport=transport) as client,
        pytest.raises(RemoteStatusError, match=f"{status}: no"),
    ):
        client.chat(CHAT)
    assert len(asked) == 1


async def test_tries_end_and_the_last_error_arrives():
    transport, asked = failing([error(503, **{"retry-after": "0"})])
    with (
        Client("http://x/v1", model="m", transport=transport, max_retries=1) as client,
        pytest.raises(RemoteStatusError, match="503"),
    ):
        client.chat(CHAT)
    assert len(asked) == 2
    async with AsyncClient("http://x/v1", model="m", transport=transport, max_retries=2) as other:
        with pytest.raises(RemoteStatusError, match="503"):
            await other.chat(CHAT)
        with pytest.raises(RemoteStatusError, match="503"):
            [chunk async for chunk in other.chat_stream(CHAT)]
    assert len(asked) == 8


def test_retry_after_is_waited_for(monkeypatch):
    waited = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    transport, _ = failing([error(429, **{"retry-after": "7"}), httpx.Response(200, json=REPLY)])
    with Client("http://x/v1", model="m", transport=transport) as client:
        client.chat(CHAT)
    assert len(waited) == 1
    assert 7 <= waited[0] <= 9


@pytest.mark.parametrize(
    "broken",
    [stream(TOKEN, done=False), stream(TOKEN, {"error": {"message": "m", "type": "server_error"}})],
    ids=["cut", "error"],
)
def test_nothing_is_tried_again_after_the_first_token(broken):
    transport, asked = failing([broken])
    with Client("http://x/v1", model="m", transport=transport) as client:
        chunks = client.chat_stream(CHAT)
        assert next(chunks).id == "1"
        with pytest.raises((RemoteConnectionError, RemoteStatusError)):
            next(chunks)
    assert len(asked) == 1


async def test_a_stream_that_is_lost_before_its_first_token_is_tried_again():
    lost = stream(CHUNK, ROLE, done=False)
    for whole in (stream(ROLE, TOKEN), stream(CHUNK, ROLE)):
        transport, asked = failing([lost, lost, whole])
        with Client("http://x/v1", model="m", transport=transport) as client:
            assert len(list(client.chat_stream(CHAT))) == 2
        assert len(asked) == 3
    transport, asked = failing([lost, stream(ROLE, TOKEN)])
    async with AsyncClient("http://x/v1", model="m", transport=transport) as other:
        assert len([chunk async for chunk in other.chat_stream(CHAT)]) == 2
    assert len(asked) == 2
    transport, asked = failing([stream(TEXT, done=False), stream(TEXT, TEXT_TOKEN)])
    with Client("http://x/v1", model="m", transport=transport) as client:
        assert [len(chunk.choices) for chunk in client.complete_stream("a")] == [0, 1]
    assert len(asked) == 2


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_goes_by_two_names(name):
    said = {"role": "assistant", "content": "a", name: "because"}
    choice = {"index": 0, "message": said, "finish_reason": "stop", "logprobs": None}
    transport, _ = failing(
        [
            httpx.Response(200, json={**REPLY, "choices": [choice]}),
            stream({**CHUNK, "choices": [{"index": 0, "delta": said}]}),
        ]
    )
    with Client("http://x/v1", model="m", transport=transport) as client:
        assert client.chat(CHAT).choices[0].message.reasoning_content == "because"
        (chunk,) = client.chat_stream(CHAT)
        assert chunk.choices[0].delta.reasoning_content == "because"


def test_a_server_that_answers_something_else_is_an_error():
    transport, _ = failing([httpx.Response(200, text="<html>")])
    with (
        Client("http://x/v1", model="m", transport=transport) as client,
        pytest.raises(RemoteStatusError, match="does not answer as"),
    ):
        client.chat(CHAT)


ERRORS = [
    ({"error": {"message": "too long", "code": 400, "param": "messages"}}, "400", "messages"),
    ({"error": "too long"}, None, None),
    ({"object": "error", "message": "too long", "code": 40303, "param": None}, "40303", None),
    ({"message": "too long"}, None, None),
    ({"detail": "too long"}, None, None),
    ({"detail": [{"loc": ["body"], "msg": "too long", "type": "t"}]}, None, None),
    ([{"error": {"message": "too long", "status": "X", "code": "c"}}], "c", None),
    ({"error": {"type": "too long"}}, None, None),
    ({**TOKEN, "error": {"message": "too long", "code": 502}}, "502", None),
]


@pytest.mark.parametrize(("told", "code", "param"), ERRORS)
async def test_errors_are_read_in_every_shape(told, code, param):
    transport, _ = failing([httpx.Response(400, json=told)])
    with (
        Client("http://x/v1", model="m", transport=transport) as client,
        pytest.raises(RemoteStatusError, match=r"answered 400: .*too long") as refused,
    ):
        client.chat(CHAT)
    transport, _ = failing([stream(TOKEN, told)])
    with (
        Client("http://x/v1", model="m", transport=transport) as client,
        pytest.raises(RemoteStatusError, match=r"ended the stream: .*too long") as ended,
    ):
        list(client.chat_stream(CHAT))
    for caught in (refused, ended):
        assert (caught.value.code, caught.value.param) == (code, param)


def test_a_field_that_is_missing_is_named():
    without = {key: value for key, value in REPLY.items() if key != "id"}
    transport, _ = failing([httpx.Response(200, json=without)])
    with (
        Client("http://x/v1", model="m", transport=transport) as client,
        pytest.raises(RemoteStatusError, match="API does: id: Field required"),
    ):
        client.chat(CHAT)


def test_answers_may_leave_out_what_says_nothing():
    choice = {"index": 0, "message": {"role": "assistant"}, "finish_reason": "stop"}
    transport, _ = failing([httpx.Response(200, json={**REPLY, "choices": [choice]})])
    with Client("http://x/v1", model="m", transport=transport) as client:
        (answer,) = client.chat(CHAT).choices
    assert (answer.message.content, answer.logprobs) == (None, None)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"html": "<html>Welcome</html>"}, r"text/html.*end in /v1.*<html>Welcome"),
        ({"json": REPLY}, "application/json instead of a stream"),
        ({"json": {"error": "no such thing"}}, "no such thing"),
        ({}, "something instead of a stream"),
    ],
)
async def test_what_is_no_stream_is_not_asked_for_again(sent, said):
    transport, asked = failing([httpx.Response(200, **sent)])
    with (
        Client("http://x/v1", model="m", transport=transport) as client,
        pytest.raises(RemoteStatusError, match=said),
    ):
        list(client.chat_stream(CHAT))
    async with AsyncClient("http://x/v1", model="m", transport=transport) as other:
        with pytest.raises(RemoteStatusError, match=said):
            [chunk async for chunk in other.chat_stream(CHAT)]
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("1.5", 1.5), ("\u00b2", None), ("inf", None), ("nan", None), ("-1", None), ("soon", None)],
)
def test_the_wait_that_a_server_asks_for(header, seconds):
    headers = {"retry-after": header.encode()}
    transport, _ = failing([httpx.Response(503, headers=headers)])
    with (
        Client("http://x/v1", model="m", transport=transport, max_retries=0) as client,
        pytest.raises(RemoteStatusError) as caught,
    ):
        client.chat(CHAT)
    assert caught.value.retry_after_s == seconds


def test_labels_key_and_timeout_are_sent():
    transport, asked = failing([httpx.Response(200, json=REPLY)])
    with Client("http://x/v1/", api_key="k", model="m", transport=transport) as client:
        client.chat(CHAT, labels=Labels(run="r", step=2, step_name="ß", arm="baseline"), timeout=3)
        sent = asked[0].headers
        assert sent["authorization"] == "Bearer k"
        assert (sent["x-agentspark-run"], sent["x-agentspark-step"]) == ("r", "2")
        assert sent["x-agentspark-arm"] == "baseline"
        assert (b"x-agentspark-step-name", "ß".encode()) in sent.raw
        assert 0 < float(sent["x-agentspark-timeout"]) <= 3
        assert asked[0].url == "http://x/v1/chat/completions"
        assert json.loads(asked[0].content) == {"model": "m", "messages": CHAT}
        with pytest.raises(InvalidRequestError, match="printable"):
            client.chat(CHAT, labels=Labels(run="a\nb"))
        with pytest.raises(InvalidRequestError, match="step cannot be sent"):
            client.chat(CHAT, labels=Labels(step=10**5000))
    assert "'k'" not in repr(client.settings)


async def test_a_client_that_was_closed_says_so():
    transport, asked = failing([httpx.Response(200, json=REPLY)])
    client = Client("http://x/v1", model="m", transport=transport)
    client.close()
    for call in (client.chat, lambda chat: next(client.chat_stream(chat))):
        with pytest.raises(RemoteConnectionError, match="was closed"):
            call(CHAT)
    other = AsyncClient("http://x/v1", model="m", transport=transport)
    await other.close()
    with pytest.raises(RemoteConnectionError, match="was closed"):
        await other.chat(CHAT)
    with pytest.raises(RemoteConnectionError, match="was closed"):
        await anext(other.chat_stream(CHAT))
    assert not asked


@given(
    st.lists(st.text(min_size=1).filter(lambda text: "\n" not in text and "\r" not in text)),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 7),
)
def test_events_come_out_as_they_went_in(texts, end, size):
    raw = "".join(f"event: x{end}data: {text}{end}{end}" for text in texts).encode()
    decoder, found = EventDecoder(), []
    for start in range(0, len(raw), size):
        found += decoder.push(raw[start : start + size])
    found += decoder.push(b"\n" if end == "\r" else b"")
    assert found == texts


def test_importing_the_client_is_light():
    heavy = ("torch", "transformers", "fastapi", "uvicorn", "openai", "langchain_core")
    code = (
        "import sys; from openai_dspark import Client, AsyncClient; "
        f"print([n for n in {heavy!r} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
