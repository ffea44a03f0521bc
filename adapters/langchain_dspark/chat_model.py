"""``ChatDSpark``: LangChain's chat model over an engine in this process, or over a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils import secret_from_env
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from agentspark.config import EngineConfig
from agentspark.engine.params import Speculation, Verify
from agentspark.errors import InvalidRequestError
from langchain_dspark import local, remote
from langchain_dspark.call import Call, address_of, build_call, engine_key
from langchain_dspark.clients import Clients
from langchain_dspark.engines import Leases
from langchain_dspark.errors import langchain_errors
from langchain_dspark.labelled import LabelledChatModel
from langchain_dspark.labels import asked
from langchain_dspark.messages import to_engine_messages, with_calls
from langchain_dspark.pieces import PROVIDER, Piece
from langchain_dspark.profile import profile_of
from langchain_dspark.response import Chunks, to_result
from langchain_dspark.serialization import allow_reading
from langchain_dspark.structured import Method, Schema, structured
from langchain_dspark.tools import choice_of, tools_of

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine


class ChatDSpark(LabelledChatModel):
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
    file that gets one line per call, a server's answers included; with ``trace_tokens`` the lines
    carry the token ids of prompts and outputs as well (private data: texts can be read back from
    them), as ``agentspark train --from-traces`` needs.

    With ``base_url`` (such as ``http://127.0.0.1:8000/v1``) calls go to that server instead:
    ``agentspark serve``, or another that speaks OpenAI's API. ``drafter``, ``engine_config`` and
    ``trace_tokens`` are then the server's business, and refused here; so is what a ``None`` means.
    ``max_retries`` counts further tries after 408, 409, 429, 5xx and lost
    connections, ``api_key`` is sent along. ``timeout`` covers all tries together; the server is
    told of it and has two seconds more to say so.

    A call may override every field but ``streaming``, ``max_retries``, ``api_key``, ``base_url``,
    ``engine_config``, ``trace`` and ``trace_tokens``, and give ``labels`` (see
    ``langchain_dspark.labels``), ``logit_bias``, ``prediction`` (text that the answer may repeat),
    ``response_format`` and what ``bind_tools`` binds.

    A tool call that was cut off (``max_tokens``) is among the answer's ``invalid_tool_calls``, of a
    stream once its last chunk is joined; ``response_metadata["cut_tool_calls"]`` then has its id.

    Errors are those of ``agentspark.errors``, and of LangChain's classes (``ContextOverflowError``)
    where it has one; a wrong argument is named, none is ignored.
    """

    model: str = "smollm2"
    base_url: str | None = None
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
    tool_choice: str | None = None
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
    _clients: Clients = PrivateAttr(default_factory=Clients)

    @field_validator("model", "drafter", "trace", mode="before")
    @classmethod
    def _path_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, PurePath) else value

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _a_server_has_its_own(self) -> Self:
        for name in ("drafter", "engine_config", "trace_tokens"):
            value = getattr(self, name)
            if self.base_url is not None and value != type(self).model_fields[name].default:
                raise ValueError(f"{name} is the server's to choose: leave it out with base_url")
        return self

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
        """Give back the engines and connections this model has used; the next call takes new ones.

        An engine that no other ``ChatDSpark`` uses is closed at once and its memory freed.
        """
        self._leases.close()
        self._clients.close()

    def __enter__(self) -> Self:
        """Return this model; leaving the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_token_ids(self, text: str) -> list[int]:
        """The target's own token ids of ``text``, for counting (loads the engine)."""
        return self._engine().target.tokenizer.encode(text)

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Tokens of the prompt that ``messages`` make, template included (loads the engine).

        They may be part of a chat; none at all are no tokens.
        """
        engine = self._engine()
        if not messages:
            return 0
        bound = {"tools": tools_of(tools)} if tools else {}
        call = build_call(self, with_calls(to_engine_messages(messages)), None, {}, bound)
        request = engine.chat_request(call.messages, call.sampling, chat=local.chat_format(call))
        return len(request.prompt_token_ids)

    def _engine(self) -> Engine:
        if self.base_url is not None:
            raise InvalidRequestError(
                "A server's tokens cannot be counted before a call: read usage_metadata after it.",
                param="base_url",
            )
        return self._leases.engine(engine_key(self, self.model, self.drafter))

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call ``tools``: functions, classes, LangChain tools or OpenAI's JSON.

        ``tool_choice``: ``auto``, ``none``, ``any`` (or ``required``, ``True``), or one tool's
        name; ``None`` is the model's own ``tool_choice``. Calls always fit the tools' schemas:
        one that cannot be kept in full is an error, unless ``strict`` is ``False``.
        ``parallel_tool_calls=False`` allows one call at a time.
        """
        given = tools_of(tools, strict=strict)
        choice = choice_of(self.tool_choice if tool_choice is None else tool_choice, given)
        shape = {"tool_choice": choice, "parallel_tool_calls": parallel_tool_calls}
        kept = {name: value for name, value in shape.items() if value is not None}
        return super().bind(tools=given, **kept, **kwargs)

    def with_structured_output(
        self,
        schema: Schema,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Make answers instances of ``schema`` (a Pydantic class), or mappings that fit it.

        ``method``: ``json_schema`` constrains the text to the schema, ``function_calling`` makes
        the model call a tool with it, ``json_mode`` constrains the text to some JSON object and
        leaves the schema to your prompt. An answer that was cut off (``max_tokens``), or does not
        fit, raises LangChain's ``OutputParserException`` or Pydantic's ``ValidationError``, a
        stream at its end. ``include_raw`` gives ``raw``, ``parsed`` and ``parsing_error`` instead.
        """
        return structured(self, schema, method, include_raw, strict, kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            call = self._call(messages, stop, run_manager, kwargs)
            with closing(self._pieces(call)) as pieces:
                return to_result(list(pieces))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with langchain_errors():
            call = self._call(messages, stop, run_manager, kwargs)
            async with aclosing(self._apieces(call)) as pieces:
                return to_result([piece async for piece in pieces])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with langchain_errors():
            call, chunks = self._call(messages, stop, run_manager, kwargs), Chunks()
            with closing(self._pieces(call)) as pieces:
                for piece in pieces:
                    for chunk in chunks.of(piece):
                        if run_manager is not None:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with langchain_errors():
            call, chunks = self._call(messages, stop, run_manager, kwargs), Chunks()
            async with aclosing(self._apieces(call)) as pieces:
                async for piece in pieces:
                    for chunk in chunks.of(piece):
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    def _pieces(self, call: Call) -> Generator[Piece, None, None]:
        address = address_of(self)
        if address is None:
            return local.pieces(self._leases, call)
        return remote.pieces(self._clients, call, address)

    def _apieces(self, call: Call) -> AsyncGenerator[Piece, None]:
        address = address_of(self)
        if address is None:
            return local.apieces(self._leases, call)
        return remote.apieces(self._clients, call, address)

    def _call(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> Call:
        metadata, tags = asked(run_manager)
        return build_call(self, to_engine_messages(messages), stop, metadata, kwargs, [*tags])


allow_reading(ChatDSpark)
