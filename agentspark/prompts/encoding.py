"""From a prompt to the token ids that an engine takes, or the reason why it takes none."""

from __future__ import annotations

from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.chatting import chat_token_ids
from agentspark.engine.engine import Engine
from agentspark.engine.request import Request
from agentspark.errors import InvalidRequestError
from agentspark.models.chat import ChatTokenizer
from agentspark.prompts.left_out import LeftOut
from agentspark.prompts.prompt import Prompt


def encode_prompt(
    engine: Engine,
    prompt: Prompt,
    left_out: LeftOut,
    *,
    room: int = 1,
    longest: int | None = None,
) -> list[int] | None:
    """Return a prompt's token ids; ``None`` where it cannot be used, which ``left_out`` counts.

    A chat's are those that ``Engine.chat`` answers, its tools included. Not used are prompts that
    the target cannot take, those longer than ``longest`` tokens, and those that leave no room for
    ``room`` more in the context.
    """
    try:
        ids = prompt_token_ids(engine.target.tokenizer, prompt)
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


def prompt_token_ids(tokenizer: ChatTokenizer, prompt: Prompt) -> list[int]:
    """The prompt's own token ids, or its messages and tools in the model's chat template.

    Raises ``InvalidRequestError`` for a chat that cannot be rendered.
    """
    if prompt.token_ids is not None:
        return prompt.token_ids
    return chat_token_ids(tokenizer, prompt.messages or [], prompt.asked.chat or ChatFormat())


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
