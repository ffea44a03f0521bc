"""A chat model that knows the labels of every call, whichever way LangChain makes it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableConfig, ensure_config

from langchain_dspark.labels import asking, labels_of, named


class LabelledChatModel(BaseChatModel):
    """Hands on what LangChain keeps to itself: a call's metadata and tags, which hold its labels.

    ``stream`` gives them to its callbacks and not to ``_stream``; ``invoke``, where somebody
    listens, asks ``_stream`` without its run manager.
    """

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Stream the answer; see the base class."""
        kwargs = self._with_labels(config, kwargs)
        yield from super().stream(input, config, stop=stop, **kwargs)

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Stream the answer; see the base class."""
        kwargs = self._with_labels(config, kwargs)
        stream = super().astream(input, config, stop=stop, **kwargs)
        async with aclosing(cast("AsyncGenerator[AIMessageChunk, None]", stream)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _with_labels(self, config: RunnableConfig | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        given = ensure_config(config)
        metadata = {**(self.metadata or {}), **(given.get("metadata") or {})}
        tags = [*(self.tags or ()), *(given.get("tags") or ())]
        labels = named(labels_of(kwargs.get("labels"), metadata, tags))
        return {**kwargs, "labels": labels} if labels else kwargs

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with asking(run_manager):
            return super()._generate_with_cache(messages, stop, run_manager, **kwargs)

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with asking(run_manager):
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)
