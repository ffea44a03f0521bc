"""Without an extra's packages, what needs them says which extra to install."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run_without(package: str, code: str) -> subprocess.CompletedProcess[str]:
    hidden = f"import sys; sys.modules[{package!r}] = None; {code}"
    return subprocess.run(
        [sys.executable, "-c", hidden], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("package", "code", "extra"),
    [
        ("langchain_core", "from langchain_dspark import ChatDSpark", "langchain"),
        ("httpx", "from langchain_dspark import ChatDSpark", "langchain"),
        ("httpx", "from openai_dspark import Client", "client"),
        ("tenacity", "from openai_dspark import AsyncClient", "client"),
    ],
)
def test_an_import_names_the_extra(package: str, code: str, extra: str) -> None:
    done = run_without(package, code)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError") and package in last
    assert last.endswith(f"pip install 'agentspark[{extra}]'.")


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [("langchain_core", "demo", "langchain"), ("fastapi", "serve", "server")],
)
def test_a_command_names_the_extra(package: str, command: str, extra: str) -> None:
    code = f"from agentspark.cli.main import run; sys.exit(run([{command!r}]))"
    done = run_without(package, code)
    assert done.returncode != 0
    assert package in done.stderr and f"agentspark[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr
