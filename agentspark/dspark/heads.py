"""The sequential stage: a low-rank bias on a slot's logits from the token drafted before it.

With ``e = W1[x_{k-1}]`` and the backbone's hidden state ``h_k``:

- ``vanilla``  ``B = W2 e``
- ``gated``    ``B = W2 (sigmoid(G [h_k; e]) * e)``
- ``rnn``      ``[g; c; o] = J [s; e; h_k]``, ``s' = sig(g) s + (1 - sig(g)) tanh(c)``,
  ``B = W2 tanh(o)``, state ``s`` zero at the start of a block.

Every head is ``W2`` on a latent of ``r`` numbers, so a head is told by its latent alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agentspark.dspark.config import DrafterConfig

State = Tensor | None


class MarkovHead(nn.Module):
    """The vanilla head, and what all heads share.

    ``markov_w1`` has a row per target token, or (``markov_w1_pruned``) one per draftable token
    and a last one for all others: those can only be the anchor, never a draft, and each is too
    rare to learn a row of its own. ``rows [V]`` maps a target token to its row.
    """

    rows: Tensor | None

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        count = config.draft_vocab + 1 if config.markov_w1_pruned else config.vocab_size
        self.markov_w1 = nn.Embedding(count, config.markov_rank)
        self.markov_w2 = nn.Linear(config.markov_rank, config.draft_vocab, bias=False)
        rows = None
        if config.markov_w1_pruned:
            rows = torch.full((config.vocab_size,), config.draft_vocab, dtype=torch.int64)
        self.register_buffer("rows", rows, persistent=False)

    def map_rows(self, draft_token_ids: Tensor) -> None:
        """Set which target tokens have a row of their own, in draft-vocabulary order."""
        if self.rows is not None:
            self.rows.fill_(draft_token_ids.numel())
            order = torch.arange(draft_token_ids.numel(), device=self.rows.device)
            self.rows[draft_token_ids.to(self.rows.device)] = order

    def previous(self, prev_tokens: Tensor) -> Tensor:
        """Return ``e = W1[x]``, ``[..., r]``, for target token ids of any shape."""
        rows = prev_tokens if self.rows is None else self.rows[prev_tokens]
        out: Tensor = self.markov_w1(rows)
        return out

    def start(self, batch: int) -> State:
        """Return the state before the first draft of ``batch`` blocks."""
        return None

    def latent(self, embedded: Tensor, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what ``W2`` is applied to, ``[..., r]``, and the next state."""
        return embedded, None

    def step(self, prev_tokens: Tensor, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the bias ``[B, V_draft]`` after ``prev_tokens [B]`` and the next state.

        ``hidden [B, d]`` is the backbone's state of the slot being drafted.
        """
        latent, state = self.latent(self.previous(prev_tokens), hidden, state)
        return self.markov_w2(latent), state

    def block_latent(self, prev_tokens: Tensor, hidden: Tensor) -> Tensor:
        """Return the latents ``[N, K, r]`` of whole blocks with known previous tokens.

        ``prev_tokens [N, K]`` are target ids, ``hidden [N, K, d]``.
        """
        embedded = self.previous(prev_tokens)
        state, out = self.start(prev_tokens.shape[0]), []
        for k in range(prev_tokens.shape[1]):
            latent, state = self.latent(embedded[:, k], hidden[:, k], state)
            out.append(latent)
        return torch.stack(out, dim=1)

    def block_bias(self, prev_tokens: Tensor, hidden: Tensor) -> Tensor:
        """Return the teacher-forced biases ``[N, K, V_draft]`` of whole blocks."""
        out: Tensor = self.markov_w2(self.block_latent(prev_tokens, hidden))
        return out


class GatedHead(MarkovHead):
    """The vanilla head with a gate that looks at the hidden state."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__(config)
        self.gate_proj = nn.Linear(config.hidden_size + config.markov_rank, config.markov_rank)

    def latent(self, embedded: Tensor, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the gated embedding; there is no state."""
        gate = torch.sigmoid(self.gate_proj(torch.cat((hidden, embedded), dim=-1)))
        return gate * embedded, None


class RNNHead(MarkovHead):
    """A recurrent head: it sees the whole drafted prefix, not the last token alone."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__(config)
        rank = config.markov_rank
        self.joint_proj = nn.Linear(2 * rank + config.hidden_size, 3 * rank)

    def start(self, batch: int) -> State:
        """Return zero states ``[batch, r]``."""
        weight = self.markov_w1.weight
        return weight.new_zeros(batch, weight.shape[1])

    def latent(self, embedded: Tensor, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the output latent and the next state."""
        if state is None:
            state = torch.zeros_like(embedded)
        joint = self.joint_proj(torch.cat((state, embedded, hidden), dim=-1))
        gate, candidate, output = joint.chunk(3, dim=-1)
        gate = torch.sigmoid(gate)
        return torch.tanh(output), gate * state + (1.0 - gate) * torch.tanh(candidate)


def build_head(config: DrafterConfig) -> MarkovHead | None:
    """Return the head a config asks for; ``None`` where ``markov_rank`` is 0 (DFlash)."""
    if config.markov_rank == 0:
        return None
    kinds = {"vanilla": MarkovHead, "gated": GatedHead, "rnn": RNNHead}
    return kinds[config.markov_head_type](config)
