"""From a finished generation to a response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agentspark.engine.result import Completion, Delta
from agentspark.sampling.params import SamplingParams
from openai_dspark.server.responses.offer import Offer
from openai_dspark.server.responses.spoken import ToolName, read_input
from openai_dspark.server.tokens import ChoiceTokens, TokenTexts
from openai_dspark.server.usage import metrics_of
from openai_dspark.wire.logprobs import ChatLogprob
from openai_dspark.wire.response_reply import (
    Incomplete,
    InputDetails,
    OutputCall,
    OutputCustomCall,
    OutputDetails,
    OutputItem,
    OutputMessage,
    OutputReasoning,
    OutputText,
    ReasoningText,
    Response,
    ResponseUsage,
    Status,
)
from openai_dspark.wire.response_request import ResponseRequest

CallOutput = TypeVar("CallOutput", OutputCall, OutputCustomCall)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What every version of one response repeats. ``number`` is the tail of all its ids."""

    number: str
    created: int
    body: ResponseRequest
    sampling: SamplingParams
    offer: Offer

    def response(self, status: Status, output: list[OutputItem]) -> Response:
        """The response with ``output``, before its usage is known."""
        body = self.body
        shape = None if body.text is None else body.text.format
        return Response(
            id=f"resp_{self.number}",
            object="response",
            created_at=self.created,
            status=status,
            error=None,
            incomplete_details=None,
            instructions=body.instructions,
            max_output_tokens=body.max_output_tokens,
            metadata=body.metadata or {},
            model=body.model,
            output=output,
            parallel_tool_calls=body.parallel_tool_calls is not False,
            previous_response_id=None,
            reasoning=_json(body.reasoning) or {"effort": None, "summary": None},
            store=False,
            temperature=self.sampling.temperature,
            text={"format": _json(shape) or {"type": "text"}},
            tool_choice=_json(body.tool_choice) or "auto",
            tools=self.offer.shown,
            top_logprobs=body.top_logprobs or 0,
            top_p=self.sampling.top_p,
            truncation="disabled",
            usage=None,
        )

    def finished(self, completion: Completion, output: list[OutputItem]) -> Response:
        """The whole response."""
        cut = completion.finish_reason == "length"
        response = self.response("incomplete" if cut else "completed", output)
        if cut:
            response.incomplete_details = Incomplete(reason="max_output_tokens")
        response.usage = usage_of(completion)
        response.metrics = metrics_of([completion])
        return response


def items_of(
    completion: Completion, number: str, offer: Offer, logprobs: Sequence[ChatLogprob] = ()
) -> list[OutputItem]:
    """What the model thought, said and calls, in this order; ``logprobs`` go with what it said."""
    items: list[OutputItem] = []
    if completion.reasoning:
        items.append(reasoning_item(f"rs_{number}_0", completion.reasoning, "completed"))
    cut = completion.unfinished_call
    calls = [*completion.tool_calls, *(() if cut is None else (cut,))]
    if completion.content or not (items or calls):
        item_id = f"msg_{number}_{len(items)}"
        items.append(message_item(item_id, completion.content, "completed", logprobs))
    for call in calls:
        name, tail = offer.name(call.name), f"{number}_{len(items)}"
        if name.custom:
            given = read_input(call.arguments)
            items.append(custom_item(f"ctc_{tail}", call.id, name, given, "completed"))
        else:
            items.append(call_item(f"fc_{tail}", call.id, name, call.arguments, "completed"))
    items[-1].status = last_status(completion)
    return items


def last_status(completion: Completion) -> Status:
    """How the last item ended; those before it are complete, and so is a call that was closed."""
    cut = completion.finish_reason == "length" and not completion.tool_calls
    return "incomplete" if cut or completion.unfinished_call is not None else "completed"


def logprobs_of(completion: Completion, texts: TokenTexts) -> list[ChatLogprob]:
    """Those of the tokens of an answer, where they were asked for."""
    tokens = texts.choice()
    tokens.add(Delta([], "", completion.logprobs, completion, held_tokens=completion.cut_tokens))
    return shown(tokens)


def shown(tokens: ChoiceTokens) -> list[ChatLogprob]:
    """Those of ``tokens`` that can be shown and were not yet. No bytes are an empty list here."""
    entries = tokens.chat().content or []
    for entry in entries:
        for token in (entry, *entry.top_logprobs):
            token.bytes = token.bytes or []
    return entries


def message_item(
    item_id: str, text: str, status: Status, logprobs: Sequence[ChatLogprob] = ()
) -> OutputMessage:
    """A message of one text."""
    content = [text_part(text, logprobs)] if text or status != "in_progress" else []
    return OutputMessage(
        id=item_id, type="message", role="assistant", status=status, content=content
    )


def text_part(text: str, logprobs: Sequence[ChatLogprob] = ()) -> OutputText:
    """The text of a message."""
    return OutputText(type="output_text", text=text, annotations=[], logprobs=list(logprobs))


def reasoning_item(item_id: str, text: str, status: Status) -> OutputReasoning:
    """A reasoning item of one text."""
    content = [ReasoningText(type="reasoning_text", text=text)] if text else []
    return OutputReasoning(id=item_id, type="reasoning", summary=[], content=content, status=status)


def call_item(
    item_id: str, call_id: str, name: ToolName, arguments: str, status: Status
) -> OutputCall:
    """A call."""
    item = OutputCall(
        id=item_id,
        type="function_call",
        call_id=call_id,
        name=name.name,
        arguments=arguments,
        status=status,
    )
    return _grouped(item, name)


def custom_item(
    item_id: str, call_id: str, name: ToolName, text: str, status: Status
) -> OutputCustomCall:
    """A call of a custom tool."""
    item = OutputCustomCall(
        id=item_id,
        type="custom_tool_call",
        call_id=call_id,
        name=name.name,
        input=text,
        status=status,
    )
    return _grouped(item, name)


def _grouped(item: CallOutput, name: ToolName) -> CallOutput:
    """``item`` with the namespace of what it calls, left out where there is none."""
    if name.namespace is not None:
        item.namespace = name.namespace
    return item


def usage_of(completion: Completion) -> ResponseUsage:
    """Tokens in this API's names. What was computed of a shared prompt is left in the cache."""
    counts = completion.counts
    written = counts.prompt_tokens - counts.cached_tokens
    return ResponseUsage(
        input_tokens=counts.prompt_tokens,
        input_tokens_details=InputDetails(
            cached_tokens=counts.cached_tokens,
            cache_write_tokens=written if completion.options.share_prefix else 0,
        ),
        output_tokens=counts.completion_tokens,
        output_tokens_details=OutputDetails(reasoning_tokens=counts.reasoning_tokens or 0),
        total_tokens=counts.prompt_tokens + counts.completion_tokens,
    )


def _json(part: Any) -> Any:
    if part is None or isinstance(part, str):
        return part
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)
