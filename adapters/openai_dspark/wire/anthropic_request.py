"""``POST /v1/messages`` and what counts its tokens, for clients of Anthropic's API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from agentspark.models.tools.tool import MAX_TOOLS
from openai_dspark.wire.anthropic_blocks import Block, Texts
from openai_dspark.wire.body import Body
from openai_dspark.wire.cache_control import CacheControl
from openai_dspark.wire.other_tool import OtherTool, kind_of
from openai_dspark.wire.sampling import Acceleration, Stop, TokenCount

# What Anthropic calls the refusal of a thread: its clients then go on without one.
NO_THREADS = "thread_unsupported_request"


class AnthropicMessage(Body):
    """A turn; turns of one role may follow each other. The system speaks at any point."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class AnthropicTool(Body):
    """A tool of the client's."""

    type: Literal["custom"] | None = None
    name: str
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    eager_input_streaming: bool | None = None  # what is streamed comes as it is written anyway
    cache_control: CacheControl | None = None


AnyAnthropicTool = Annotated[
    Annotated[AnthropicTool, Tag("<custom>")] | Annotated[OtherTool, Tag("<other>")],
    Discriminator(lambda value: kind_of(value, ("custom",))),
]


class _Choice(Body):
    disable_parallel_tool_use: bool | None = None


class AutoChoice(_Choice):
    """The model calls a tool or answers."""

    type: Literal["auto"]


class AnyChoice(_Choice):
    """The model calls some tool."""

    type: Literal["any"]


class NamedToolChoice(_Choice):
    """The model calls one tool."""

    type: Literal["tool"]
    name: str


class NoChoice(Body):
    """The model calls none."""

    type: Literal["none"]


AnthropicChoice = Annotated[
    AutoChoice | AnyChoice | NamedToolChoice | NoChoice, Field(discriminator="type")
]


class Thinking(Body):
    """Whether the model should think first. How long it does, ``max_tokens`` alone bounds.

    Thoughts that are ``omitted`` come in the signature of their block alone.
    """

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: TokenCount | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(Body):
    """JSON that a schema describes."""

    type: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")


class OutputConfig(Body):
    """How the answer must look, and how hard to think: ``high`` is as hard as the model does."""

    format: OutputFormat | None = None
    effort: str | None = None


class UserId(Body):
    """Who asks."""

    user_id: str | None = Field(default=None, max_length=512)


class KeptThinking(Body):
    """Clearing old thoughts, of which all are kept: nothing is cleared."""

    type: Literal["clear_thinking_20251015"]
    keep: Literal["all"]


class ContextManagement(Body):
    """Edits of the conversation: none that would change it."""

    edits: list[KeptThinking] | None = None


class AnthropicPrompt(Body):
    """What the prompt is made of. Tools of ``mcp_servers`` only Anthropic's servers call."""

    model: str
    messages: list[AnthropicMessage] = Field(min_length=1, max_length=16384)
    system: Texts | None = None
    tools: list[AnyAnthropicTool] | None = Field(default=None, max_length=MAX_TOOLS)
    mcp_servers: list[Any] | None = None
    tool_choice: AnthropicChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    context_management: ContextManagement | None = None
    cache_control: CacheControl | None = None


class AnthropicRequest(AnthropicPrompt):
    """A conversation to go on with. ``cache_salt`` and ``agentspark`` are extensions."""

    max_tokens: TokenCount
    temperature: float | None = Field(default=None, ge=0, le=100)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, lt=2**31)
    stop_sequences: list[Stop] | None = Field(default=None, max_length=16)
    stream: bool | None = None
    metadata: UserId | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    # Conversations that the server would keep: Anthropic's tool runners ask for them at first.
    thread: None = None
    cache_salt: str | None = Field(default=None, max_length=512)
    agentspark: Acceleration | None = None

    @field_validator("thread", mode="before")
    @classmethod
    def _none_is_kept(cls, value: Any) -> Any:
        if value is not None:
            raise PydanticCustomError(
                NO_THREADS, "no conversation is kept here: send all its messages, without a thread"
            )
        return value
