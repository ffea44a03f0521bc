"""Running a call for a client: to one reply or to a stream, and what the log says of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from fastapi import Request
from starlette.responses import Response

from agentspark.engine.params import Labels
from agentspark.engine.result import Completion, Delta
from openai_dspark.server.call import Call
from openai_dspark.server.dependencies import service_of
from openai_dspark.server.disconnect import while_connected
from openai_dspark.server.errors import ApiError, to_api_error
from openai_dspark.server.event_stream import EventStream
from openai_dspark.server.facts import Facts, facts_of
from openai_dspark.server.usage import metrics_of, usage_of
from openai_dspark.wire.body import Reply
from openai_dspark.wire.sampling import GenerationBody

Opening = Callable[[], Coroutine[Any, Any, Call]]


class Writer(Protocol):
    """Makes a stream's events (as bytes) of a call's deltas."""

    def push(self, index: int, delta: Delta, /) -> bytes:
        """The events of one delta of sequence ``index``; perhaps none."""
        ...

    def end(self, choices: Sequence[Completion], /) -> bytes:
        """The last events."""
        ...

    def fail(self, error: ApiError, /) -> bytes:
        """The last events of a stream that failed."""
        ...


async def answer(
    request: Request, opening: Opening, reply: Callable[[Call], Reply], n: int
) -> Response:
    """Open a call, wait for its end and reply; a client that goes away cancels it.

    ``n`` is the number of choices per prompt.
    """

    async def run() -> bytes:
        call = await opening()
        try:
            await call.finish()
            note_end(request, call, n)
            # Many log-probabilities, or tools that are repeated, make a long reply.
            return await service_of(request).off_loop(lambda: reply(call).to_json())
        finally:
            call.close()

    body = await while_connected(request.receive, run())
    return Response(body, media_type="application/json")


async def streamed(
    request: Request, opening: Opening, writer: Callable[[Call], Writer], n: int
) -> Response:
    """Open a call and stream its events, ``n`` choices per prompt.

    The response begins with the first token: what fails before is an ordinary error response.
    """

    async def begin() -> tuple[bytes, AsyncGenerator[bytes, None]]:
        call = await opening()
        events = _events(request, call, writer(call), n)
        try:
            return await anext(events), events
        except BaseException:
            await events.aclose()
            raise

    first, rest = await while_connected(request.receive, begin())
    return EventStream(first, rest)


async def _events(
    request: Request, call: Call, writer: Writer, n: int
) -> AsyncGenerator[bytes, None]:
    begun = False
    try:
        async with aclosing(call.deltas()) as deltas:
            async for index, delta in deltas:
                events = writer.push(index, delta)
                if events:
                    yield events
                    begun = True
        note_end(request, call, n)
        yield writer.end(call.finished)
    except Exception as error:
        if not begun:
            raise
        failure = to_api_error(error)
        facts_of(request).log["error"] = failure.code or failure.type
        yield writer.fail(failure)
    finally:
        call.close()


def note_start(facts: Facts, body: GenerationBody, labels: Labels) -> None:
    """Put into the log who asks for what; never a text."""
    user = body.user or getattr(body, "safety_identifier", None)
    facts.log.update(
        model=body.model,
        stream=bool(body.stream),
        arm=labels.arm,
        user=user,
        metadata=body.metadata,
    )


def note_end(request: Request, call: Call, n: int) -> None:
    """Put into the log what came of a call; texts only where the server was told to."""
    facts, choices = facts_of(request), call.finished
    usage, figures = usage_of(choices, n), metrics_of(choices).agentspark
    facts.log.update(
        engine_request_ids=[choice.request_id for choice in choices],
        finish=[choice.finish_reason for choice in choices],
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )
    if figures is not None:
        facts.log.update(
            run=figures.run,
            step=figures.step,
            queue_ms=figures.queue_ms,
            ttft_ms=figures.ttft_ms,
            accepted_length=figures.accepted_length,
        )
    if service_of(request).settings.log_texts:
        facts.log["output"] = [choice.text for choice in choices]
