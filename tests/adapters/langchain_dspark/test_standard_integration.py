"""LangChain's own integration suite, over a real engine with a tiny random target."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_dspark import ChatDSpark


class TestChatDSparkIntegration(ChatModelIntegrationTests):
    """Text only for now: no tools, no structured output, no media."""

    @pytest.fixture(autouse=True)
    def _models(self, chat: ChatDSpark, tiny_name: str, tiny_qwen3_dir, monkeypatch) -> None:
        # ``chat`` keeps the engine open, so that the suite's many models share it. Answers name
        # their model by its folder's name, which is also its path from the folder above.
        self.model_name, self.other = tiny_name, tiny_qwen3_dir.name
        monkeypatch.chdir(tiny_qwen3_dir.parent)

    @property
    def chat_model_class(self) -> type[ChatDSpark]:
        return ChatDSpark

    @property
    def chat_model_params(self) -> dict:
        return {"model": self.model_name, "drafter": None}

    @property
    def standard_chat_model_params(self) -> dict:
        return {**super().standard_chat_model_params, "max_tokens": 20}

    @property
    def supported_usage_metadata_details(self) -> dict:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    @property
    def model_override_value(self) -> str:
        return self.other

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = ChatDSpark(**self.chat_model_params, max_tokens=4)
        prompt = "The cache keeps the keys and values of every prefix. " * 4
        model.invoke(prompt)
        if not stream:
            return model.invoke(prompt)
        chunks = list(model.stream(prompt))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return whole
