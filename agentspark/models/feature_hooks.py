"""Hidden states of chosen layers, kept by hooks while the target runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from torch import Tensor, nn
from transformers import PreTrainedModel

from agentspark.errors import CHOOSE_ANOTHER_MODEL, UnsupportedModelError
from agentspark.models.modules import decoder_layers


class FeatureHooks:
    """Keeps what chosen layers put out in the latest forward, at no cost that can be measured.

    ``layer_ids`` are 0-based decoder layers (their output is kept), -1 the embedding's output.
    They stay on the model until ``remove``, or the end of a ``with`` block.
    """

    def __init__(self, model: PreTrainedModel, layer_ids: Sequence[int]) -> None:
        self._layer_ids = tuple(layer_ids)
        self._kept: dict[int, Tensor] = {}
        layers = decoder_layers(model)
        embedding = model.get_decoder().get_input_embeddings()
        self._handles = [
            (embedding if i == -1 else layers[i]).register_forward_hook(self._keeper(i))
            for i in self._layer_ids
        ]

    def states(self) -> list[Tensor]:
        """The outputs ``[B, S, d]`` of the latest forward, in the order of ``layer_ids``."""
        return [self._kept[i] for i in self._layer_ids]

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> FeatureHooks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def _keeper(self, layer: int) -> Callable[[nn.Module, object, object], None]:
        def keep(module: nn.Module, _args: object, output: object) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            if not isinstance(hidden, Tensor):
                raise UnsupportedModelError(
                    f"Layers of the kind {type(module).__name__} do not put out hidden states, "
                    f"which drafters need. {CHOOSE_ANOTHER_MODEL}"
                )
            self._kept[layer] = hidden

        return keep
