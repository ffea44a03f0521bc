"""Putting an engine together: target, drafter, pool, costs, loop state."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from agentspark.config import EngineConfig
from agentspark.drafting.drafter import Drafter
from agentspark.drafting.guarded import GuardedDrafter
from agentspark.drafting.loading import fingerprint_of, load_for_target
from agentspark.dspark.costs import CostKey
from agentspark.engine.context import DrafterContext
from agentspark.engine.faults import Faults
from agentspark.engine.memory import KVMemory
from agentspark.engine.precision import DTYPES, device_of, dtype_of
from agentspark.engine.probe import rows_are_exact
from agentspark.engine.profiling import MOST_ROWS, EngineCosts
from agentspark.engine.proposing import Proposing
from agentspark.engine.runner import FlatRows, TargetRunner
from agentspark.engine.turn import Finish, Turn
from agentspark.errors import ConfigError
from agentspark.kv import attention
from agentspark.kv.blocks import BlockPool
from agentspark.kv.prefix import PrefixTree
from agentspark.kv.store import KVStore, LayerShape, bytes_per_token
from agentspark.models.cache import cache_folder
from agentspark.models.half import HalfLinear, fewest_half_rows, fits_half, half_rows, widen
from agentspark.models.modules import drop_weights
from agentspark.models.prepack import layout_of, prepack
from agentspark.models.target import Target, load_target

_log = logging.getLogger(__name__)
_PROCESS = os.getpid()

# What the pool may take: of the free memory on a GPU, of all memory on a CPU.
_GPU_SHARE = 0.8
_CPU_SHARE = 0.2
_CPU_TOKENS = 65_536


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of.

    ``fingerprint`` names the target's weights. ``exact`` is whether exact mode is on and holds
    here.
    """

    target: Target
    fingerprint: str
    drafter: Drafter | None
    store: KVStore
    turn: Turn
    costs: EngineCosts
    max_context: int
    exact: bool

    def release(self) -> None:
        """Give back the memory of the weights and of the pool.

        Whoever closes an engine to load another may well hold the first one still, and neither
        has to wait for Python to find that the rest is not needed.
        """
        self.turn.runner.close()
        self.store.release()
        drop_weights(self.target.model)
        if self.drafter is not None:
            self.drafter.release()


def assemble(
    model: str | Path, drafter: str | Path | None, config: EngineConfig, finish: Finish
) -> Parts:
    """Load and connect everything; see ``Engine.load`` for errors."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    elif os.getpid() != _PROCESS:
        # A forked child's pool of threads is made anew at its first use, which must be one thread's
        # alone: loading weights would come to it with several.
        torch.set_num_threads(torch.get_num_threads())
    attention.register()
    target = _load(model, config)
    half = dtype_of(config) == "float16"
    # Before the weights are packed: then they cannot be read any more.
    fingerprint = fingerprint_of(target)
    speculator = load_for_target(drafter, target, fingerprint)
    layout = layout_of(target.model, half=half)
    if layout is not None:
        prepack(target.model, layout)
    store = _make_store(target, speculator, config)
    runner = TargetRunner(
        target.model,
        store,
        exact=config.exact,
        feature_layers=() if speculator is None else speculator.config.target_layer_ids,
        row_multiple=half_rows() if half else None,
        fewest_rows=fewest_half_rows() if half and config.exact else 1,
    )
    pool = BlockPool(store.num_blocks, store.block_tokens)
    _first_pass(runner, pool)
    exact = config.exact and rows_are_exact(runner, pool, target.spec.vocab_size)
    if config.exact and not exact:
        _log.warning(
            "Exact mode cannot be kept on this device: a token's logits depend on how it is "
            "computed, so greedy outputs of two arms may part where the best tokens are close."
        )
    # CUDA reads blocks where they lie.
    copy = store.copy if target.spec.device.type == "cpu" else None
    memory = KVMemory(pool, PrefixTree(pool), copy)
    costs = _costs(target, speculator, config, runner, pool)
    guarded = None if speculator is None else GuardedDrafter(speculator)
    context = DrafterContext(guarded, pool.block_tokens)
    turn = Turn(
        memory=memory,
        runner=runner,
        context=context,
        proposing=Proposing(guarded, context, costs.table, memory),
        faults=Faults(store, memory),
        finish=finish,
        end_ids=target.spec.eos_token_ids,
        max_requests=config.max_requests,
        prefill_chunk=config.prefill_chunk,
    )
    limit = min(config.max_context or target.spec.max_context, target.spec.max_context)
    return Parts(target, fingerprint, speculator, store, turn, costs, limit, exact)


def _load(model: str | Path, config: EngineConfig) -> Target:
    """The target; in float16 its layers are packed already, its embedding and LM head are plain.

    Checkpoints have weights in 16 bits, which are never all in float32 then.
    """
    half = dtype_of(config) == "float16"
    target = load_target(
        model,
        dtype=None if half else DTYPES[dtype_of(config)],
        device=device_of(config),
        attn_implementation=attention.NAME,
        cache_dir=config.cache_dir,
        half=half,
    )
    if not half:
        return target
    if not fits_half(target.model):
        raise ConfigError(
            f"{target.name} has weights beyond float16's range: use dtype float32 or bfloat16."
        )
    prepack(target.model.get_decoder(), HalfLinear)
    widen(target.model)
    return replace(target, spec=replace(target.spec, dtype=torch.float32))


def _first_pass(runner: TargetRunner, pool: BlockPool) -> None:
    """Compute one token: a model that cannot be run says so here and not to its first request."""
    blocks, rows = pool.allocate(1), FlatRows()
    rows.add([0], 0, blocks)
    rows.logit_rows = [0]
    try:
        runner.forward(rows)
    finally:
        pool.release(blocks)


def _costs(
    target: Target,
    drafter: Drafter | None,
    config: EngineConfig,
    runner: TargetRunner,
    pool: BlockPool,
) -> EngineCosts:
    key = CostKey(
        model=target.name,
        device=str(target.spec.device),
        dtype=dtype_of(config),
        threads=torch.get_num_threads(),
        buckets=runner.buckets(MOST_ROWS),
        drafter=None if drafter is None else drafter.name,
        exact=config.exact,
    )
    return EngineCosts.load(key, cache_folder(config.cache_dir) / "costs", runner, drafter, pool)


def _make_store(target: Target, drafter: Drafter | None, config: EngineConfig) -> KVStore:
    spec = target.spec
    shapes = [
        LayerShape(layer.kv_heads, layer.head_dim) if layer.donor is None else layer.donor
        for layer in spec.attention
    ]
    draft_shapes = [] if drafter is None else drafter.kv_shapes
    per_token = bytes_per_token([*shapes, *draft_shapes], spec.dtype)
    tokens = config.kv_tokens or _default_tokens(per_token, spec.device)
    blocks = tokens // config.block_tokens
    if blocks < 2:
        raise ConfigError(
            f"The KV pool would hold {tokens} tokens, less than two blocks of "
            f"{config.block_tokens}: raise kv_tokens or free memory."
        )
    drafts = 0 if drafter is None else drafter.block_size
    if blocks * config.block_tokens < 2 * (drafts + 2):
        raise ConfigError(
            f"The KV pool would hold {tokens} tokens, too few for a drafter's block of {drafts}: "
            "raise kv_tokens, free memory, or do without the drafter."
        )
    store = KVStore(
        blocks,
        config.block_tokens,
        shapes,
        draft_shapes,
        dtype=spec.dtype,
        device=spec.device,
    )
    if drafter is not None:
        drafter.bind(store)
    return store


def _default_tokens(bytes_per_token: int, device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * _GPU_SHARE) // bytes_per_token
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(int(memory * _CPU_SHARE) // bytes_per_token, _CPU_TOKENS)
