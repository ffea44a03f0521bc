"""What of a call's content its record keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What a record carries beyond counts and hashes; prompts and outputs may be private.

    ``output_margins`` say how nearly another token was chosen, where outputs of two arms part.
    """

    prompt_token_ids: bool = False
    output_token_ids: bool = False
    output_margins: bool = False
