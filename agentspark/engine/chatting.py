"""From a chat and what its answer may be to a prompt, a grammar, and how to read the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.grammar.answers import AnswerGrammar, Callable
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.schema import schema_text
from agentspark.errors import InvalidRequestError
from agentspark.models.chat import ChatTokenizer
from agentspark.models.tools.answer import AnswerFormat


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A chat ready to be a request."""

    token_ids: list[int]
    constraint: Constraint | None
    answer: AnswerFormat | None


def chat_prompt(
    tokenizer: ChatTokenizer,
    messages: Sequence[Mapping[str, Any]],
    chat: ChatFormat,
    salt: str | None = None,
) -> ChatPrompt:
    """Render ``messages`` and the tools, and make the grammar that ``chat`` asks for.

    Turns generated under ``salt`` keep their tokens. Raises ``InvalidRequestError`` for messages
    or formats that cannot be served.
    """
    ids = chat_token_ids(tokenizer, messages, chat, salt)
    arguments = json.loads(chat.template_args)
    reasoning = tokenizer.reasoning_format
    form = tokenizer.tool_format
    answer = AnswerFormat(
        tools=form if chat.callable_tools else None,
        reasoning=reasoning,
        beginning="none"
        if reasoning is None
        else reasoning.beginning(tokenizer.template(chat.tools, arguments).prompt_end()),
        shown=_shown(tokenizer, with_calls=bool(chat.callable_tools)),
        required=bool(chat.callable_tools) and chat.choice.mode == "required",
    )
    return ChatPrompt(ids, _constraint(tokenizer, chat, answer), None if answer.plain else answer)


def chat_token_ids(
    tokenizer: ChatTokenizer,
    messages: Sequence[Mapping[str, Any]],
    chat: ChatFormat,
    salt: str | None = None,
) -> list[int]:
    """The tokens of ``chat_prompt`` alone, which the tools and the template's arguments shape."""
    arguments = json.loads(chat.template_args)
    for name in tokenizer.template(arguments=arguments).unread():
        param = f"template_args.{name}"
        raise InvalidRequestError(
            f"{param} is nothing that this model's chat template reads: leave it out.", param=param
        )
    return tokenizer.encode_chat(messages, tools=chat.tools, arguments=arguments, salt=salt)


def _constraint(
    tokenizer: ChatTokenizer, chat: ChatFormat, answer: AnswerFormat
) -> Constraint | None:
    grammar = AnswerGrammar(tokenizer.controls, answer.reasoning, answer.beginning)
    if chat.callable_tools:
        where = {tool.name: index for index, tool in enumerate(chat.tools)}
        tools = [
            Callable(
                tool.name,
                schema_text(
                    json.loads(tool.parameters),
                    strict=tool.strict,
                    param=f"tools[{where[tool.name]}].function.parameters",
                ),
            )
            for tool in chat.callable_tools
        ]
        return grammar.calls(
            tools,
            tokenizer.tool_format,
            required=chat.choice.mode == "required",
            parallel=tokenizer.tool_format.parallel(chat.parallel),
            instead=chat.wanted,
        )
    if chat.wanted is not None:
        return grammar.format(chat.wanted)
    return grammar.no_calls(tokenizer.tool_format) if chat.tools else None


def _shown(tokenizer: ChatTokenizer, *, with_calls: bool) -> frozenset[int]:
    """The control tokens that mark calls and reasoning: an answer cannot be read without them."""
    texts = list(tokenizer.tool_format.texts) if with_calls else []
    if tokenizer.reasoning_format is not None:
        texts += [tokenizer.reasoning_format.opening, tokenizer.reasoning_format.closing]
    return frozenset(
        token for control, token in tokenizer.controls.items() if any(control in t for t in texts)
    )
