"""Where a client's calls stand in its agent's work, and the trace file they are written to."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from pydantic import BaseModel

from agentspark.engine.params import Labels
from agentspark.errors import TraceWriteError
from agentspark.trace.context import TraceContext
from agentspark.trace.recorder import Recorder
from openai_dspark.client.account import Account, Generated
from openai_dspark.client.exchange import Exchange
from openai_dspark.client.order import LABEL_HEADERS, Ask, Order
from openai_dspark.client.server import Server
from openai_dspark.wire.recorded import RECORDED_HEADER

_log = logging.getLogger(__name__)


class Tracing:
    """Records the calls of one client; does nothing where no file is named.

    As with an engine, a comparison that runs this process names the file, the arm and the run in
    the environment, which win. Raises ``TraceWriteError`` where the file cannot be written.
    """

    def __init__(self, trace: Recorder | str | Path | None) -> None:
        self._context = TraceContext.from_environment()
        self._recorder = Recorder.choose(trace, self._context)
        self._own = self._recorder is not trace

    def ask(
        self,
        model: str | None,
        labels: Labels | None,
        timeout_s: float | None,
        stream: bool = False,
    ) -> Ask:
        """What a call is sent with; in the baseline arm of a comparison nothing is sped up."""
        return Ask(
            model=model,
            labels=labels,
            timeout_s=timeout_s,
            stream=stream,
            plain=self._context.arm == "baseline",
            place=self._place,
        )

    def _place(self, labels: Labels | None) -> Labels | None:
        """``labels``, completed by what is known here; a server is told the same."""
        given = labels or Labels()
        if self._recorder is not None:
            place = self._context.place(run=given.run, step=given.step, arm=given.arm)
            return dataclasses.replace(given, run=place.run, step=place.step, arm=place.arm)
        if self._context.arm is not None:
            return dataclasses.replace(given, arm=self._context.arm)
        return labels

    @contextmanager
    def call(self, order: Order) -> Iterator[Traced]:
        """Record the call that is made within; the caller hands over what comes of it."""
        if self._recorder is None or order.method != "POST":
            yield Traced(None, None)
            return
        traced = Traced(Account(order), self._recorder.mark)
        try:
            yield traced
        except BaseException as error:
            self.write(traced, error)
            raise
        self.write(traced, None)

    def exchange(self, request: httpx.Request) -> Exchange | None:
        """What to watch of a request of another client's; a server is told of the comparison."""
        for name in ("arm", "run"):
            if (value := getattr(self._context, name)) is not None:
                request.headers.encoding = "utf-8"
                request.headers.setdefault(LABEL_HEADERS[name], value)
        if self._recorder is None:
            return None
        # So that a body's bytes can be read as they pass.
        request.headers["accept-encoding"] = "identity"
        return Exchange.of(request)

    def begun(self, account: Account, response: httpx.Response, url: httpx.URL) -> Traced:
        """Record the call of ``account``, to which ``response`` begins; it takes its step now.

        ``url`` is what was asked: a transport's response does not know that yet.
        """
        account.labels = self._place(account.labels) or account.labels
        traced = Traced(account, None if self._recorder is None else self._recorder.mark)
        traced.heard(response, url)
        return traced

    def write(self, traced: Traced, error: BaseException | None) -> None:
        """Write the record of a call that has ended; with ``error`` if it failed or was left."""
        if traced.account is None or self._recorder is None:
            return
        try:
            self._recorder.write(traced.account.record(error))
        except TraceWriteError as failure:
            # Tracing must never cost a call.
            _log.error("A trace record was lost: %s", failure)

    def close(self) -> None:
        """Close the file, unless it is the caller's."""
        if self._recorder is not None and self._own:
            self._recorder.close()


class Traced:
    """A call that is being made: ``account`` is ``None`` where nothing is recorded."""

    def __init__(self, account: Account | None, mark: str | None) -> None:
        self.account = account
        self._mark = mark

    def heard(self, response: httpx.Response, url: httpx.URL | None = None) -> None:
        """The head of the response: a server that writes the same file has recorded the call."""
        if self.account is not None:
            self.account.server = Server.of(url or response.request.url, response.headers)
        if self._mark is not None and response.headers.get(RECORDED_HEADER) == self._mark:
            self.account = None

    def add(self, reply: BaseModel) -> None:
        """The answer, or what is new in it."""
        if self.account is not None and isinstance(reply, Generated):
            self.account.add(reply)
