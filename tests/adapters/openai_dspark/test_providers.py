"""Who answered a call, as its record and its span name it."""

from __future__ import annotations

import httpx
import pytest
from openai import OpenAI

from agentspark.trace import read_trace
from openai_dspark import Client, TracingTransport
from openai_dspark.client.server import Server

from ..peers import END, HEAD, TIMINGS, USAGE, chunk, streamed, stub, text
from ..serving import MODEL

CHAT = [{"role": "user", "content": "What does an agent read?"}]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "client.jsonl"


def recorded(path, url="http://127.0.0.1:8001/v1", sign=None, server=None, **end):
    """The record of a call whose answer is signed so."""
    events = [chunk(text("a")), chunk(END, usage=USAGE, **end)]
    signed = [{**event, "system_fingerprint": sign} for event in events]
    body = streamed(*signed).content
    headers = {
        "content-type": "text/event-stream",
        **({} if server is None else {"server": server}),
    }
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, headers=headers, content=body)
    )
    with Client(url, model="m", trace=path, transport=transport, max_retries=0) as client:
        list(client.chat_stream(CHAT))
    return read_trace(path).records[-1]


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure.ai.openai"),
        ("mine.services.ai.azure.com", "azure.ai.inference"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("us-south.ml.cloud.ibm.com", "ibm.watsonx.ai"),
        ("api.x.ai", "x_ai"),
        ("ec2-1-2-3-4.compute.amazonaws.com", None),
        ("notapi.openai.com.there", None),
    ],
)
def test_services_have_the_names_of_the_conventions(path, host, provider):
    record = recorded(path, f"https://{host}/v1", sign="fp_44709d6fcb")
    assert (record.provider, record.server) == (provider, f"{host}:443")


@pytest.mark.parametrize(
    ("told", "provider"),
    [
        ({"sign": "vllm-0.32.0-tp1-abc"}, "vllm"),
        ({"sign": "b6123-9ef5369"}, "llama_cpp"),
        ({"server": "llama.cpp"}, "llama_cpp"),
        ({"timings": TIMINGS}, "llama_cpp"),
        ({"sign": "fp_ollama"}, "ollama"),
        ({"sign": "agentspark-0.1"}, "agentspark"),
        ({"sign": "fp_44709d6fcb", "server": "uvicorn"}, None),
        ({}, None),
    ],
)
def test_servers_are_known_by_how_they_sign(path, told, provider):
    record = recorded(path, **told)
    assert (record.provider, record.server) == (provider, "127.0.0.1:8001")


def test_an_address_has_its_port():
    for url, address in (("http://[::1]/v1", "[::1]:80"), ("http://u:p@there:9/v1", "there:9")):
        assert Server.of(httpx.URL(url), httpx.Headers()).address == address


def test_what_passes_a_transport_has_its_server_too(path):
    whole = {
        **HEAD, "object": "chat.completion", "usage": USAGE,
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}
        ],
    }  # fmt: skip
    transport = TracingTransport(path, stub(httpx.Response(200, json=whole)))
    http = httpx.Client(transport=transport)
    with OpenAI(base_url="http://there:8001/v1", api_key="n", http_client=http) as client:
        client.chat.completions.create(model="m", messages=CHAT)
    (record,) = read_trace(path).records
    assert (record.provider, record.server) == ("llama_cpp", "there:8001")


def test_an_agentspark_server_is_known(served, path):
    with Client(f"{served.url}/v1", model=MODEL, trace=path) as client:
        client.chat(CHAT, max_tokens=4)
        list(client.chat_stream(CHAT, max_tokens=4))
    assert {record.provider for record in read_trace(path).records} == {"agentspark"}
