"""The training loop: draw anchors, run blocks, step, log, save; it resumes where it was killed."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from agentspark.dspark.checkpoint import save_drafter
from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.model import DraftModel
from agentspark.errors import DivergedError, LostRankError, TrainError
from agentspark.train.anchors import Cursor, next_batch, step_anchors
from agentspark.train.blocks import run_blocks
from agentspark.train.config import DataConfig, OptimConfig
from agentspark.train.evaluate import OfflineTau
from agentspark.train.judge import measure
from agentspark.train.loss import LossParts, block_loss, column_map
from agentspark.train.meter import Meter
from agentspark.train.optimizer import MasterAdamW
from agentspark.train.ranks import Ranks
from agentspark.train.rows import Example, Rows
from agentspark.train.runlog import RunLog
from agentspark.train.settings import changed_settings, settings_of
from agentspark.train.source import ExampleSource, Splitter, split_source
from agentspark.train.state import STATE_FILE, RunState, load_state, save_state

Report = Callable[[float, dict[str, float]], None]

LOG_FILE = "run.jsonl"
DRAFTER_FOLDER = "drafter"


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one step learns from: sequences by their numbers, and the anchors in each."""

    numbers: list[int]
    anchors: list[Tensor]


class Trainer:
    """Trains one drafter on one source; files go to ``folder``.

    ``model`` has its target attached and computes in the run's dtype. ``folder/state.pt`` is the
    run's state, ``folder/run.jsonl`` its log and ``folder/drafter`` the drafter as last saved.
    ``split`` says what is trained and what is measured on (``None``: ``split_source``). Among
    several ``ranks``, each trains on ``sequences_per_step`` sequences and the first one writes.
    ``init`` is the digest of the weights that ``model`` begins with, where they were given: a run
    that began with others is not gone on with (``TrainError``). ``tell`` is called with what the
    user should know of a run that goes on, a sentence each; ``changes`` are the settings that
    changed since it began, for its card.
    """

    def __init__(
        self, model: DraftModel, source: ExampleSource, folder: Path,
        optim: OptimConfig, data: DataConfig, split: Splitter | None = None,
        ranks: Ranks | None = None, init: str | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.model, self.source, self.folder = model, source, folder
        self.drafter, self.init = folder / DRAFTER_FOLDER, init
        self.tell = tell or (lambda sentence: None)
        self.changes: list[str] = []
        self._broken: str | None = None
        self._noted: dict[str, Any] | None = None
        self.config, self.data = optim, data
        self.columns = column_map(model).to(model.backbone.fc.weight.device)
        self.optimizer = MasterAdamW(
            model, weight_decay=optim.weight_decay, clip=optim.clip, ema=optim.ema
        )
        self.ranks = ranks or Ranks()
        self.log = RunLog(folder / LOG_FILE, quiet=not self.ranks.first)
        self.cursor, self.elapsed_s, self.anchors = Cursor(), 0.0, 0
        self._split = split or (
            lambda known: split_source(known, data.held_out_every, data.held_out_most)
        )
        self.split = self._split(source)
        # True between the first changed weight of a step and its counting: no state to be saved.
        self._moving = False
        self._seen: _Batch | None = None
        self._resume()

    def _resume(self) -> None:
        state = load_state(self.folder / STATE_FILE)
        if state is None:
            return
        self._check_own(state)
        changes = []
        if state.settings is not None:
            changes = changed_settings(state.settings, self._settings(), state.cursor.step)
        self.optimizer.load_state_dict(state.optimizer)
        self.cursor, self.elapsed_s = state.cursor, state.elapsed_s
        self.anchors, self.init = state.anchors, state.init
        self.changes, self._broken = [*state.changes], state.broken
        self.log.write("resumed", step=self.cursor.step, elapsed_s=self.elapsed_s)
        if state.broken is not None:
            self.log.write("broken state", step=self.cursor.step, why=state.broken)
            self.tell(
                f"The state saved last in {self.folder} cannot be read ({state.broken}): the run "
                f"goes on from the one before it, at step {self.cursor.step}. Has the disk faults?"
            )
        if self.progress < 1.0:
            self._take_changes(changes)
        else:
            self._noted = state.settings  # those given now hold for nothing
            self.tell(
                f"This run has ended before, at step {self.cursor.step}: nothing is trained. It "
                "goes on with more steps or minutes."
            )

    def _take_changes(self, changes: Sequence[str]) -> None:
        """Note and tell settings that are others from here on."""
        for change in changes:
            self.log.write("changed", step=self.cursor.step, what=change)
            self.tell(change)
        self.changes += changes

    def _check_own(self, state: RunState) -> None:
        """Raise ``TrainError`` for the state of a run that this one cannot go on with."""
        if not _same_drafter(state.drafter, self.model.config) or state.seed != self.config.seed:
            raise TrainError(
                f"{self.folder} holds a run of another drafter or seed: give the settings it "
                "was started with, or another folder."
            )
        if state.dtype not in (None, self._dtype):
            raise TrainError(
                f"{self.folder} holds a run in {state.dtype}, and this one would go on in "
                f"{self._dtype}: give --dtype {state.dtype}, or another folder."
            )
        if state.draft_tokens not in (None, self._draft_tokens()):
            raise TrainError(
                f"the run in {self.folder} drafts other tokens than a drafter of the responses "
                "that are given, and its own is not there: give the prompts it was started with, "
                "or another folder."
            )
        if self.init is not None and self.init != state.init:
            raise TrainError(
                f"{self.folder} holds a run that did not begin with the drafter given to start "
                "from: go on without that (--init), or give another folder."
            )
        if state.cursor.size > len(self.split.train):
            raise TrainError(
                f"the run in {self.folder} was trained on {state.cursor.size} sequences and only "
                f"{len(self.split.train)} are there: give all the prompts it was started with, or "
                "put the missing features back."
            )
        if state.sequences not in (None, self._sequences(state.cursor.size)):
            raise TrainError(
                f"the run in {self.folder} was trained on other sequences than those that are "
                "given: give the prompts it was started with (more may come beside them), or "
                "another folder."
            )

    def _settings(self) -> dict[str, Any]:
        return settings_of(self.config, self.data, self.batch)

    def _sequences(self, count: int) -> str:
        """A digest of which sequences the first ``count`` to train on are."""
        ids = [self.source.entry(index).id for index in self.split.train[:count]]
        return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]

    def _draft_tokens(self) -> list[int] | None:
        ids = self.model.draft_token_ids
        return None if ids is None else ids.tolist()

    @property
    def _dtype(self) -> str:
        return str(self.model.backbone.fc.weight.dtype).removeprefix("torch.")

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1."""
        share = self.cursor.step / self.config.steps
        if self.config.minutes is not None:
            share = max(share, self.elapsed_s / (60.0 * self.config.minutes))
        return min(share, 1.0)

    def learning_rate(self) -> float:
        """Return the rate of the next step: linear warm-up, then a cosine."""
        c, done = self.config, self.progress
        if done < c.warmup:
            # The first steps of a run have no progress yet, and a rate of zero would lose them.
            return c.lr * max(done / c.warmup, 0.02)
        angle = math.pi * (done - c.warmup) / (1.0 - c.warmup)
        return c.lr * (c.final_lr + (1.0 - c.final_lr) * 0.5 * (1.0 + math.cos(angle)))

    def run(self, report: Report | None = None) -> OfflineTau:
        """Train to the end, and measure; ``report`` gets the progress and the log's numbers.

        Raises ``DivergedError`` where the loss or the gradient stops being finite; the state and
        the drafter saved before stay, whose loss is finite. A ``KeyboardInterrupt`` and a
        ``LostRankError`` save, unless they come while the weights are being changed, and pass on.
        """
        if not self.split.train:
            raise TrainError(
                "there is no response of two tokens or more to train on: give more prompts, or "
                "let answers be longer (max_tokens)."
            )
        if self.ranks.agree(self.cursor.step) != self.cursor.step:
            raise TrainError(
                f"this process goes on from step {self.cursor.step} and the first one does not: a "
                f"state in {self.folder} cannot be read by all of them. See to the disk, and start "
                "again."
            )
        meter = Meter(self.model.config.block_size)
        saved = measured = self.elapsed_s
        try:
            while self.progress < 1.0:
                began = time.monotonic()
                self._step(meter)
                self.elapsed_s = self.ranks.agree(self.elapsed_s + time.monotonic() - began)
                if self.cursor.step % self.config.log_every == 0:
                    numbers = meter.take()
                    self.log.write(
                        "step", step=self.cursor.step, epoch=self.cursor.epoch,
                        elapsed_s=self.elapsed_s, lr=self.learning_rate(), **numbers,
                    )  # fmt: skip
                    if report is not None:
                        report(self.progress, numbers)
                if self.elapsed_s - saved >= self.config.checkpoint_every_s:
                    self.save()
                    saved = self.elapsed_s
                if self.elapsed_s - measured >= self.config.evaluate_every_s:
                    self.measure()
                    measured = self.elapsed_s
        except (KeyboardInterrupt, LostRankError):
            if not self._moving:
                self._save_at_last()
            raise
        self.save()
        return self.measure()

    @property
    def batch(self) -> int:
        """Sequences of one step, over all ranks."""
        return self.config.sequences_per_step * self.ranks.world

    def _step(self, meter: Meter) -> None:
        c, before = self.config, self.cursor
        if before.position + self.batch > before.size:
            self.source.refresh()
            self.split = self._split(self.source)
        few = min(self.batch, len(self.split.train))
        chosen, after = next_batch(before, c.seed, few, len(self.split.train))
        # Where there are fewer sequences than ranks, some of them see the same one.
        mine = chosen[self.ranks.rank :: self.ranks.world] or chosen[-1:]
        numbers = [self.split.train[i] for i in mine]
        examples = self.source.examples(numbers)
        anchors: list[Tensor] = [
            step_anchors(
                (c.seed, before.step, i), e.first, e.start, e.tokens.numel(),
                c.anchors_per_sequence, c.prompt_anchors,
            )
            for i, e in zip(numbers, examples, strict=True)
        ]  # fmt: skip
        self._seen = _Batch(numbers, anchors)
        rows, parts = self._losses(examples, anchors)
        parts.total.backward()
        self.ranks.average(self.optimizer.params)
        norm = math.nan
        self._moving = True
        if bool(torch.isfinite(parts.total.detach())):
            norm = self.optimizer.step(self.learning_rate())
        if not math.isfinite(norm):
            raise self._diverged(numbers, examples)
        meter.add(parts, rows.valid, norm)
        self.anchors += sum(a.numel() for a in anchors) * self.ranks.world
        self.cursor = after
        self._moving = False

    def _losses(
        self, examples: Sequence[Example], anchors: Sequence[Tensor]
    ) -> tuple[Rows, LossParts]:
        rows = run_blocks(self.model, examples, anchors)
        return rows, block_loss(self.model, examples, rows, self.columns, self.config.loss)

    @torch.no_grad()
    def _check(self) -> None:
        """Raise ``DivergedError`` where the weights, or what is written of them, lead nowhere.

        A step's loss tells of the weights that it began with. What it made of them would only show
        at the next one, with the good state before it written over.
        """
        seen = self._seen
        if seen is None:  # the weights are as they were loaded
            return
        examples = self.source.examples(seen.numbers)
        for shown in (nullcontext(), self.optimizer.written()):
            with shown:
                total = self._losses(examples, seen.anchors)[1].total
            if not bool(torch.isfinite(total)):
                raise self._diverged(seen.numbers, examples)

    def _diverged(self, numbers: list[int], examples: Sequence[Example]) -> DivergedError:
        """Log and return what to raise for a loss on these sequences, with what to do about it."""
        self.log.write("diverged", step=self.cursor.step, sequences=numbers)
        broken = [i for i, e in zip(numbers, examples, strict=True) if not e.finite]
        advice = "Lower the learning rate and start again"
        if broken:
            names = ", ".join(self.source.entry(i).id for i in broken)
            advice = (
                f"The target's states of {names} are not finite: delete the stored features, to "
                "have them computed again, or leave these prompts out"
            )
        kept = "nothing was saved before"
        if (self.folder / STATE_FILE).exists():
            kept = f"the state saved before is kept in {self.folder}"
        return DivergedError(
            f"the loss is not finite at step {self.cursor.step} (sequences {numbers}): "
            f"{kept}. {advice}."
        )

    def _save_at_last(self) -> None:
        """Save; an interruption that comes meanwhile has to come twice.

        Where one of several processes ends, the others are told to while they save.
        """
        try:
            self.save()
        except KeyboardInterrupt:
            self.save()

    def save(self) -> None:
        """Write the state and the drafter as they are now (the first rank does).

        Raises ``DivergedError`` for weights that would only be gone on with to that.
        """
        if not self.ranks.first:
            return
        self._check()
        save_state(
            RunState(
                cursor=self.cursor,
                elapsed_s=self.elapsed_s,
                anchors=self.anchors,
                seed=self.config.seed,
                drafter=self.model.config.to_json(),
                optimizer=self.optimizer.state_dict(),
                init=self.init,
                sequences=self._sequences(self.cursor.size),
                draft_tokens=self._draft_tokens(),
                dtype=self._dtype,
                settings=self._noted or self._settings(),
                changes=self.changes,
                broken=self._broken,
            ),
            self.folder / STATE_FILE,
        )
        self._broken = None
        try:
            with self.optimizer.written():
                save_drafter(self.model, self.drafter)
        except (OSError, SafetensorError) as error:
            raise TrainError(
                f"the drafter cannot be written to {self.folder} ({error}): free some disk and "
                "start again; the run goes on from its saved state."
            ) from error

    def measure(self) -> OfflineTau:
        """Measure accepted length on the held-out sequences and log it."""
        tau = self.measure_on(self.split.held_out)
        self.log.write(
            "evaluation", step=self.cursor.step, elapsed_s=self.elapsed_s,
            sequences=len(self.split.held_out), tau_greedy=tau.greedy, tau_sampled=tau.sampled,
            conditional=tau.conditional, conditional_greedy=tau.conditional_greedy,
        )  # fmt: skip
        return tau

    def measure_on(self, numbers: Sequence[int]) -> OfflineTau:
        """Measure the drafter, as it is written, on some of the source's sequences."""
        with self.optimizer.written():
            return measure(self.model, self.source, numbers)


def _same_drafter(saved: Mapping[str, object], config: DrafterConfig) -> bool:
    """Whether a state's drafter has this config, but for a note on how it was trained."""
    return {**saved, "num_anchors": None} == {**config.to_json(), "num_anchors": None}
