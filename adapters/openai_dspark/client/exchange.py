"""One HTTP exchange of somebody else's client, watched as it passes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from agentspark.engine.params import Labels
from agentspark.errors import RemoteStatusError
from openai_dspark.client.account import Account, Generated
from openai_dspark.client.events import DONE, EventDecoder
from openai_dspark.client.failures import answer_of
from openai_dspark.client.order import LABEL_HEADERS, Order
from openai_dspark.client.problems import problem_in
from openai_dspark.client.responses_api import as_chat, begins, ended
from openai_dspark.wire.chat_chunk import ChatChunk
from openai_dspark.wire.chat_reply import ChatCompletion
from openai_dspark.wire.completion_reply import TextCompletion

# A server takes steps of fewer digits.
_DIGITS = 10
_ENDPOINTS = ("/chat/completions", "/completions", "/responses")


class Exchange:
    """What was asked, and what is answered to it, piece by piece. What is not understood passes.

    ``failure`` is an error that the server told instead of an answer, or within it, or else that
    nothing of what it said is an answer.
    """

    def __init__(self, request: httpx.Request, body: Mapping[str, Any]) -> None:
        self.url = request.url
        self._chat = request.url.path.endswith(_ENDPOINTS[0])
        self._responses = request.url.path.endswith(_ENDPOINTS[2])
        self._whole: list[bytes] | None = None if body.get("stream") else []
        self._decoder = EventDecoder()
        self.done = False
        self._told: RemoteStatusError | None = None
        self._unclear: RemoteStatusError | None = None
        self._understood = False
        self.account = Account(
            Order(
                "POST",
                request.url.path,
                request.content,
                labels=labels_in(request.headers),
                streamed=self._whole is None,
            )
        )

    @property
    def failure(self) -> RemoteStatusError | None:
        """What went wrong so far."""
        return self._told or (None if self._understood else self._unclear)

    @classmethod
    def of(cls, request: httpx.Request) -> Exchange | None:
        """The exchange that a request (which is read) begins; ``None`` if it generates nothing."""
        if request.method != "POST" or not request.url.path.endswith(_ENDPOINTS):
            return None
        try:
            body = json.loads(request.content)
        except (ValueError, RecursionError):
            return None
        return cls(request, body) if isinstance(body, dict) else None

    def add(self, part: bytes) -> None:
        """Take in bytes of the response's body."""
        if self._whole is not None:
            self._whole.append(part)
            return
        for event in self._decoder.push(part):
            if event == DONE:
                self.done = True
            else:
                self._read(event)

    def end(self) -> None:
        """The body has ended."""
        self.done = True
        if self._whole is not None:
            self._read(b"".join(self._whole))

    def _read(self, content: bytes | str) -> None:
        try:
            reply = self._response(content) if self._responses else self._kind(content)
        except RemoteStatusError as error:
            # An event of another server's own is none: llama.cpp begins some streams with null.
            if problem_in(content) is None:
                self._unclear = self._unclear or error
            else:
                self._told = self._told or error
            return
        except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
            return  # a record that lacks something is better than a broken call
        if reply is not None:
            self._understood = True
            self.account.add(reply)

    def _kind(self, content: bytes | str) -> Generated:
        if not self._chat:
            return answer_of(TextCompletion, content)
        if self._whole is not None:
            return answer_of(ChatCompletion, content)
        return answer_of(ChatChunk, content)

    def _response(self, content: bytes | str) -> ChatCompletion | None:
        known = json.loads(content)
        if self._whole is not None:
            return as_chat(known)
        if begins(known):
            self.account.begin()
        response = ended(known)
        if response is None:
            return None
        self.done = True
        return as_chat(response)


def labels_in(headers: httpx.Headers) -> Labels:
    """The labels that a caller has put into a request's headers."""
    found: dict[str, Any] = {
        name: headers[header] for name, header in LABEL_HEADERS.items() if header in headers
    }
    step = found.pop("step", None)
    usable = step is not None and step.isascii() and step.isdecimal() and len(step) < _DIGITS
    return Labels(**found, step=int(step) if step is not None and usable else None)
