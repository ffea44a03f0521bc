"""LangChain's own unit suite for chat models."""

from __future__ import annotations

import pytest
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_dspark import ChatDSpark

pytestmark = pytest.mark.filterwarnings(
    "ignore:The function `load` is in beta:langchain_core._api.LangChainBetaWarning"
)

ENVIRONMENT = {"AGENTSPARK_API_KEY": "from-the-environment"}


class TestInProcess(ChatModelUnitTests):
    """Over an engine of this process."""

    @property
    def chat_model_class(self) -> type[ChatDSpark]:
        return ChatDSpark

    @property
    def chat_model_params(self) -> dict:
        return {"model": "smollm2"}

    @property
    def init_from_env_params(self) -> tuple[dict, dict, dict]:
        return ENVIRONMENT, self.chat_model_params, {"api_key": "from-the-environment"}


class TestAtAServer(TestInProcess):
    """Over HTTP."""

    @property
    def chat_model_params(self) -> dict:
        return {"model": "smollm2", "base_url": "http://127.0.0.1:8000/v1"}
