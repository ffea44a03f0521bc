"""What the measurements work with: one engine, prompts, transcripts, settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

from agentspark.cli.arms import arm_options
from agentspark.cli.transcripts import Transcript, read_transcripts
from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.sampling.params import SamplingParams
from agentspark.trace.record import ARMS
from benchmarks.pairs import Pair, run_pairs
from benchmarks.prompts import Prompt, read_prompts

DATA = Path(__file__).parent / "data"

_WARM_UP_TOKENS = 16
# Enough for one long request and its branches; the main engine's pool is as large as by default.
FRESH_KV_TOKENS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is measured and how much of it.

    ``limit`` bounds the prompts and the transcripts, ``max_tokens`` every answer. ``repeats`` is
    how often each prompt runs in each arm. ``config`` is the engine's. ``families`` are
    checkpoints to compare with each other.
    """

    model: str | Path = "smollm2"
    drafter: str | Path | None = "auto"
    prompts: Path = DATA / "prompts.jsonl"
    transcripts: Path = DATA / "transcripts.jsonl"
    limit: int | None = None
    repeats: int = 1
    max_tokens: int = 128
    config: EngineConfig = dataclasses.field(default_factory=EngineConfig)
    families: tuple[Path, ...] = ()


class Bench:
    """The engine that the arms share, warmed up, and the work for it. A context manager.

    Every call of the engine is traced to ``trace``, in both arms alike.
    """

    def __init__(self, settings: Settings, trace: Path) -> None:
        """Read the files first, so that a wrong one costs no loading."""
        self.settings = settings
        self.trace = trace
        self.transcripts: list[Transcript] = read_transcripts(settings.transcripts)
        self.transcripts = self.transcripts[: settings.limit]
        self.engine = Engine.load(
            settings.model, drafter=settings.drafter, config=settings.config, trace=trace
        )
        try:
            tokenizer = self.engine.target.tokenizer
            self.prompts = read_prompts(settings.prompts, tokenizer, settings.limit)
            warm_up(self.engine, self.prompts[0])
        except BaseException:
            self.engine.close()
            raise

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every prompt answered in both arms; run once, read by several measurements."""
        return run_pairs(self.engine, self.prompts, self.sampling(), self.settings.repeats)

    def sampling(self, *, ignore_eos: bool = False) -> SamplingParams:
        """Greedy, up to ``max_tokens``."""
        return SamplingParams(max_tokens=self.settings.max_tokens, ignore_eos=ignore_eos)

    def fresh_engine(self, *, exact: bool = True) -> Engine:
        """A second engine of the same model with an empty, smaller pool; the caller closes it."""
        settings = self.settings
        config = dataclasses.replace(settings.config, exact=exact, kv_tokens=FRESH_KV_TOKENS)
        return Engine.load(settings.model, drafter=settings.drafter, config=config)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def warm_up(engine: Engine, prompt: Prompt) -> None:
    """Let an engine make its kernels and touch its memory before anything is timed."""
    sampling = SamplingParams(max_tokens=_WARM_UP_TOKENS, ignore_eos=True)
    for arm in ARMS:
        options = arm_options(arm, cache_salt="warm-up")
        engine.generate(prompt.token_ids, sampling, options=options)
