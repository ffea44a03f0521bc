"""A thin client of OpenAI-compatible servers, for Python without the ``openai`` package."""

from __future__ import annotations

from openai_dspark.client.asynchronous import AsyncClient
from openai_dspark.client.synchronous import Client

__all__ = ["AsyncClient", "Client"]
