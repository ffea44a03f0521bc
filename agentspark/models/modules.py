"""The parts of a target that drafting and training read: its matrices, its layers, its cap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentspark.errors import CHOOSE_ANOTHER_MODEL, UnsupportedModelError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def target_matrices(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Return the target's embedding and LM head, both ``[V, d]``, its weights still plain.

    Raises ``UnsupportedModelError`` where one of them is no plain matrix.
    """
    from torch import Tensor

    found = []
    for part, module in (
        ("embedding", model.get_input_embeddings()),
        ("LM head", model.get_output_embeddings()),
    ):
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor):
            raise UnsupportedModelError(
                f"{type(model).__name__} cannot be run: it has no plain {part} to draft with. "
                f"{CHOOSE_ANOTHER_MODEL}"
            )
        found.append(weight)
    return found[0], found[1]


def decoder_layers(model: PreTrainedModel, name: str | None = None) -> nn.ModuleList:
    """Return the target's decoder layers, in order; the model may be on the meta device.

    Raises ``UnsupportedModelError``, which calls the target ``name``, where they are not all in
    the decoder's ``layers``.
    """
    from torch import nn

    layers: Any = getattr(model.get_decoder(), "layers", None)
    if not isinstance(layers, nn.ModuleList) or len(layers) != model.config.num_hidden_layers:
        raise UnsupportedModelError(
            f"{name or type(model).__name__} cannot be run: its layers are not found. "
            f"{CHOOSE_ANOTHER_MODEL}"
        )
    return layers


def drop_weights(model: nn.Module) -> None:
    """Give back the memory of a model that will not be called again, whoever still holds it."""
    from agentspark.models.half import HalfLinear

    for module in model.modules():
        if isinstance(module, HalfLinear):
            module.drop_weights()
        for tensors in (module._parameters, module._buffers):
            for name in tensors:
                tensors[name] = None


def logit_cap(model: PreTrainedModel) -> float | None:
    """Return what the target caps its logits at, if it does (``c tanh(z / c)``)."""
    cap = getattr(model.config, "final_logit_softcapping", None)
    return None if cap is None else float(cap)
