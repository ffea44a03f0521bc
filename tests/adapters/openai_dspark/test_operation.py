"""Keys, limits, deadlines, clients that leave, a queue that is full, a server that stops."""

from __future__ import annotations

import json
import math
import socket
import threading
import time

import httpx
import pytest

from agentspark.errors import ConfigError
from agentspark.models import ChatTokenizer
from openai_dspark.server.admission import Admission
from openai_dspark.server.app import _guarded
from openai_dspark.server.auth import read_keys
from openai_dspark.server.errors import ApiError
from openai_dspark.server.settings import ServerSettings

from ..serving import MODEL, serving

LONG = {"max_tokens": 1500, "ignore_eos": True}
KEYS = frozenset(("first-key-1", "second-key-2"))


@pytest.fixture(scope="module")
def guarded(make_engine):
    """A small server with keys: two sequences at once, one may wait."""
    engine = make_engine(max_requests=2)
    with serving(
        engine,
        api_keys=KEYS,
        queue_limit=1,
        max_choices=3,
        body_timeout_s=0.5,
        max_body_bytes=20_000,
        cors_origins=("http://pages.example",),
    ) as running:
        yield running


def key(name="first-key-1"):
    return {"authorization": f"Bearer {name}"}


def test_only_a_known_key_opens(guarded):
    assert guarded.chat(headers=key()).status_code == 200
    assert guarded.chat(headers={"x-api-key": "second-key-2"}).status_code == 200
    for headers in ({}, key("first-key-"), key("nonsense-key"), {"authorization": "Basic abc"}):
        response = guarded.chat(headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["type"] == "authentication_error"
        assert "bearer" in response.headers["www-authenticate"].lower()
    assert httpx.get(f"{guarded.url}/v1/models").status_code == 401
    assert httpx.get(f"{guarded.url}/metrics").status_code == 401
    assert httpx.get(f"{guarded.url}/health").status_code == 200


def test_callers_do_not_share_prefixes(guarded):
    asked = {"messages": [{"role": "user", "content": "Each branch shares its blocks. " * 5}]}

    def cached(name, **more):
        usage = guarded.chat(**asked, **more, headers=key(name)).json()["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"]

    assert cached("first-key-1") == 0
    assert cached("first-key-1") > 0
    assert cached("second-key-2") == 0
    assert cached("first-key-1", cache_salt="s") == 0
    assert cached("second-key-2", cache_salt="s") == 0


def test_callers_do_not_share_what_their_answers_were_made_of(guarded):
    chat = [{"role": "user", "content": "Answer with a secret."}]
    asked = {"max_tokens": 48, "ignore_eos": True, "temperature": 2.0, "seed": 1}
    first = guarded.chat(messages=chat, **asked, headers=key()).json()
    chat += [{"role": "assistant", "content": first["choices"][0]["message"]["content"]}, *chat]
    cold = ChatTokenizer(guarded.engine.target.tokenizer.hf).encode_chat(chat)

    def prompt_tokens(name, **more):
        answer = guarded.chat(messages=chat, **more, headers=key(name))
        return answer.json()["usage"]["prompt_tokens"]

    own = prompt_tokens("first-key-1")
    assert own != len(cold)
    assert prompt_tokens("first-key-1", model=f"{MODEL}:baseline") == own
    assert prompt_tokens("second-key-2") == len(cold)
    assert prompt_tokens("second-key-2", cache_salt="s") == len(cold)


def test_a_large_body_is_refused_early_and_late(guarded):
    big = [{"role": "user", "content": "x" * 30_000}]
    assert guarded.chat(messages=big, headers=key()).status_code == 413

    def pieces():
        for _ in range(30):
            yield b" " * 1000

    headers = {**key(), "content-type": "application/json"}
    response = guarded.post(content=pieces(), headers=headers)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_a_body_that_does_not_arrive_is_a_408(guarded):
    host, port = guarded.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Authorization: Bearer first-key-1\r\nContent-Type: application/json\r\n\r\n{"
        )
        said = b"".join(iter(lambda: raw.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 408")
    assert b'"type":"timeout_error"' in said


def test_a_client_that_leaves_before_its_body_is_there_is_a_499(served, caplog):
    host, port = served.url.removeprefix("http://").split(":")
    with caplog.at_level("INFO", "openai_dspark.access"):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
                b"X-Request-Id: gone\r\nContent-Type: application/json\r\n\r\n{"
            )
        told = []
        for _ in range(200):
            lines = [getattr(one, "fields", {}) for one in caplog.records]
            told = [line["status"] for line in lines if line.get("request_id") == "gone"]
            if told:
                break
            time.sleep(0.01)
    assert told == [499]


@pytest.mark.parametrize(
    ("first", "rest", "status"),
    [
        (b"", b"", b""),
        (b"GET /health HT", b"", b"HTTP/1.1 408"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"", b"HTTP/1.1 408"),
        (b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n", b"GET ", b"HTTP/1.1 408"),
        (b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\nGET ", b"", b"HTTP/1.1 408"),
    ],
    ids=["silent", "line", "headers", "second", "behind"],
)
def test_a_head_that_does_not_arrive_is_a_408(guarded, first, rest, status):
    host, port = guarded.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(first)
        answered = raw.recv(65536) if first.startswith(b"HEAD") else b""
        assert answered[:12] in (b"", b"HTTP/1.1 200")
        raw.sendall(rest)
        said = b"".join(iter(lambda: raw.recv(65536), b""))
    assert said.startswith(status)
    assert (b'"type":"timeout_error"' in said) == bool(status)


def test_an_offer_of_another_protocol_is_passed_over(served, caplog):
    offers = {"connection": "Upgrade, HTTP2-Settings", "http2-settings": "AAMAAABkAAQAAP__"}
    with httpx.Client(headers={**offers, "upgrade": "h2c"}) as client:
        for _ in range(2):
            answer = client.get(f"{served.url}/health")
            assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")
    assert not [one for one in caplog.records if one.name.startswith("uvicorn")]


def test_between_two_requests_no_head_is_waited_for(guarded):
    with httpx.Client() as client:
        assert client.get(f"{guarded.url}/health").status_code == 200
        connections = list(guarded.server.server_state.connections)
        assert connections and not any(one._head_timer for one in connections)


def test_a_full_queue_is_a_429_that_says_when_to_return(guarded):
    with httpx.Client(timeout=60, headers=key()) as client:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], "stream": True}
        with client.stream(
            "POST", f"{guarded.url}/v1/chat/completions", json={**body, **LONG, "n": 2}
        ) as busy:
            lines = busy.iter_lines()  # an iterator that is dropped closes the stream
            next(lines)
            response = guarded.chat(n=2, headers=key())
            assert response.status_code == 429
            assert int(response.headers["retry-after"]) >= 1
            assert response.json()["error"]["type"] == "rate_limit_error"
    assert guarded.settled()
    assert guarded.chat(n=2, headers=key()).status_code == 200


def test_more_than_could_ever_run_is_a_400():
    admission = Admission(2, 1)
    with pytest.raises(ApiError) as caught:
        admission.take(4)
    assert (caught.value.status, caught.value.param) == (400, "n")
    admission.take(3)
    admission.give_back(3)
    assert admission.taken == 0
    assert 1 <= admission.wait_s() <= 60


def test_cors_is_for_named_origins_only(served, guarded):
    asked = {"origin": "http://pages.example", "access-control-request-method": "POST"}
    path = "/v1/chat/completions"
    allowed = httpx.options(guarded.url + path, headers=asked)
    assert allowed.headers["access-control-allow-origin"] == "http://pages.example"
    other = httpx.options(guarded.url + path, headers={**asked, "origin": "http://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    assert (other.status_code, other.json()["error"]["code"]) == (400, "cors_refused")
    assert "origin" in other.json()["error"]["message"]
    assert "Origin" in other.headers["vary"]
    assert "access-control-allow-origin" not in httpx.options(served.url + path).headers
    page = {"origin": "http://pages.example"}
    refused = httpx.get(f"{guarded.url}/v1/models", headers=page)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "http://pages.example"
    exposed = refused.headers["access-control-expose-headers"]
    assert exposed == "x-request-id, x-agentspark-left-out-tools, retry-after"
    assert refused.headers["x-request-id"]


async def test_pages_may_read_that_a_name_is_not_known_here():
    async def never(scope, receive, send):
        raise AssertionError("the request went through")

    app = _guarded(never, ServerSettings(cors_origins=("http://pages.example",)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://rebound.example") as client:
        answer = await client.get("/v1/models", headers={"origin": "http://pages.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_not_allowed")
    assert answer.headers["access-control-allow-origin"] == "http://pages.example"


def test_a_local_server_answers_to_local_names_only(served):
    path = f"{served.url}/v1/models"
    assert httpx.get(path, headers={"host": "rebound.example"}).status_code == 403
    port = served.url.rsplit(":", 1)[1]
    for name in ("localhost", f"localhost:{port}", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert httpx.get(path, headers={"host": name}).status_code == 200


def test_allowed_names_are_known_however_they_are_written():
    settings = ServerSettings(host="127.0.0.2", allowed_hosts=("Box.Example", "home.", "[FE80::1]"))
    for header in (
        "box.example", "BOX.example.:8000", "home", "home.:1", "127.0.0.2:8000", "[fe80::1]:80",
        "[::1]", "::1", "localhost.", "LOCALHOST:8000",
    ):  # fmt: skip
        assert settings.knows_host(header), header
    for header in ("", "example", "box.example.evil", "x:localhost:1", "home..", "::1.evil"):
        assert not settings.knows_host(header), header
    for name in ("box.example:8000", "[::1]:80", ""):
        with pytest.raises(ConfigError, match="without a port"):
            ServerSettings(allowed_hosts=(name,))


def test_a_deadline_ends_the_request(served):
    short = {"x-agentspark-timeout": "0.2"}
    response = served.chat(**LONG, headers=short)
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "deadline_exceeded"
    for seconds in ("0.2", "1", "5", "25"):  # a busy machine may have no token by then
        late = {"x-agentspark-timeout": seconds}
        streamed = served.chat(**LONG, stream=True, headers=late)
        if streamed.status_code == 200:
            break
        assert streamed.status_code == 504
    *_, failure, done = [line for line in streamed.text.split("\n\n") if line]
    assert json.loads(failure[6:])["error"]["code"] == "deadline_exceeded"
    assert done == "data: [DONE]"
    assert served.settled()
    assert served.chat(max_tokens=1, headers={"x-agentspark-timeout": ""}).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_leaves_cancels_its_request(served, stream, n):
    assert served.settled()
    before = served.engine.stats()
    body = {
        "model": MODEL, "n": n, "stream": stream, **LONG, "cache_salt": f"leaving-{stream}-{n}",
        "messages": [{"role": "user", "content": "Read all files."}],
    }  # fmt: skip
    url = f"{served.url}/v1/chat/completions"
    with httpx.Client(timeout=60) as client:
        if stream:
            with client.stream("POST", url, json=body) as response:
                next(response.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(url, json=body, timeout=0.5)
    assert served.settled()
    stats = served.engine.stats()
    # What is left in use is the cache's; nobody holds blocks beside it.
    assert stats.used_blocks == stats.cached_blocks
    assert before.used_blocks == before.cached_blocks


def test_many_clients_at_once_get_their_own_answers(served):
    def ask(number, answers):
        messages = [{"role": "user", "content": f"File {number} holds"}]
        answers[number] = served.chat(messages=messages, n=2).json()["choices"]

    alone, together = {}, {}
    for number in range(6):
        ask(number, alone)
    threads = [threading.Thread(target=ask, args=(number, together)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_a_public_address_needs_a_key_or_the_word():
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ConfigError, match="insecure-no-key"):
            ServerSettings(host=host)
        ServerSettings(host=host, insecure_no_key=True)
        ServerSettings(host=host, api_keys=KEYS)
    for host in ("127.0.0.1", "127.0.0.9", "::1", "localhost"):
        assert ServerSettings(host=host).checks_hosts
    with pytest.raises(ConfigError, match="drain_s"):
        ServerSettings(drain_s=math.nan)
    with pytest.raises(ConfigError, match="8 printable"):
        ServerSettings(api_keys=frozenset(("short",)))
    assert "first-key" not in repr(ServerSettings(api_keys=KEYS))


def test_the_document_says_what_needs_a_key_and_promises_nothing_else(served, guarded):
    for server, more in ((served, [{}]), (guarded, [])):
        document = httpx.get(f"{server.url}/openapi.json").json()
        assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
        for path, methods in document["paths"].items():
            for operation in methods.values():
                assert "422" not in operation["responses"]
                wanted = None if path.startswith("/health") else [{"bearer": []}, {"header": []}]
                assert operation.get("security") == (wanted and [*wanted, *more]), path
        assert "ValidationError" not in str(document)


def test_keys_come_from_the_environment_and_a_file(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# ours\nfile-key-1\n  # no key at all\n\n\tfile-key-2\n")
    environment = {"AGENTSPARK_API_KEY": "one,key", "AGENTSPARK_API_KEYS": "two-key, three-key"}
    assert read_keys(file, environment) == {
        "one,key", "two-key", "three-key", "file-key-1", "file-key-2",
    }  # fmt: skip
    assert read_keys(None, {}) == frozenset()
    file.write_text("# nothing\n")
    with pytest.raises(ConfigError, match="holds no key"):
        read_keys(file, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "none", {})
