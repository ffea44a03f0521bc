"""The loop's thread: it ends with who waits for it."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

import pytest

from agentspark.engine.loop import EngineLoop


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A background job ignores interrupts and hands that down."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_the_model_loads_ends_the_loading_first() -> None:
    threads: list[threading.Thread] = []

    def build() -> NoReturn:
        threads.append(threading.current_thread())
        _thread.interrupt_main()
        while True:  # until it is ended
            time.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        EngineLoop(build)
    assert not threads[0].is_alive()
