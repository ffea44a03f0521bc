"""Who answered a call: the server's address, and its name in OpenTelemetry's GenAI conventions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

from openai_dspark.wire.body import Reply

# The names that the conventions know well, by the hosts of their services.
_HOSTS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(.+\.)?api\.openai\.com", "openai"),
        (r".+\.openai\.azure\.com", "azure.ai.openai"),
        (r".+\.(models|services)\.ai\.azure\.com", "azure.ai.inference"),
        (r"api\.anthropic\.com", "anthropic"),
        (r"bedrock-?[a-z]*\..+\.(amazonaws\.com|api\.aws)", "aws.bedrock"),
        (r"generativelanguage\.googleapis\.com", "gcp.gemini"),
        (r"(.+-)?aiplatform\.googleapis\.com", "gcp.vertex_ai"),
        (r"api\.cohere\.(com|ai)", "cohere"),
        (r"api\.deepseek\.com", "deepseek"),
        (r"api\.groq\.com", "groq"),
        (r"(.+\.)?ml\.cloud\.ibm\.com", "ibm.watsonx.ai"),
        (r"api\.mistral\.ai", "mistral_ai"),
        (r"api\.perplexity\.ai", "perplexity"),
        (r"(.+\.)?api\.x\.ai", "x_ai"),
    )
)
# How servers sign their answers. There are no names for these in the conventions.
_SIGNS = (
    (re.compile(r"agentspark-"), "agentspark"),
    (re.compile(r"vllm-"), "vllm"),
    (re.compile(r"b\d+-"), "llama_cpp"),
    (re.compile(r"fp_ollama$"), "ollama"),
)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Server:
    """A server that began to answer: ``address`` is ``host:port``, ``software`` its header."""

    host: str
    address: str
    software: str

    @classmethod
    def of(cls, url: httpx.URL, headers: httpx.Headers) -> Server:
        """The server at ``url``, whose answer has ``headers``."""
        host = f"[{url.host}]" if ":" in url.host else url.host
        port = url.port or _PORTS.get(url.scheme)
        address = host if port is None else f"{host}:{port}"
        return cls(url.host, address, headers.get("server", ""))

    def provider(self, reply: Reply | None) -> str | None:
        """Its name; ``reply`` is its answer's first piece. ``None`` where that is not told."""
        service = next((name for pattern, name in _HOSTS if pattern.fullmatch(self.host)), None)
        if service is not None:
            return service
        if self.software.casefold().startswith("llama.cpp"):
            return "llama_cpp"
        sign = getattr(reply, "system_fingerprint", None)
        if not isinstance(sign, str):
            return None
        return next((name for pattern, name in _SIGNS if pattern.match(sign)), None)
