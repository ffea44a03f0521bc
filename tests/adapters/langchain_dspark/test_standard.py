"""LangChain's own unit suite for chat models."""

from __future__ import annotations

import pytest
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_dspark import ChatDSpark

pytestmark = pytest.mark.filterwarnings(
    "ignore:The function `load` is in beta:langchain_core._api.LangChainBetaWarning"
)


class TestChatDSparkUnit(ChatModelUnitTests):
    """No tools and no structured output yet: the suite sees that ``bind_tools`` is the base's."""

    @property
    def chat_model_class(self) -> type[ChatDSpark]:
        return ChatDSpark

    @property
    def chat_model_params(self) -> dict:
        return {"model": "smollm2"}

    @property
    def init_from_env_params(self) -> tuple[dict, dict, dict]:
        return (
            {"AGENTSPARK_API_KEY": "from-the-environment"},
            {"model": "smollm2"},
            {"api_key": "from-the-environment"},
        )
