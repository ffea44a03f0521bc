"""Sequential temperature scaling on real rounds: what the confidence head says, and what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from agentspark.drafting.dspark import DSparkDrafter
from agentspark.drafting.proposal import Proposal
from agentspark.dspark.calibration import Reliability, Temperatures, evaluate, fit
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions, SamplingParams
from agentspark.errors import TrainError

# A probability of 0 or 1 has no finite logit.
_EDGE = 1e-6
_FEWEST_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted temperatures, and survival estimates judged before and after, by position."""

    temperatures: Temperatures
    before: list[Reliability]
    after: list[Reliability]
    rounds: int


def calibrate(
    engine: Engine, prompts: Sequence[Sequence[int]], *, max_tokens: int = 64
) -> Calibration:
    """Fit the temperatures of the engine's drafter on greedy rounds over ``prompts``.

    Half of the rounds are fitted on, the other half is judged. Verification is full, so that every
    position's outcome is known. Raises ``TrainError`` where there is no drafter, its confidences
    are missing or scaled already, or the prompts give too few rounds.
    """
    drafter = engine.drafter
    if drafter is None:
        raise TrainError("There is nothing to calibrate: load the engine with a drafter.")
    if not isinstance(drafter, DSparkDrafter) or not drafter.confident:
        raise TrainError(
            f"The drafter {drafter.name} is of family {drafter.config.family} and has no "
            "confidence head: there is nothing to calibrate."
        )
    if drafter.temperatures != Temperatures.ones(drafter.block_size):
        raise TrainError(
            "The drafter is calibrated already: remove its calibration.json to start anew."
        )
    logits, accepted = _rollouts(engine, prompts, max_tokens)
    rounds = logits.shape[0]
    if rounds < _FEWEST_ROUNDS:
        raise TrainError(
            f"Only {rounds} rounds were drafted, {_FEWEST_ROUNDS} are needed: give more prompts "
            "or more tokens each."
        )
    odd = torch.arange(rounds) % 2 == 1
    temperatures = fit(logits[odd], accepted[odd])
    plain = Temperatures.ones(drafter.block_size)
    return Calibration(
        temperatures,
        evaluate(plain.survival(logits[~odd]), accepted[~odd]),
        evaluate(temperatures.survival(logits[~odd]), accepted[~odd]),
        rounds,
    )


def _rollouts(
    engine: Engine, prompts: Sequence[Sequence[int]], max_tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidence logits ``[N, block]`` and accepted counts ``[N]`` of whole rounds."""
    drafts: list[list[float]] = []
    kept: list[int] = []
    block = engine.drafter.block_size if engine.drafter is not None else 0

    def note(draft: Proposal, accepted: int, decided: bool) -> None:
        if decided and len(draft) == block:
            drafts.append(draft.survival)
            kept.append(accepted)

    sampling = SamplingParams(max_tokens=max_tokens)
    options = RequestOptions(speculation="dspark", verify="full", share_prefix=False)
    with engine.watch_drafts(note):
        for prompt in prompts:
            engine.generate(prompt, sampling, options=options)
    survival = torch.tensor(drafts, dtype=torch.float64).reshape(-1, block)
    before = torch.cat([torch.ones_like(survival[:, :1]), survival[:, :-1]], dim=1)
    conditional = (survival / before.clamp(min=_EDGE)).clamp(_EDGE, 1.0 - _EDGE)
    return torch.logit(conditional), torch.tensor(kept)
