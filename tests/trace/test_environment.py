"""What a record says about where it was made."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from agentspark.trace import describe_environment


def test_versions_and_hardware():
    found = describe_environment(threads=2, accelerator="Some GPU")

    assert found.python == platform.python_version()
    assert found.torch == metadata.version("torch")
    assert found.cores is not None
    assert found.cores >= 1
    assert (found.threads, found.accelerator) == (2, "Some GPU")
    assert describe_environment().threads is None


def test_tracing_loads_neither_torch_nor_the_engine():
    code = (
        "import sys; import agentspark.trace as trace; trace.describe_environment();"
        "heavy = {'torch', 'transformers', 'agentspark.engine'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
