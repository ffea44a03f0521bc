"""What all endpoints share: the engine, who may come in, what is running, how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from agentspark.engine.handle import Handle
from agentspark.engine.request import Request
from agentspark.engine.result import Completion
from agentspark.errors import AgentSparkError
from openai_dspark.server.admission import Admission
from openai_dspark.server.auth import Keys
from openai_dspark.server.call import Call
from openai_dspark.server.errors import ApiError, to_api_error
from openai_dspark.server.metrics import Meters
from openai_dspark.server.names import ModelNames
from openai_dspark.server.preparation import Preparation
from openai_dspark.server.runs import RunGuesser
from openai_dspark.server.settings import ServerSettings
from openai_dspark.server.tokens import TokenTexts

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine

Result = TypeVar("Result")

# Templates, tokenising and grammars happen on these, never on the event loop.
_INTAKE_THREADS = 4
# Bodies and replies on others: they are quick, and a slow grammar should not hold them up.
_SHAPING_THREADS = 2


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
        self.texts = TokenTexts(engine.target.tokenizer, engine.target.spec.eos_token_ids)
        self.admission = Admission(engine.config.max_requests, settings.queue_limit)
        self.draining = False
        self.calls: set[Call] = set()
        self._preparing: set[Preparation] = set()
        self._arriving: set[asyncio.Timeout] = set()
        self._intake = ThreadPoolExecutor(_INTAKE_THREADS, thread_name_prefix="agentspark-intake")
        self._shaping = ThreadPoolExecutor(_SHAPING_THREADS, thread_name_prefix="agentspark-json")

    @property
    def busy(self) -> int:
        """How many requests somebody waits for: those that run, and those that get ready to."""
        return len(self.calls) + len(self._preparing)

    async def off_loop(self, work: Callable[[], Result]) -> Result:
        """Run ``work``, such as reading a body or writing a reply, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._shaping, work)

    @asynccontextmanager
    async def arrival(self, seconds: float, late: ApiError) -> AsyncIterator[None]:
        """Let the block wait for what a client sends, for ``seconds``: then ``late`` is raised.

        It waits no longer than the server runs (503).
        """
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                self._arriving.add(limit)
                yield
        except TimeoutError as error:
            raise (stopping() if self.draining else late) from error
        finally:
            self._arriving.discard(limit)

    async def open(
        self,
        prepare: Callable[[], Sequence[Request]],
        *,
        sequences: int,
        timeout_s: float,
        arm: str | None,
        prompt: str,
        on_completion: Callable[[Completion], None] | None = None,
        on_unanswered: Callable[[], None] | None = None,
    ) -> Call:
        """Admit a call of so many sequences, prepare and submit it.

        ``prepare`` runs on an intake thread, and its time counts; ``prompt`` is what this API calls
        the prompt; ``on_completion`` gets each finished sequence before the client does,
        ``on_unanswered`` is called once the call has ended without any. Raises ``ApiError`` for a
        full queue, a server that stops, a deadline that is over, and what the engine refuses.
        """
        if self.draining:
            raise stopping()
        deadline = asyncio.get_running_loop().time() + timeout_s
        self.admission.take(sequences)
        preparation = Preparation(
            self._intake,
            prepare,
            self._submit,
            on_drop=lambda: self._ended(sequences, on_unanswered),
        )
        self._preparing.add(preparation)
        try:
            handles = await preparation.handles(deadline, timeout_s)
        except AgentSparkError as error:
            raise to_api_error(error, prompt) from error
        finally:
            self._preparing.discard(preparation)
        call = Call(
            handles,
            deadline=deadline,
            timeout_s=timeout_s,
            arm=arm,
            prompt=prompt,
            meters=self.meters,
            on_completion=on_completion,
            on_close=lambda: self._closed(call, sequences, on_unanswered),
        )
        self.calls.add(call)
        return call

    def stop_calls(self) -> None:
        """End everything that still arrives, gets ready or runs."""
        for limit in self._arriving:
            if not limit.expired():
                limit.reschedule(0)
        for preparation in list(self._preparing):
            preparation.stop(stopping())
        for call in list(self.calls):
            call.stop(stopping())

    async def close(self) -> None:
        """Close the engine; what still runs is cancelled."""
        for pool in (self._intake, self._shaping):
            pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.engine.close)

    def _closed(self, call: Call, sequences: int, on_unanswered: Callable[[], None] | None) -> None:
        self.calls.discard(call)
        self._ended(sequences, None if call.finished else on_unanswered)

    def _ended(self, sequences: int, on_unanswered: Callable[[], None] | None) -> None:
        self.admission.give_back(sequences)
        if on_unanswered is not None:
            on_unanswered()

    def _submit(self, requests: Sequence[Request]) -> list[Handle]:
        """Queue the choices of a call: one step of its run, which the first of them numbers."""
        handles: list[Handle] = []
        try:
            for request in requests:
                labels = handles[0].labels if handles else request.labels
                handles.append(self.engine.submit(replace(request, labels=labels)))
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
