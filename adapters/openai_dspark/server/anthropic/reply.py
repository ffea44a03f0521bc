"""From a finished generation to an Anthropic message."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from agentspark.engine.result import Completion
from openai_dspark.server.anthropic.thoughts import hidden
from openai_dspark.server.call import Call
from openai_dspark.server.usage import metrics_of
from openai_dspark.wire.anthropic_reply import (
    AnthropicAnswer,
    AnthropicUsage,
    SaidBlock,
    SaidText,
    SaidThinking,
    SaidToolUse,
    StopReason,
)

_REASONS: dict[str, StopReason] = {"length": "max_tokens", "tool_calls": "tool_use"}


@dataclass(slots=True)
class MessageHead:
    """What every version of one message repeats; ``prompt_tokens`` is known once it is prepared.

    ``hides_thoughts`` is whether they are left out of what is shown.
    """

    model: str
    prompt_tokens: int = field(default=0)
    hides_thoughts: bool = field(default=False, kw_only=True)

    def begun(self, call: Call, cached_tokens: int) -> AnthropicAnswer:
        """The message before anything was said; ``cached_tokens`` of its prompt were cached."""
        return self._answer(call, [], None, None, usage(self.prompt_tokens, cached_tokens, 0))

    def finished(self, call: Call) -> AnthropicAnswer:
        """The whole message."""
        completion = call.finished[0]
        reason, stop = ending(completion)
        blocks = blocks_of(completion, hides_thoughts=self.hides_thoughts)
        answer = self._answer(call, blocks, reason, stop, usage_of(completion))
        answer.metrics = metrics_of([completion])
        return answer

    def _answer(
        self,
        call: Call,
        content: list[SaidBlock],
        reason: StopReason | None,
        stop: str | None,
        tokens: AnthropicUsage,
    ) -> AnthropicAnswer:
        return AnthropicAnswer(
            id=f"msg_{call.number}",
            type="message",
            role="assistant",
            model=self.model,
            content=content,
            stop_reason=reason,
            stop_sequence=stop,
            usage=tokens,
        )


def blocks_of(completion: Completion, *, hides_thoughts: bool = False) -> list[SaidBlock]:
    """What the model thought, said and calls; a call that was cut short has no input to show."""
    blocks: list[SaidBlock] = []
    if completion.reasoning:
        shown, signature = completion.reasoning, ""
        if hides_thoughts:
            shown, signature = "", hidden(completion.reasoning)
        blocks.append(SaidThinking(type="thinking", thinking=shown, signature=signature))
    if completion.content:
        blocks.append(SaidText(type="text", text=completion.content))
    for call in completion.tool_calls:
        given: dict[str, Any] = json.loads(call.arguments)
        blocks.append(SaidToolUse(type="tool_use", id=call.id, name=call.name, input=given))
    return blocks


def ending(completion: Completion) -> tuple[StopReason, str | None]:
    """Why the message ended, and the stop sequence that ended it."""
    if completion.finish_reason == "stop" and completion.stop_string is not None:
        return "stop_sequence", completion.stop_string
    return _REASONS.get(completion.finish_reason, "end_turn"), None


def usage_of(completion: Completion) -> AnthropicUsage:
    """Tokens in this API's names."""
    counts = completion.counts
    return usage(counts.prompt_tokens, counts.cached_tokens, counts.completion_tokens)


def usage(prompt: int, cached: int, completion: int) -> AnthropicUsage:
    """``prompt`` tokens, of them ``cached``, and those of the answer."""
    return AnthropicUsage(
        input_tokens=prompt - cached,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=cached,
        output_tokens=completion,
    )
