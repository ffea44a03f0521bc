"""LangChain's own integration suite on the real default target, in this process and on a server.

The target is weak: it does not choose to call tools, so its ``tool_choice`` is ``any``.
"""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from langchain_dspark import ChatDSpark

from ..serving import MODEL, serving

pytestmark = pytest.mark.real

PROMPT = "The cache keeps the keys and values of every prefix. " * 4


@pytest.fixture(scope="module")
def at_server():
    """The parameters of a model behind a real server."""
    config = EngineConfig(kv_tokens=16384)
    with serving(Engine.load("smollm2", config=config)) as running:
        yield {"model": MODEL, "base_url": f"{running.url}/v1"}


@pytest.fixture(scope="module")
def in_process():
    """The parameters of a model in this process, whose engine is kept open."""
    with ChatDSpark(model="smollm2", max_tokens=1) as model:
        model.invoke("load")
        yield {"model": "smollm2"}


class Suite(ChatModelIntegrationTests):
    """No media: the targets read text only."""

    where: dict
    other: str

    @property
    def chat_model_class(self) -> type[ChatDSpark]:
        return ChatDSpark

    @property
    def chat_model_params(self) -> dict:
        return {**self.where, "tool_choice": "any"}

    @property
    def standard_chat_model_params(self) -> dict:
        return {**super().standard_chat_model_params, "max_tokens": 48}

    @property
    def supported_usage_metadata_details(self) -> dict:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    @property
    def model_override_value(self) -> str:
        return self.other

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        with ChatDSpark(**self.where, max_tokens=4) as model:
            model.invoke(PROMPT)
            if not stream:
                return model.invoke(PROMPT)
            chunks = list(model.stream(PROMPT))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return whole


class TestInProcess(Suite):
    """Over an engine of this process."""

    @pytest.fixture(autouse=True)
    def _place(self, in_process, tiny_qwen3_dir, monkeypatch) -> None:
        # Answers name their model by its folder's name, which is its path from the folder above.
        self.where, self.other = in_process, tiny_qwen3_dir.name
        monkeypatch.chdir(tiny_qwen3_dir.parent)


class TestAtAServer(Suite):
    """Over HTTP."""

    @pytest.fixture(autouse=True)
    def _place(self, at_server) -> None:
        self.where, self.other = at_server, f"{MODEL}:baseline"


@pytest.mark.parametrize("place", ["in_process", "at_server"])
def test_json_mode(place: str, request: pytest.FixtureRequest) -> None:
    """The suite's test of JSON mode, which leaves the keys to the model, less repetitive here."""
    suite = Suite()
    suite.where = request.getfixturevalue(place)
    with ChatDSpark(**suite.where, max_tokens=64, repetition_penalty=1.05) as model:
        Suite.supports_json_mode = property(lambda _: True)  # type: ignore[assignment]
        try:
            suite.test_json_mode(model)
        finally:
            del Suite.supports_json_mode
