"""The real ``openai`` client of the served tiny target."""

from __future__ import annotations

import openai
import pytest


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client
