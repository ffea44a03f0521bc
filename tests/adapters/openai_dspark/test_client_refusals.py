"""What the client refuses before it asks anybody."""

from __future__ import annotations

import pytest

from agentspark.errors import (
    ConfigError,
    InvalidRequestError,
    RemoteConnectionError,
)
from openai_dspark import AsyncClient, Client

CHAT = [{"role": "user", "content": "What does an agent read?"}]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_settings_that_no_request_could_carry_are_refused(kind):
    for url in ("http://[::1/v1", "http://x:99999/v1", "http://x:y/v1", "http:///v1", "ftp://x"):
        with pytest.raises(ConfigError, match="no address"):
            kind(url)
    for key in ("\u043a\u043b\u044e\u0447", "key\n"):
        with pytest.raises(ConfigError, match="api_key") as caught:
            kind(api_key=key)
        assert key not in str(caught.value)
    for headers in ({"x-a": "b\nc"}, {"x-\u00e9": "b"}, {"": "b"}, {"x-a": 5}):
        with pytest.raises(ConfigError, match="header"):
            kind(headers=headers)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="no address"):
        Client("localhost:8000")
    with pytest.raises(ConfigError, match="timeout"):
        Client(timeout=0)
    with Client() as client, pytest.raises(InvalidRequestError, match="which model"):
        client.chat(CHAT)
    for timeout in (0, -1, float("nan"), float("inf")):
        with Client(model="m") as client, pytest.raises(InvalidRequestError, match="timeout"):
            client.chat(CHAT, timeout=timeout)
    with (
        Client("http://127.0.0.1:9/v1", model="m", max_retries=0) as client,
        pytest.raises(RemoteConnectionError, match="cannot be reached"),
    ):
        client.chat(CHAT)


@pytest.mark.parametrize(
    ("param", "asked"),
    [
        ("messages", {"messages": [{"role": "user", "content": "half \ud83d"}]}),
        ("tools", {"messages": CHAT, "tools": [{"type": "function", "function": object()}]}),
    ],
)
async def test_what_is_no_json_is_refused_by_name(param, asked):
    with Client(model="m") as client:
        with pytest.raises(InvalidRequestError, match=f"{param} cannot be sent") as caught:
            client.chat(**asked)
        assert caught.value.param == param
        with pytest.raises(InvalidRequestError, match=param):
            client.chat_stream(**asked)
        with pytest.raises(InvalidRequestError, match="prompt"):
            client.complete("\udc00")
    async with AsyncClient(model="m") as other:
        with pytest.raises(InvalidRequestError, match=f"{param} cannot be sent"):
            await other.chat(**asked)
