"""The loop's thread: it ends with who waits for it."""

from __future__ import annotations

import _thread
import threading
import time
from typing import NoReturn

import pytest

from agentspark.engine.loop import EngineLoop


def test_an_interrupt_while_the_model_loads_ends_the_loading_first() -> None:
    threads: list[threading.Thread] = []

    def build() -> NoReturn:
        threads.append(threading.current_thread())
        _thread.interrupt_main()
        while True:
            time.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        EngineLoop(build)
    assert not threads[0].is_alive()
