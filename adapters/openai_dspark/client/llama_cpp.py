"""What llama.cpp's server says of an answer beside OpenAI's fields: its ``timings``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openai_dspark.wire.body import Reply


class Timings(BaseModel):
    """Tokens and milliseconds of one choice; what is of no use here is left out.

    ``prompt_n`` are the tokens of the prompt that were computed, ``cache_n`` the others.
    ``draft_n`` are drafts that were verified; how many passes that took is not told.
    """

    model_config = ConfigDict(frozen=True)

    cache_n: int | None = Field(None, ge=0)
    prompt_n: int | None = Field(None, ge=0)
    prompt_ms: float | None = Field(None, ge=0)
    predicted_n: int | None = Field(None, ge=0)
    predicted_ms: float | None = Field(None, ge=0)
    draft_n: int | None = Field(None, ge=0)
    draft_n_accepted: int | None = Field(None, ge=0)


def timings_of(reply: Reply) -> Timings | None:
    """The timings that came with ``reply``; ``None`` from other servers."""
    given = (reply.model_extra or {}).get("timings")
    if not isinstance(given, dict):
        return None
    try:
        return Timings.model_validate(given)
    except ValidationError:
        return None  # another server's field of that name
