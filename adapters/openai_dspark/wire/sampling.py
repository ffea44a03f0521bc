"""What every kind of generation takes: how to sample, how to stream, how to speed up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from openai_dspark.wire.body import Body
from openai_dspark.wire.formats import ResponseFormat, StructuredOutputs

Stop = Annotated[str, Field(min_length=1, max_length=1024)]
MetadataKey = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
TokenCount = Annotated[int, Field(ge=1, lt=2**31)]


# So vLLM called them before ``structured_outputs``.
_GUIDED = ("json", "json_object", "regex", "choice", "grammar")


class StreamOptions(Body):
    """``include_usage`` asks for a last chunk with usage and metrics."""

    include_usage: bool | None = None
    # Padding against guessing text from packet sizes: there is none, so only "off" can be asked.
    include_obfuscation: Literal[False] | None = None


class Acceleration(Body):
    """An extension: this request's ``agentspark.RequestOptions``."""

    speculation: Literal["auto", "dspark", "suffix", "off"] | None = None
    verify: Literal["auto", "full"] | Annotated[int, Field(ge=0, lt=2**31)] | None = None
    share_prefix: bool | None = None


class GenerationBody(Body):
    """The part that chats and completions have in common. ``null`` is the same as absent.

    ``top_k`` to ``cache_salt`` are extensions that other servers have too, ``agentspark`` is ours.
    """

    instead: ClassVar[Mapping[str, str]] = {
        **{f"guided_{name}": f"structured_outputs.{name}" for name in _GUIDED},
        "ebnf": "structured_outputs.grammar",
        "grammar": "structured_outputs.grammar",
        "regex": "structured_outputs.regex",
        "json_schema": "response_format",
        "functions": "tools",
        "function_call": "tool_choice",
    }

    model: str
    max_tokens: TokenCount | None = None
    temperature: float | None = Field(default=None, ge=0, le=100)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: int | None = Field(default=None, ge=1, le=128)
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: Seed | None = None
    presence_penalty: float | None = Field(default=None, ge=-10, le=10)
    frequency_penalty: float | None = Field(default=None, ge=-10, le=10)
    logit_bias: dict[str, float] | None = Field(default=None, max_length=1024)
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Metadata | None = None
    user: str | None = Field(default=None, max_length=512)
    top_k: int | None = Field(default=None, ge=-1, lt=2**31)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, ge=0.01, le=10)
    min_tokens: int | None = Field(default=None, ge=0, lt=2**31)
    ignore_eos: bool | None = None
    cache_salt: str | None = Field(default=None, max_length=512)
    agentspark: Acceleration | None = None
