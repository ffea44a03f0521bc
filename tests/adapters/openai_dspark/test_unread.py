"""A client that reads nothing holds no stop."""

from __future__ import annotations

import json
import socket
import time

import pytest

from openai_dspark.server.unread import Unread

from ..serving import MODEL, serving

BODY = {
    "model": MODEL, "messages": [{"role": "user", "content": "a"}], "n": 16, "max_tokens": 1500,
    "ignore_eos": True, "logprobs": True, "top_logprobs": 20, "stream": True,
}  # fmt: skip


class Waiting:
    """A connection of which ``left`` bytes wait to be sent."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.transport = self

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.left = 0


def test_only_who_takes_nothing_for_a_while_is_unread():
    slow, deaf, idle = Waiting(5000), Waiting(5000), Waiting(0)
    unread = Unread([slow, deaf, idle])
    assert unread.look(10.0) == []
    slow.left, deaf.left = 4000, 6000  # one was read, to the other more was written
    assert unread.look(10.9) == []
    assert unread.look(11.1) == [deaf]
    slow.left = 0
    assert unread.look(11.8) == [deaf]
    slow.left = 3000
    assert unread.look(12.7) == [deaf]
    assert unread.look(13.7) == [slow, deaf]


def test_a_stop_does_not_wait_for_who_reads_nothing(make_engine):
    sent = json.dumps(BODY).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sent)}"
    with serving(make_engine(), drain_s=0.0) as running, socket.socket() as deaf:
        # Were it waited for, the server would not be gone in time.
        running.server.config.timeout_graceful_shutdown = 600
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = running.url.removeprefix("http://").split(":")
        deaf.connect((host, int(port)))
        deaf.sendall(head.encode() + b"\r\nContent-Type: application/json\r\n\r\n" + sent)
        connections = running.server.server_state.connections
        for _ in range(1200):
            if any(one.flow is not None and one.flow.write_paused for one in list(connections)):
                break
            time.sleep(0.05)
        else:
            pytest.fail("the client's buffers never filled")
        running.server.should_exit = True
        running.thread.join(30)
        assert not running.thread.is_alive()
