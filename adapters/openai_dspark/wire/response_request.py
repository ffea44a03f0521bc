"""``POST /v1/responses``, without the server keeping anything."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from agentspark.models.tools.tool import MAX_TOOLS
from openai_dspark.wire.body import Body
from openai_dspark.wire.formats import JsonObjectFormat, TextFormat
from openai_dspark.wire.response_items import Item
from openai_dspark.wire.response_tools import AnyResponseTool, ResponseToolChoice
from openai_dspark.wire.sampling import Acceleration, Metadata, StreamOptions, TokenCount


class ResponseSchemaFormat(Body):
    """JSON that a schema describes, in this API's flat shape."""

    type: Literal["json_schema"]
    name: str
    json_schema: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextConfig(Body):
    """How the text must look."""

    format: (
        Annotated[TextFormat | JsonObjectFormat | ResponseSchemaFormat, Field(discriminator="type")]
        | None
    ) = None
    verbosity: Literal["medium"] | None = None  # as if nothing were said


class Reasoning(Body):
    """How much to think. Thoughts come whole, so that no summary need be asked for."""

    effort: str | None = None
    summary: Literal["auto"] | None = None


class ResponseRequest(Body):
    """Input to be answered. The conversation is the client's to keep: ``store`` is never true.

    ``include`` may ask for encrypted reasoning, which a client sends back; the reasoning comes in
    plain and may be sent back just so. It asks for log-probabilities, too, with ``top_logprobs``
    of the likeliest tokens beside each. ``client_metadata`` is what Codex says of itself, with
    every request; it asks for nothing.
    """

    model: str
    input: str | Annotated[list[Item], Field(min_length=1, max_length=16384)]
    instructions: str | None = None
    max_output_tokens: TokenCount | None = None
    temperature: float | None = Field(default=None, ge=0, le=100)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[AnyResponseTool] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: ResponseToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    metadata: Metadata | None = None
    client_metadata: dict[str, str] | None = Field(default=None, max_length=64)
    user: str | None = Field(default=None, max_length=512)
    safety_identifier: str | None = Field(default=None, max_length=512)
    prompt_cache_key: str | None = Field(default=None, max_length=512)
    service_tier: Literal["auto", "default"] | None = None
    store: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None
    include: list[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] | None = (
        None
    )
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    previous_response_id: None = None
    conversation: None = None
    cache_salt: str | None = Field(default=None, max_length=512)
    agentspark: Acceleration | None = None

    @field_validator("previous_response_id", "conversation", mode="before")
    @classmethod
    def _none_is_kept(cls, value: Any) -> Any:
        if value is not None:
            raise PydanticCustomError(
                "not_kept",
                "no response is kept here: send the whole conversation as the input, as clients do "
                "that were told store: false",
            )
        return value

    @property
    def logprobs(self) -> bool:
        """Whether those of the text are asked for."""
        return "message.output_text.logprobs" in (self.include or ())
