"""What the parameters of a chat are called in a Responses request."""

from __future__ import annotations

import re

from openai_dspark.server.translated import Wording

WORDING = Wording(
    patterns=(
        (re.compile(r"^messages$"), "input"),
        (re.compile(r"^max_tokens$|^max_completion_tokens$"), "max_output_tokens"),
        (re.compile(r"^response_format\.json_schema"), "text.format"),
        (re.compile(r"^response_format"), "text.format"),
        (re.compile(r"^(tools\[\d+\](?:\.tools\[\d+\])?)\.function"), r"\1"),
        (re.compile(r"^reasoning_effort$"), "reasoning.effort"),
    ),
    of_calls={"id": "call_id", "name": "name", "arguments": "arguments"},
)
