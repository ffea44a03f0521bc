"""A script that ends while the engine works ends well, whether it closed the engine or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import sys, time
from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.sampling.params import SamplingParams
from agentspark.engine.request import Request

config = EngineConfig(cache_dir=sys.argv[2])
engine = Engine.load(sys.argv[1], drafter=None, config=config)
long = SamplingParams(max_tokens=1900, ignore_eos=True)
for first in range(8):
    handle = engine.submit(Request(prompt_token_ids=[1, 5, 6 + first], sampling=long))
next(iter(handle))
"""


@pytest.mark.parametrize(
    ("end", "code"), [("", 0), ("raise ValueError('its own')", 1), ("engine.close()", 0)]
)
def test_a_script_that_leaves_is_not_aborted(
    tiny_target_dir: Path, tmp_path: Path, end: str, code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT + end, str(tiny_target_dir), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "terminate called" not in done.stderr
    assert ("its own" in done.stderr) == (code == 1)
