"""The target's own responses, as JSON lines: what drafters learn to foresee."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentspark.errors import DataError

# Stands between a prompt's id and the number of a further answer to it.
_SAMPLE = "#sample-"
# What reading a line that holds no response ends with.
NO_RESPONSE = (ValueError, KeyError, TypeError, OverflowError, RecursionError)


def sample_id(prompt_id: str, number: int) -> str:
    """Return the id of a prompt's answer ``number``, counted from 0; the first has the prompt's."""
    return f"{prompt_id}{_SAMPLE}{number}" if number else prompt_id


def prompt_id(name: str) -> str:
    """Return the id of the prompt that the response ``name`` answers."""
    return name.rpartition(_SAMPLE)[0] or name


@dataclass(frozen=True, slots=True)
class Response:
    """One prompt with what the target answered, in token ids.

    ``id`` is the prompt's, or that of a further answer to it (``sample_id``).
    ``temperature`` is the sampling temperature (0: greedy). ``target`` is the fingerprint of the
    target that answered and ``asked`` the digest of the prompt, ``None`` where they are not known.
    """

    id: str
    kind: str
    temperature: float
    prompt_token_ids: list[int]
    token_ids: list[int]
    target: str | None = None
    asked: str | None = None

    def to_line(self) -> str:
        """Return the response as one JSON line."""
        return json.dumps(asdict(self), separators=(",", ":")) + "\n"


def parse_response(raw: Any) -> Response:
    """Read one line's object; one of ``NO_RESPONSE`` if it is none."""
    prompt, tokens = [int(t) for t in raw["prompt_token_ids"]], [int(t) for t in raw["token_ids"]]
    if not prompt or not tokens:
        raise ValueError("no tokens")
    if min(*prompt, *tokens) < 0:
        raise ValueError("a negative token")
    return Response(
        id=str(raw["id"]),
        kind=str(raw.get("kind") or "unknown"),
        temperature=float(raw.get("temperature") or 0.0),
        prompt_token_ids=prompt,
        token_ids=tokens,
        target=raw.get("target"),
        asked=raw.get("asked"),
    )


def read_responses(path: Path) -> Iterator[Response]:
    """Yield a file's responses; a last line cut off by a kill is left out.

    A broken line in the middle is left out too: its prompt is answered again, as it is missing.
    """
    if not path.exists():
        return
    with path.open("rb") as handle:  # bytes that are no text break their own line only
        for line in handle:
            try:
                yield parse_response(json.loads(line))
            except NO_RESPONSE:
                continue


def read_replay(path: Path, vocab_size: int, target: str) -> tuple[list[Response], str | None]:
    """Read a response file, plain or gzipped, to train on again.

    Returns the responses and a sentence on the lines left out, ``None`` where all were read.
    Raises ``DataError`` for a file that cannot be read, that holds no response, whose tokens are
    not the target's, or that tells of another fingerprint than ``target``.
    """
    found: list[Response] = []
    wrong: list[int] = []
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as handle
        ):
            for number, line in enumerate(handle, start=1):
                try:
                    found.append(parse_response(json.loads(line)))
                except NO_RESPONSE:
                    wrong.append(number)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"replay file {path} cannot be read ({error}): check the path.") from error
    if not found:
        raise DataError(
            f"{path} holds no responses (lines with prompt_token_ids and token_ids): give the "
            "work/responses.jsonl of a training, or prompts as prompts."
        )
    if max(max(max(r.prompt_token_ids), max(r.token_ids)) for r in found) >= vocab_size:
        raise DataError(f"{path} has tokens beyond the target's {vocab_size}: it is of another.")
    if any(response.target not in (None, target) for response in found):
        raise DataError(
            f"{path} holds responses of another target: give those of the target that the drafter "
            "is adapted for."
        )
    if not wrong:
        return found, None
    return found, f"{len(wrong)} lines of {path.name} are no responses (line {wrong[0]} first)."
