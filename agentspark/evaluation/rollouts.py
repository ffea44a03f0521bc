"""Prompts answered with and without a contestant's drafts, in turn, on one engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from agentspark.drafting.proposal import Proposal
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions, Verify
from agentspark.engine.result import Completion
from agentspark.errors import RequestError
from agentspark.evaluation.contestants import Contestant
from agentspark.sampling.params import SamplingParams

BASELINE = Contestant("baseline", None, "off")
_WARM_UP = SamplingParams(max_tokens=16, ignore_eos=True)


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """One prompt as token ids, and the kind of work it stands for."""

    id: str
    kind: str
    token_ids: list[int]


@dataclass(slots=True)
class Acceptance:
    """How far verified drafts got.

    ``tried[k]`` counts rounds that decided draft ``k`` (all before it were kept), ``kept[k]``
    those that kept it.
    """

    tried: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)

    def note(self, verified: Proposal, decided: int, kept: int) -> None:
        """Add one round; a ``RoundWatcher``."""
        for counts, reached in ((self.tried, decided), (self.kept, kept)):
            counts.extend([0] * (len(verified) - len(counts)))
            for k in range(reached):
                counts[k] += 1


@dataclass(frozen=True, slots=True)
class Rollout:
    """A contestant's answer to one prompt at one temperature."""

    contestant: str
    prompt: EncodedPrompt
    temperature: float
    completion: Completion
    acceptance: Acceptance


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt's answers by all contestants of an engine, the baseline among them.

    ``error`` says why there are none: a prompt that fails for one counts for nobody.
    """

    prompt: EncodedPrompt
    temperature: float
    rollouts: dict[str, Rollout]
    error: str | None = None


def run_turns(
    engine: Engine,
    contestants: Sequence[Contestant],
    prompts: Sequence[EncodedPrompt],
    sampling: Callable[[float], SamplingParams],
    temperatures: Sequence[float],
    verify: Verify,
) -> Iterator[Turn]:
    """Answer every prompt cold: plainly and with each contestant, taking turns who goes first.

    One call at a time, so that a speed is that of a single stream.
    """
    runners = [BASELINE, *contestants]
    for contestant in runners:
        engine.generate(prompts[0].token_ids, _WARM_UP, options=_options(contestant, verify))
    for temperature in temperatures:
        params = sampling(temperature)
        for number, prompt in enumerate(prompts):
            first = number % len(runners)
            done: dict[str, Rollout] = {}
            error: str | None = None
            for contestant in [*runners[first:], *runners[:first]]:
                acceptance = Acceptance()
                try:
                    with engine.watch_rounds(acceptance.note):
                        answer = engine.generate(
                            prompt.token_ids, params, options=_options(contestant, verify)
                        )
                except RequestError as failure:
                    error = f"{contestant.name}: {failure}"
                    break
                name = contestant.name
                done[name] = Rollout(name, prompt, temperature, answer, acceptance)
            yield Turn(prompt, temperature, {} if error else done, error)


def _options(contestant: Contestant, verify: Verify) -> RequestOptions:
    return RequestOptions(speculation=contestant.speculation, verify=verify, share_prefix=False)
