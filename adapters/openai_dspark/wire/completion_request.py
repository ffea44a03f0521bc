"""``POST /v1/completions``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from openai_dspark.wire.sampling import GenerationBody

TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]


class CompletionRequest(GenerationBody):
    """A prompt (text or token ids), or several, to be continued."""

    prompt: (
        str
        | TokenIds
        | Annotated[list[str], Field(min_length=1, max_length=128)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=128)]
    )
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=20)
    best_of: Literal[1] | None = None
