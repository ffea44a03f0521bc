"""What a model over another server tells of what that says."""

from __future__ import annotations

import httpx
import pytest
from langchain_core.exceptions import ContextOverflowError

from langchain_dspark import ChatDSpark

from ..peers import END, TIMINGS, TOO_LONG, USAGE, VLLM, chunk, streamed, stub, text


@pytest.fixture
def chat(monkeypatch):
    """Asks a ``ChatDSpark`` whose server answers with what it is given."""

    def answering(response):
        made = client(transport=stub(response))
        monkeypatch.setattr("openai_dspark.client.synchronous.httpx.Client", lambda **_: made)
        with ChatDSpark(base_url="http://there/v1", model="smol", max_retries=0) as model:
            return model.invoke("a")

    client = httpx.Client  # the module is one for all
    return answering


@pytest.mark.parametrize("server", TOO_LONG)
def test_an_agent_is_told_that_its_context_is_full(chat, server):
    with pytest.raises(ContextOverflowError):
        chat(httpx.Response(400, json={"error": TOO_LONG[server]}))


def test_messages_tell_what_other_servers_said(chat):
    of_vllm = streamed(chunk(text("a")), chunk(END), chunk(usage=USAGE, metrics=VLLM))
    said = chat(of_vllm).response_metadata
    assert said["timings"] == {
        "queue_ms": 0.06, "prefill_ms": 3152.58, "ttft_ms": 3152.64, "decode_ms": 4977.12,
        "total_ms": None,
    }  # fmt: skip
    assert said["speculation"] == {
        "rounds": None, "draft_tokens": 8, "verified_tokens": 8, "accepted_tokens": 4,
        "accepted_length": None, "accepted_histogram": [1, 0, 0, 0, 1],
    }  # fmt: skip
    of_llama = streamed(chunk(text("a")), chunk(END), chunk(usage=USAGE, timings=TIMINGS))
    said = chat(of_llama).response_metadata
    assert said["timings"]["prefill_ms"] == 1536.045
    assert said["speculation"]["accepted_tokens"] == 3
