"""Answers that fit a schema, by one of three methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.language_models.base import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableMap
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel

from agentspark.errors import InvalidRequestError
from langchain_dspark.parsing import Parsing, WithRaw
from langchain_dspark.whole import CheckCall, check_text

if TYPE_CHECKING:
    from langchain_dspark.chat_model import ChatDSpark

Method = Literal["json_schema", "function_calling", "json_mode"]
Schema = dict[str, Any] | type

_Bound = Runnable[LanguageModelInput, AIMessage]


def structured(
    chat: ChatDSpark,
    schema: Schema,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    kwargs: Mapping[str, Any],
) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
    """``chat`` bound to ``schema`` and followed by its parser; see ``with_structured_output``."""
    if kwargs:
        raise InvalidRequestError(
            f"with_structured_output takes no argument {next(iter(kwargs))!r}.",
            param=next(iter(kwargs)),
        )
    if method == "function_calling":
        bound, parsing = _by_calling(chat, schema, strict)
    elif method == "json_schema":
        bound, parsing = _by_schema(chat, schema, strict), _text_parsing(schema)
    elif method == "json_mode":
        if strict is not None:
            raise InvalidRequestError("json_mode knows no strict: leave it out.", param="strict")
        shape = {"type": "json_object"}
        bound = chat.bind(response_format=shape, **_told(method, schema))
        parsing = _text_parsing(schema)
    else:
        raise InvalidRequestError(
            f"method={method!r} is none of json_schema, function_calling, json_mode.",
            param="method",
        )
    if not include_raw:
        return bound | parsing
    return RunnableMap(raw=bound) | WithRaw(parsing)


def _by_calling(chat: ChatDSpark, schema: Schema, strict: bool | None) -> tuple[_Bound, Parsing]:
    function = convert_to_openai_tool(schema)["function"]
    name = function["name"]
    bound = chat.bind_tools(
        [schema],
        tool_choice=name,
        strict=strict,
        parallel_tool_calls=False,
        **_told("function_calling", schema),
    )
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        # Which fields it must have, Pydantic says best itself.
        parser: Runnable[Any, Any] = PydanticToolsParser(tools=[schema], first_tool_only=True)
        return bound, Parsing(CheckCall(name, frozenset()), parser)
    required = frozenset(function.get("parameters", {}).get("required", ()))
    parser = JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    return bound, Parsing(CheckCall(name, required), parser)


def _by_schema(chat: ChatDSpark, schema: Schema, strict: bool | None) -> _Bound:
    wanted = convert_to_json_schema(schema)
    name = convert_to_openai_tool(schema)["function"]["name"]
    shape: dict[str, Any] = {"name": name, "schema": wanted}
    if strict is not None:
        shape["strict"] = strict
    response_format = {"type": "json_schema", "json_schema": shape}
    return chat.bind(response_format=response_format, **_told("json_schema", schema))


def _text_parsing(schema: Schema) -> Parsing:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return Parsing(check_text, PydanticOutputParser(pydantic_object=schema))
    return Parsing(check_text, JsonOutputParser())


def _told(method: Method, schema: Schema) -> dict[str, Any]:
    """What LangChain's tracers are told of the schema; it never reaches the model."""
    shown = convert_to_openai_tool(schema)
    return {"ls_structured_output_format": {"kwargs": {"method": method}, "schema": shown}}
