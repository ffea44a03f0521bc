"""``POST /v1/chat/completions``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from agentspark.models.tools.tool import MAX_TOOLS
from openai_dspark.wire.messages import Message
from openai_dspark.wire.prediction import Prediction
from openai_dspark.wire.sampling import GenerationBody, TokenCount
from openai_dspark.wire.tools import AnyTool, Tool, ToolChoice


class ChatRequest(GenerationBody):
    """A chat to be answered.

    ``prompt_cache_key`` needs no obeying: every prefix is shared anyway. ``safety_identifier`` is
    another name for ``user``. Of ``web_search_options`` even an empty object asks for something.
    """

    messages: list[Message] = Field(min_length=1, max_length=16384)
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[AnyTool] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    prediction: Prediction | None = None
    reasoning_effort: str | None = None
    verbosity: Literal["medium"] | None = None  # as if nothing were said
    chat_template_kwargs: dict[str, Any] | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    web_search_options: Any = None
    modalities: list[Literal["text"]] | None = None
    prompt_cache_key: str | None = Field(default=None, max_length=512)
    safety_identifier: str | None = Field(default=None, max_length=512)

    @property
    def functions(self) -> list[Tool] | None:
        """The tools that a model can be offered."""
        if self.tools is None:
            return None
        return [tool for tool in self.tools if isinstance(tool, Tool)]
