"""The work on a request before the engine has it: templates, tokens, grammars, on a thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future

from agentspark.engine.handle import Handle
from agentspark.engine.request import Request
from openai_dspark.server.errors import ApiError

Prepare = Callable[[], Sequence[Request]]
Submit = Callable[[Sequence[Request]], Sequence[Handle]]


class Preparation:
    """One call's ``prepare`` and ``submit``, on a thread of ``pool``.

    A thread cannot be stopped: whoever stops waiting for it leaves the work to its end, and the
    call's places are taken until then, so that nobody can heap up work by coming and leaving.
    ``on_drop`` gives them back, on the event loop, where ``handles`` did not hand the handles over.
    """

    def __init__(
        self, pool: Executor, prepare: Prepare, submit: Submit, on_drop: Callable[[], None]
    ) -> None:
        self._prepare, self._submit = prepare, submit
        self._dropped = False
        self._loop = asyncio.get_running_loop()
        self._on_drop = on_drop
        self._over = asyncio.Event()
        self._stopped: ApiError | None = None
        self._job = pool.submit(self._work)
        self._job.add_done_callback(self._wake)

    async def handles(self, deadline: float, timeout_s: float) -> list[Handle]:
        """Wait for the handles until ``deadline`` (the event loop's time), which is then a 504.

        Raises what the two raise, or what ``stop`` was given.
        """
        try:
            await self._ended(deadline, timeout_s)
            return list(self._job.result())
        except BaseException:
            self._drop()
            raise

    def stop(self, error: ApiError) -> None:
        """End the waiting with ``error``: the server stops."""
        self._stopped = error
        self._over.set()

    def _work(self) -> Sequence[Handle]:
        requests = self._prepare()
        return () if self._dropped else self._submit(requests)

    async def _ended(self, deadline: float, timeout_s: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._over.wait()
        except TimeoutError as error:
            raise ApiError(
                504,
                f"The request was still being prepared after {timeout_s:g} s: give it more time "
                "or simpler formats and tools.",
                code="deadline_exceeded",
            ) from error
        if self._stopped is not None:
            raise self._stopped

    def _wake(self, _job: Future[Sequence[Handle]]) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._over.set)

    def _drop(self) -> None:
        self._dropped = True
        self._job.cancel()  # work that has not begun never will
        self._job.add_done_callback(self._clear)

    def _clear(self, job: Future[Sequence[Handle]]) -> None:
        if not job.cancelled() and job.exception() is None:
            for handle in job.result():
                handle.cancel()
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._on_drop)
