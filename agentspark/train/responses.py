"""The target's own responses, as JSON lines: what drafters learn to foresee."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Response:
    """One prompt with what the target answered, in token ids.

    ``temperature`` is the sampling temperature (0: greedy).
    """

    id: str
    kind: str
    temperature: float
    prompt_token_ids: list[int]
    token_ids: list[int]

    def to_line(self) -> str:
        """Return the response as one JSON line."""
        return json.dumps(asdict(self), separators=(",", ":")) + "\n"


def parse_response(raw: Any) -> Response:
    """Read one line's object; ``ValueError``, ``KeyError`` or ``TypeError`` if it is none."""
    prompt, tokens = [int(t) for t in raw["prompt_token_ids"]], [int(t) for t in raw["token_ids"]]
    if not prompt or not tokens:
        raise ValueError("no tokens")
    return Response(
        id=str(raw["id"]),
        kind=str(raw.get("kind") or "unknown"),
        temperature=float(raw.get("temperature") or 0.0),
        prompt_token_ids=prompt,
        token_ids=tokens,
    )


def read_responses(path: Path) -> Iterator[Response]:
    """Yield a file's responses; a last line cut off by a kill is left out.

    A broken line in the middle is left out too: its prompt is answered again, as it is missing.
    """
    if not path.exists():
        return
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            try:
                yield parse_response(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
