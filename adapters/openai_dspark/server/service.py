"""What all endpoints share: the engine, who may come in, what is running, how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from agentspark.engine.handle import Handle
from agentspark.engine.request import Request
from agentspark.errors import AgentSparkError
from openai_dspark.server.admission import Admission
from openai_dspark.server.auth import Keys
from openai_dspark.server.call import Call
from openai_dspark.server.errors import ApiError, to_api_error
from openai_dspark.server.metrics import Meters
from openai_dspark.server.names import ModelNames
from openai_dspark.server.runs import RunGuesser
from openai_dspark.server.settings import ServerSettings

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine

Result = TypeVar("Result")

# Parsing, templates, tokenising and grammars happen on these, never on the event loop.
_INTAKE_THREADS = 4


class Service:
    """One engine and its server's state. Used on the event loop, but for what says otherwise."""

    def __init__(self, engine: Engine, settings: ServerSettings) -> None:
        self.engine = engine
        self.settings = settings
        self.names = ModelNames(settings.served_name or engine.target.name)
        self.keys = Keys(settings.api_keys)
        self.meters = Meters()
        self.meters.watch(engine)
        self.runs = RunGuesser()
        self.admission = Admission(engine.config.max_requests, settings.queue_limit)
        self.draining = False
        self.calls: set[Call] = set()
        self._intake = ThreadPoolExecutor(_INTAKE_THREADS, thread_name_prefix="agentspark-intake")

    async def off_loop(self, work: Callable[[], Result]) -> Result:
        """Run ``work`` on an intake thread."""
        return await asyncio.get_running_loop().run_in_executor(self._intake, work)

    async def open(
        self,
        prepare: Callable[[], Sequence[Request]],
        *,
        sequences: int,
        timeout_s: float,
        arm: str | None,
        prompt: str,
    ) -> Call:
        """Admit a call of so many sequences, prepare and submit it.

        ``prepare`` runs on an intake thread; ``prompt`` is what this API calls the prompt. Raises
        ``ApiError`` for a full queue, a server that stops, and what the engine refuses.
        """
        if self.draining:
            raise stopping()
        deadline = asyncio.get_running_loop().time() + timeout_s
        self.admission.take(sequences)
        try:
            handles = await self._submitted(prepare)
        except AgentSparkError as error:
            self.admission.give_back(sequences)
            raise to_api_error(error, prompt) from error
        except BaseException:
            self.admission.give_back(sequences)
            raise
        call = Call(
            handles,
            deadline=deadline,
            timeout_s=timeout_s,
            arm=arm,
            prompt=prompt,
            meters=self.meters,
            on_close=lambda: self._closed(call, sequences),
        )
        self.calls.add(call)
        return call

    def stop_calls(self) -> None:
        """End everything that still runs."""
        for call in list(self.calls):
            call.stop(stopping())

    async def close(self) -> None:
        """Close the engine; what still runs is cancelled."""
        self._intake.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.engine.close)

    def _closed(self, call: Call, sequences: int) -> None:
        self.calls.discard(call)
        self.admission.give_back(sequences)

    async def _submitted(self, prepare: Callable[[], Sequence[Request]]) -> list[Handle]:
        """Handles of the prepared requests; none is left running if the caller is cancelled."""
        working = asyncio.ensure_future(self.off_loop(lambda: self._submit(prepare())))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            working.add_done_callback(_cancel_all)
            raise

    def _submit(self, requests: Sequence[Request]) -> list[Handle]:
        handles: list[Handle] = []
        try:
            for request in requests:
                handles.append(self.engine.submit(request))
        except BaseException:
            for handle in handles:
                handle.cancel()
            raise
        return handles


def stopping() -> ApiError:
    """What a request is told while the server stops."""
    return ApiError(
        503, "The server is stopping.", code="shutting_down", headers={"retry-after": "5"}
    )


def _cancel_all(working: asyncio.Future[list[Handle]]) -> None:
    if not working.cancelled() and working.exception() is None:
        for handle in working.result():
            handle.cancel()
