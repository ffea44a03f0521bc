"""What the engine is still to be asked: a request for every response that is not there yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from agentspark.engine.engine import Engine
from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.request import Request
from agentspark.prompts.encoding import encode_prompt, leaves_room
from agentspark.prompts.left_out import LeftOut
from agentspark.prompts.prompt import Prompt
from agentspark.sampling.params import SamplingParams
from agentspark.train.config import DataConfig
from agentspark.train.responses import sample_id


@dataclass(frozen=True, slots=True)
class Job:
    """A response to be made: its id, the prompt it answers, and what the engine is asked."""

    name: str
    prompt: Prompt
    request: Request


def make_jobs(
    engine: Engine,
    prompts: Sequence[Prompt],
    config: DataConfig,
    seed: int,
    done: Collection[str],
    left_out: LeftOut,
) -> Iterator[Job]:
    """Yield the jobs of ``prompts``, in order, but those whose response's id is in ``done``.

    Prompts that cannot be used, or are equal to one before token for token, are counted in
    ``left_out`` as they are come upon.
    """
    seen = set[tuple[int, ...]]()
    for index, prompt in enumerate(prompts):
        ids = encode_prompt(engine, prompt, left_out, longest=config.max_prompt_tokens)
        if ids is None:
            continue
        temperatures = config.sample_temperatures(index)
        names = [sample_id(prompt.id, number) for number in range(len(temperatures))]
        missing = [number for number, name in enumerate(names) if name not in done]
        if missing and tuple(ids) in seen:
            left_out.add(prompt, "equal to another token for token")
            continue
        seen.add(tuple(ids))
        if not missing or not leaves_room(engine, prompt, ids, left_out, config.max_tokens):
            continue
        for number in missing:
            sampling = SamplingParams(
                max_tokens=config.max_tokens,
                temperature=temperatures[number],
                seed=seed * 1_000_003 + index + number * 998_244_353,
            )
            request = Request(
                prompt_token_ids=ids,
                sampling=sampling,
                options=RequestOptions(share_prefix=config.samples > 1),
                labels=Labels(run="train", step_name=names[number]),
            )
            yield Job(names[number], prompt, request)
