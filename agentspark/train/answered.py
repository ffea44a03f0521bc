"""Which of a file's responses answer the prompts that are given; others may lie there too."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentspark.errors import DataError
from agentspark.prompts.prompt import Prompt
from agentspark.train.config import DataConfig
from agentspark.train.responses import Response, read_responses, sample_id


def read_answers(
    path: Path, prompts: Sequence[Prompt], config: DataConfig, target: str
) -> Iterator[Response]:
    """Yield the responses in ``path`` to ``prompts``, one for each id, in the file's order.

    These are at most ``config.max_responses``, to prompts of at most ``config.max_prompt_tokens``,
    and ``config.samples`` for each. Raises ``DataError`` where the target that answered is known
    and has another fingerprint than ``target``, or where it was asked something else under the id.
    """
    return itertools.islice(_answers(path, prompts, config, target), config.max_responses)


def _answers(
    path: Path, prompts: Sequence[Prompt], config: DataConfig, target: str
) -> Iterator[Response]:
    wanted = {
        sample_id(prompt.id, number): prompt
        for prompt in prompts
        for number in range(config.samples)
    }
    for response in read_responses(path):
        if response.target not in (None, target):
            raise DataError(
                f"{path} holds responses of another target: give the target that wrote them, or "
                "another folder."
            )
        prompt = wanted.get(response.id)
        if prompt is None or len(response.prompt_token_ids) > config.max_prompt_tokens:
            continue
        if not _answers_prompt(response, prompt):
            raise DataError(
                f"{path} holds a response to another prompt with the id of {prompt.name}: give "
                "the prompts it was made with, ids that are not in use, or another folder."
            )
        del wanted[response.id]
        yield response


def _answers_prompt(response: Response, prompt: Prompt) -> bool:
    """Whether the response was made for what the prompt asks, as far as that is known."""
    if response.asked is not None:
        return response.asked == prompt.digest
    return prompt.token_ids in (None, response.prompt_token_ids)
