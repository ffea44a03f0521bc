"""From finished generations to the answer of a chat."""

from __future__ import annotations

from collections.abc import Sequence

from agentspark.engine.result import Completion, Delta
from openai_dspark.server.head import ReplyHead
from openai_dspark.server.tokens import TokenTexts
from openai_dspark.server.usage import metrics_of, usage_of
from openai_dspark.wire.chat_reply import (
    ChatChoice,
    ChatCompletion,
    ReplyFunction,
    ReplyMessage,
    ReplyToolCall,
)


def to_reply(head: ReplyHead, choices: Sequence[Completion], texts: TokenTexts) -> ChatCompletion:
    """The whole answer."""
    return ChatCompletion(
        **head.fields,
        object="chat.completion",
        choices=[_choice(index, choice, texts) for index, choice in enumerate(choices)],
        usage=usage_of(choices, len(choices)),
        metrics=metrics_of(choices),
    )


def _choice(index: int, completion: Completion, texts: TokenTexts) -> ChatChoice:
    tokens, known = texts.choice(), completion.logprobs
    tokens.add(Delta([], "", known, completion, held_tokens=completion.cut_tokens))
    return ChatChoice(
        index=index,
        message=message_of(completion),
        finish_reason=completion.finish_reason,
        logprobs=None if known is None else tokens.chat(),
    )


def message_of(completion: Completion) -> ReplyMessage:
    """What the model said, as a message; fields that do not apply are left out.

    A call that was cut short is the last one, with the arguments as far as they came.
    """
    cut = completion.unfinished_call
    calls = [
        ReplyToolCall(
            id=call.id,
            type="function",
            function=ReplyFunction(name=call.name, arguments=call.arguments),
        )
        for call in (*completion.tool_calls, *(() if cut is None else (cut,)))
    ]
    message = ReplyMessage(
        role="assistant",
        content=(completion.content or None) if calls else completion.content,
        refusal=None,
    )
    if calls:
        message.tool_calls = calls
    if completion.reasoning is not None:
        message.reasoning_content = completion.reasoning
    return message
