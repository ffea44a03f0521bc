"""From a prompt to the token ids that an engine takes, or the reason why it takes none."""

from __future__ import annotations

from agentspark.engine.engine import Engine
from agentspark.engine.request import Request
from agentspark.errors import InvalidRequestError
from agentspark.train.left_out import LeftOut
from agentspark.train.prompts import Prompt


def encode_prompt(
    engine: Engine,
    prompt: Prompt,
    left_out: LeftOut,
    *,
    room: int = 1,
    longest: int | None = None,
) -> list[int] | None:
    """Return a prompt's token ids; ``None`` where it cannot be used, which ``left_out`` counts.

    That is a prompt that the target cannot take, one longer than ``longest`` tokens, and one that
    leaves no room for ``room`` more in the context.
    """
    try:
        ids = prompt.token_ids or engine.target.tokenizer.encode_chat(prompt.messages or [])
        if longest is not None and len(ids) > longest:
            left_out.add(prompt, f"longer than {longest} tokens")
            return None
        if not leaves_room(engine, prompt, ids, left_out, room):
            return None
        Request(prompt_token_ids=ids).validate(
            vocab_size=engine.target.spec.vocab_size, max_context=engine.max_context
        )
    except InvalidRequestError as error:
        left_out.add(prompt, "as the target cannot take them", str(error))
        return None
    except RecursionError:
        left_out.add(prompt, "as the target cannot take them", "it is nested too deeply")
        return None
    return ids


def leaves_room(
    engine: Engine, prompt: Prompt, ids: list[int], left_out: LeftOut, room: int
) -> bool:
    """Whether ``room`` tokens fit behind the prompt's ``ids``; counted where they do not."""
    fits = len(ids) + room <= engine.max_context
    if not fits:
        left_out.add(
            prompt, f"without room for {room} more tokens in a context of {engine.max_context}"
        )
    return fits
