"""``ChatDSpark``: LangChain's chat model over an engine in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Self, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.utils import secret_from_env
from pydantic import AliasChoices, ConfigDict, Field, PrivateAttr, SecretStr, field_validator

from agentspark.config import EngineConfig
from agentspark.engine.params import Speculation, Verify
from agentspark.errors import InvalidRequestError
from langchain_dspark.call import Call, build_call, engine_key
from langchain_dspark.engines import Leases
from langchain_dspark.labels import labels_of, named
from langchain_dspark.messages import to_engine_messages
from langchain_dspark.profile import profile_of
from langchain_dspark.response import PROVIDER, to_chunk, to_result
from langchain_dspark.running import adeltas, afinish, deltas, finish
from langchain_dspark.serialization import allow_reading

if TYPE_CHECKING:
    from agentspark.models.chat import ChatTokenizer


class ChatDSpark(BaseChatModel):
    """A chat model whose calls share prefixes and are drafted ahead, on this machine.

    Making one is instant: the first call loads the engine, and all ``ChatDSpark`` of the process
    with the same ``model``, ``drafter``, ``engine_config``, ``trace`` and ``trace_tokens`` share
    it. ``close`` (or a ``with`` block) gives it back.

    ``model`` is ``smollm2`` (the embedded default), a hub id, a folder or a GGUF file;
    ``drafter`` is ``auto`` (the one shipped for the target, if any), a folder or ``None``. A
    sampling field that is ``None`` is left to the engine (``max_tokens``: 256). ``timeout`` is in
    seconds and covers a call without loading. ``max_retries`` is how often a call starts over on
    a fresh engine after its engine died before the first token. ``speculation``, ``verify``,
    ``share_prefix`` and ``cache_salt`` are those of ``agentspark.RequestOptions``. ``api_key``
    says who calls: callers with different keys never share cached prefixes. ``trace`` names the
    file that gets one line per call; with ``trace_tokens`` the lines carry the token ids of prompts
    and outputs as well (private data: texts can be read back from them), as ``agentspark train
    --from-traces`` needs.

    A call may override every field but ``streaming``, ``max_retries``, ``api_key``,
    ``engine_config``, ``trace`` and ``trace_tokens``, and give ``labels`` (see
    ``langchain_dspark.labels``).

    Errors are those of ``agentspark.errors``; a wrong argument is named, none is ignored.
    """

    model: str = "smollm2"
    drafter: str | None = "auto"
    temperature: float | None = 0.0
    max_tokens: int | None = Field(
        default=None, validation_alias=AliasChoices("max_tokens", "max_completion_tokens")
    )
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: list[str] | None = None
    streaming: bool = False
    timeout: float | None = Field(default=None, gt=0)
    max_retries: int = Field(default=2, ge=0)
    api_key: SecretStr | None = Field(
        default_factory=secret_from_env("AGENTSPARK_API_KEY", default=None)
    )
    speculation: Speculation = "auto"
    verify: Verify = "auto"
    share_prefix: bool = True
    cache_salt: str | None = None
    engine_config: EngineConfig | None = None
    trace: str | None = None
    trace_tokens: bool = False

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    _leases: Leases = PrivateAttr(default_factory=Leases)

    @field_validator("model", "drafter", "trace", mode="before")
    @classmethod
    def _path_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, PurePath) else value

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @property
    def _llm_type(self) -> str:
        return "dspark-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        kept = set(type(self).model_fields) - set(BaseChatModel.model_fields) - {"api_key"}
        params = {name: getattr(self, name) for name in sorted(kept)}
        return {**params, **self.lc_attributes}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether LangChain may write this model down and read it back: yes."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The fields that are never written down, and the variables they come back from."""
        return {"api_key": "AGENTSPARK_API_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """``engine_config`` in a form JSON can hold."""
        if self.engine_config is None:
            return {}
        config = {k: v for k, v in asdict(self.engine_config).items() if v is not None}
        if "cache_dir" in config:
            config["cache_dir"] = str(config["cache_dir"])
        return {"engine_config": config}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        params["ls_provider"] = PROVIDER
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of(self.model)

    def close(self) -> None:
        """Give back the engines this model has used; the next call takes one again.

        An engine that no other ``ChatDSpark`` uses is closed at once and its memory freed.
        """
        self._leases.close()

    def __enter__(self) -> Self:
        """Return this model; leaving the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_token_ids(self, text: str) -> list[int]:
        """The target's own token ids of ``text``, for counting (loads the engine)."""
        return self._tokenizer().encode(text)

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Tokens of the prompt that ``messages`` make, template included (loads the engine)."""
        if tools:
            raise InvalidRequestError("Tools cannot be counted: none can be given.", param="tools")
        return len(self._tokenizer().encode_chat(to_engine_messages(messages)))

    def _tokenizer(self) -> ChatTokenizer:
        key = engine_key(self, self.model, self.drafter)
        return self._leases.engine(key).target.tokenizer

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
        # LangChain hands a stream's metadata to its callbacks but not to _stream.
        metadata = {**(self.metadata or {}), **(ensure_config(config).get("metadata") or {})}
        labels = named(labels_of(kwargs.get("labels"), metadata))
        return {**kwargs, "labels": labels} if labels else kwargs

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, run_manager, kwargs)
        return to_result(finish(self._leases, call))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, run_manager, kwargs)
        return to_result(await afinish(self._leases, call))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self._call(messages, stop, run_manager, kwargs)
        with closing(deltas(self._leases, call)) as stream:
            for delta in stream:
                chunk = to_chunk(delta)
                if run_manager is not None:
                    run_manager.on_llm_new_token(delta.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = self._call(messages, stop, run_manager, kwargs)
        async with aclosing(adeltas(self._leases, call)) as stream:
            async for delta in stream:
                chunk = to_chunk(delta)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(delta.text, chunk=chunk)
                yield chunk

    def _call(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> Call:
        metadata = (run_manager.metadata or {}) if run_manager is not None else {}
        return build_call(self, to_engine_messages(messages), stop, metadata, kwargs)


allow_reading(ChatDSpark)
