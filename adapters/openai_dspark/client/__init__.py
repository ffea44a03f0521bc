"""A thin client of OpenAI-compatible servers, for Python without the ``openai`` package.

And what records the calls of others: ``TracingTransport``.
"""

from __future__ import annotations

from openai_dspark.client.asynchronous import AsyncClient
from openai_dspark.client.synchronous import Client
from openai_dspark.client.transport import AsyncTracingTransport, TracingTransport

__all__ = ["AsyncClient", "AsyncTracingTransport", "Client", "TracingTransport"]
