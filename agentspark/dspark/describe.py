"""What a drafter is and what its file holds, in words for its card."""

from __future__ import annotations

from agentspark.dspark.config import DrafterConfig


def describe(config: DrafterConfig, *, standalone: bool = False) -> str:
    """Return one line of Markdown; a ``standalone`` file holds the target's matrices too."""
    head = ""
    if config.markov_rank:
        head = f"{config.markov_head_type} head of rank {config.markov_rank}, "
    drafted = "all tokens can be drafted"
    if config.draft_vocab_size:
        drafted = f"{config.draft_vocab_size} of {config.vocab_size} tokens can be drafted"
    return (
        f"{config.num_hidden_layers} draft layers, block of {config.block_size}, {head}"
        f"target layers {list(config.target_layer_ids)}, {drafted}. Embedding and LM head are the "
        f"target's and {'copied into' if standalone else 'not in'} the file."
    )
