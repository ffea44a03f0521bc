"""Agents of four frameworks on the real model behind the real server, and their traces."""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_dspark import ChatDSpark

from .conftest import Traced

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def _beside_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """What an example leaves open is told in its own test, not in a later one."""
    yield
    gc.collect()


def example(name: str, package: str) -> Any:
    pytest.importorskip(package, reason=f"the extra 'examples' is not installed: {package}")
    return importlib.import_module(name)


def check(steps: list[dict[str, Any]], least: int) -> None:
    """The steps are one run's, in order, each step building on the one before."""
    assert len(steps) >= least
    assert len({step["run"] for step in steps}) == 1
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert all(step["cached_tokens"] > 0 for step in steps[1:])
    assert {step["arm"] for step in steps} == {"accelerated"}
    assert all(step["finish_reason"] in ("tool_calls", "stop", "length") for step in steps)


def test_langgraph(traced: Traced, folder: Path) -> None:
    module = example("langgraph_agent", "langchain.agents")
    with ChatDSpark(model="smollm2", base_url=traced.url, max_tokens=48) as chat:
        messages, steps = traced.since(lambda: module.run(chat, folder, 2))
    check(steps, 3)
    kinds = [message.type for message in messages]
    assert kinds[0] == "human"
    assert kinds.count("tool") >= 2
    assert kinds[-1] == "ai"
    assert messages[-1].text
    assert [step["step_name"] for step in steps] == ["model"] * len(steps)


def test_langgraph_in_this_process(folder: Path) -> None:
    module = example("langgraph_agent", "langchain.agents")
    with ChatDSpark(model="smollm2", max_tokens=48) as chat:
        messages = module.run(chat, folder, 1)
    assert [message.type for message in messages][-1] == "ai"


def test_openai_agents(traced: Traced, folder: Path) -> None:
    module = example("openai_agents_sdk", "agents")
    (answer, kinds), steps = traced.since(
        lambda: asyncio.run(module.run(traced.url, "smollm2", folder))
    )
    check(steps, 2)
    assert kinds[:2] == ["tool_call_item", "tool_call_output_item"]
    assert kinds[-1] == "message_output_item"
    assert answer


def test_pydantic_ai(traced: Traced, folder: Path) -> None:
    module = example("pydantic_ai_agent", "pydantic_ai")
    (report, requests), steps = traced.since(
        lambda: asyncio.run(module.run(traced.url, "smollm2", folder, 2))
    )
    check(steps, requests)
    assert requests <= 3
    assert report.files >= 0


def test_smolagents(traced: Traced, folder: Path) -> None:
    module = example("smolagents_agent", "smolagents")
    (answer, called), steps = traced.since(lambda: module.run(traced.url, "smollm2", folder, 2))
    assert len(steps) >= len(called) >= 1
    assert set(called) <= {"list_files", "read_file", "final_answer"}
    assert all(step["finish_reason"] in ("tool_calls", "stop", "length") for step in steps)
    assert answer
