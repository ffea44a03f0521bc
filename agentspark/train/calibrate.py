"""Calibration on real rounds: what the confidence head says, and what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from agentspark.drafting.dspark import DSparkDrafter
from agentspark.drafting.proposal import Proposal
from agentspark.dspark.calibration import Reliability, Temperatures, evaluate, fit
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.errors import TrainError
from agentspark.sampling.params import SamplingParams

# A probability of 0 or 1 has no finite logit.
_EDGE = 1e-6
_FEWEST_ROUNDS = 50

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted temperatures and biases, and survival estimates judged before and after.

    ``temperatures`` are fitted on all rounds. ``before`` and ``after`` hold a judgement per
    position on one half of the prompts, ``after`` by a fit on the other half alone.
    """

    temperatures: Temperatures
    before: list[Reliability]
    after: list[Reliability]
    fitted_on: int
    judged_on: int

    @property
    def rounds(self) -> int:
        """All rounds."""
        return self.fitted_on + self.judged_on


def calibrate(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int = 64,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the engine's drafter on greedy rounds over ``prompts``, and judge it.

    Every other prompt belongs to the half that is judged on: rounds of one prompt are too much
    alike to be on both sides. Verification is full, so that every position's outcome is known.
    Raises ``TrainError`` where there is no drafter, its confidences are scaled already, or the
    prompts give too few rounds.
    """
    drafter = engine.drafter
    if drafter is None:
        raise TrainError("There is nothing to calibrate: load the engine with a drafter.")
    if not isinstance(drafter, DSparkDrafter) or not drafter.confident:
        raise TrainError(
            f"The drafter {drafter.name} is of family {drafter.config.family} and has no "
            "confidence head: there is nothing to calibrate."
        )
    plain = Temperatures.ones(drafter.block_size)
    if drafter.temperatures != plain:
        raise TrainError(
            "The drafter is calibrated already: remove its calibration.json to start anew."
        )
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(prompts))

    fitting = _rollouts(engine, prompts[::2], max_tokens, count)
    judging = _rollouts(engine, prompts[1::2], max_tokens, count)
    sizes = [accepted.numel() for _, accepted in (fitting, judging)]
    if min(sizes) < _FEWEST_ROUNDS // 2:
        raise TrainError(
            f"Only {sum(sizes)} rounds were drafted, {_FEWEST_ROUNDS} are needed, half of them in "
            "every other prompt: give more prompts or more tokens each."
        )
    half = fit(*fitting)
    logits, accepted = judging
    return Calibration(
        fit(*(torch.cat(pair) for pair in zip(fitting, judging, strict=True))),
        evaluate(plain.survival(logits), accepted),
        evaluate(half.survival(logits), accepted),
        *sizes,
    )


def _rollouts(
    engine: Engine, prompts: Sequence[Sequence[int]], max_tokens: int, count: Callable[[], None]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidence logits ``[N, block]`` and accepted counts ``[N]`` of whole rounds.

    All prompts are in flight at once, as many as the engine takes; ``count`` is called after each.
    """
    drafts: list[list[float]] = []
    kept: list[int] = []
    block = engine.drafter.block_size if engine.drafter is not None else 0

    def note(draft: Proposal, accepted: int, decided: bool) -> None:
        if decided and len(draft) == block:
            drafts.append(draft.survival)
            kept.append(accepted)

    sampling = SamplingParams(max_tokens=max_tokens)
    options = RequestOptions(speculation="dspark", verify="full", share_prefix=False)
    requests = [
        Request(prompt_token_ids=list(prompt), sampling=sampling, options=options)
        for prompt in prompts
    ]
    with engine.watch_drafts(note):
        handles = [engine.submit(request) for request in requests]
        try:
            for handle in handles:
                handle.result()
                count()
        finally:
            for handle in handles:
                handle.cancel()
    survival = torch.tensor(drafts, dtype=torch.float64).reshape(-1, block)
    before = torch.cat([torch.ones_like(survival[:, :1]), survival[:, :-1]], dim=1)
    conditional = (survival / before.clamp(min=_EDGE)).clamp(_EDGE, 1.0 - _EDGE)
    return torch.logit(conditional), torch.tensor(kept)
