"""The forms a call comes in: blocking, streaming and asynchronous, for prompts and for chats."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.chatting import chat_prompt
from agentspark.engine.events import adelta_stream
from agentspark.engine.handle import Handle
from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.request import Request
from agentspark.engine.result import Completion, Delta
from agentspark.engine.texts import check_text
from agentspark.errors import InvalidRequestError
from agentspark.models.target import Target
from agentspark.sampling.params import SamplingParams

Prompt = str | Sequence[int]
Messages = Sequence[Mapping[str, Any]]


class Asked(TypedDict, total=False):
    """What any call may be given by name: what it may use to be fast, and where it stands."""

    options: RequestOptions | None
    labels: Labels | None


class AskedOfChat(Asked, total=False):
    """What a chat may be given too: which tools it may call, what its answer must look like."""

    chat: ChatFormat | None


class Calls(ABC):
    """All forms of a call, over ``submit``. ``target`` is what answers."""

    target: Target

    @abstractmethod
    def submit(self, request: Request) -> Handle:
        """Queue a request. Raises ``InvalidRequestError`` at once for what cannot be served."""

    # -- one prompt ----------------------------------------------------------------------------

    def generate(
        self, prompt: Prompt, sampling: SamplingParams | None = None, **asked: Unpack[Asked]
    ) -> Completion:
        """Continue ``prompt`` (text or token ids) and wait for the end.

        Interrupted (``KeyboardInterrupt``), it cancels the request.
        """
        return _complete(self.submit(self._request(prompt, sampling, **asked)))

    def stream(
        self, prompt: Prompt, sampling: SamplingParams | None = None, **asked: Unpack[Asked]
    ) -> Iterator[Delta]:
        """Like ``generate``, delta by delta; leaving the iteration cancels the request."""
        return iter(self.submit(self._request(prompt, sampling, **asked)))

    async def agenerate(
        self, prompt: Prompt, sampling: SamplingParams | None = None, **asked: Unpack[Asked]
    ) -> Completion:
        """``generate`` without blocking the event loop; cancelling the task cancels it."""
        return await _acomplete(self.submit(self._request(prompt, sampling, **asked)))

    def astream(
        self, prompt: Prompt, sampling: SamplingParams | None = None, **asked: Unpack[Asked]
    ) -> AsyncIterator[Delta]:
        """``stream`` for ``async for``."""
        return adelta_stream(self.submit(self._request(prompt, sampling, **asked)))

    def _request(
        self,
        prompt: Prompt,
        sampling: SamplingParams | None = None,
        *,
        options: RequestOptions | None = None,
        labels: Labels | None = None,
    ) -> Request:
        return Request(
            prompt_token_ids=self._encoded(prompt),
            sampling=sampling or SamplingParams(),
            options=options or RequestOptions(),
            labels=labels or Labels(),
        )

    def _encoded(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str):
            check_text(prompt, "prompt")
            return self.target.tokenizer.encode(prompt)
        try:
            return list(prompt)
        except TypeError as error:
            raise InvalidRequestError(
                f"The prompt must be text or token ids, not {type(prompt).__name__}.",
                param="prompt",
            ) from error

    # -- a conversation ------------------------------------------------------------------------

    def chat_request(
        self,
        messages: Messages,
        sampling: SamplingParams | None = None,
        *,
        chat: ChatFormat | None = None,
        **asked: Unpack[Asked],
    ) -> Request:
        """The request that answers ``messages`` through the model's chat template.

        ``chat`` says which tools may be called and what the answer must look like. Raises
        ``InvalidRequestError`` for messages that cannot be rendered.
        """
        options = asked.get("options") or RequestOptions()
        options.validate()
        prompt = chat_prompt(
            self.target.tokenizer, messages, chat or ChatFormat(), options.cache_salt
        )
        request = self._request(prompt.token_ids, sampling, **asked)
        return dataclasses.replace(request, constraint=prompt.constraint, answer=prompt.answer)

    def chat(
        self, messages: Messages, sampling: SamplingParams | None = None,
        **asked: Unpack[AskedOfChat],
    ) -> Completion:  # fmt: skip
        """Answer ``messages``; see ``chat_request`` for what can be asked for."""
        return _complete(self.submit(self.chat_request(messages, sampling, **asked)))

    def chat_stream(
        self, messages: Messages, sampling: SamplingParams | None = None,
        **asked: Unpack[AskedOfChat],
    ) -> Iterator[Delta]:  # fmt: skip
        """``chat``, delta by delta."""
        return iter(self.submit(self.chat_request(messages, sampling, **asked)))

    async def achat(
        self, messages: Messages, sampling: SamplingParams | None = None,
        **asked: Unpack[AskedOfChat],
    ) -> Completion:  # fmt: skip
        """``chat`` without blocking the event loop."""
        return await _acomplete(self.submit(self.chat_request(messages, sampling, **asked)))

    def achat_stream(
        self, messages: Messages, sampling: SamplingParams | None = None,
        **asked: Unpack[AskedOfChat],
    ) -> AsyncIterator[Delta]:  # fmt: skip
        """``chat_stream`` for ``async for``."""
        return adelta_stream(self.submit(self.chat_request(messages, sampling, **asked)))


def _complete(handle: Handle) -> Completion:
    try:
        return handle.result()
    finally:
        handle.cancel()


async def _acomplete(handle: Handle) -> Completion:
    async for delta in adelta_stream(handle):
        if delta.completion is not None:
            return delta.completion
    return handle.result(0)
