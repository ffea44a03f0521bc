"""``import agentspark`` is light: what needs torch is loaded on first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

import agentspark

HEAVY = ("torch", "transformers", "numpy", "langchain_core")


@pytest.mark.parametrize(
    "module",
    [
        "agentspark",
        "agentspark.models",
        "agentspark.engine.params",
        "agentspark.sampling.params",
        "agentspark.config",
        "agentspark.cli.app",
        "langchain_dspark",
        "openai_dspark",
    ],
)
def test_import_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", agentspark.__all__)
def test_exports_are_there_and_listed(name: str) -> None:
    assert getattr(agentspark, name) is not None
    assert name in dir(agentspark)


def test_unknown_attribute_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Motor'"):
        _ = agentspark.Motor
