"""A script that ends while the engine works ends well, whether it closed the engine or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.adapters.forked import needs_fork

# Every way to end has a process of its own, which finds all modules loaded: that takes the longest.
_SCRIPT = """
import os, signal, sys
from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.sampling.params import SamplingParams
from agentspark.engine.request import Request

target, folder = sys.argv[1:]
ends = {"end": "", "error": "raise ValueError('its own')", "close": "engine.close()"}
for name, end in ends.items():
    child = os.fork()
    if child == 0:
        break
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
if child == 0:
    signal.alarm(100)  # ends a child that hangs
    os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT), 2)
    engine = Engine.load(target, drafter=None, config=EngineConfig(cache_dir=folder))
    long = SamplingParams(max_tokens=1900, ignore_eos=True)
    for first in range(8):
        handle = engine.submit(Request(prompt_token_ids=[1, 5, 6 + first], sampling=long))
    next(iter(handle))
    exec(end)
"""


@needs_fork
def test_a_script_that_leaves_is_not_aborted(tiny_target_dir: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tiny_target_dir), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = {name: (tmp_path / name).read_text() for name in ("end", "error", "close")}
    assert done.stdout.split() == ["end", "0", "error", "1", "close", "0"], said
    for name, text in said.items():
        assert "terminate called" not in text
        assert ("its own" in text) == (name == "error")
