"""A layer and its folded twin, which follows it."""

import torch

from dsptorch.layers import Layer, fold_layer


class Live:
    """A layer that is run in chunks: as it is where gradients are recorded, folded where not.

    Its weights fold once, and again when one of them has changed.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._folded: Layer | None = None
        self._made_of: list[tuple[int, int]] = []

    def present(self) -> Layer:
        """What to run now."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.layer
        made_of = [(tensor.data_ptr(), _version(tensor)) for tensor in self._tensors()]
        if self._folded is None or made_of != self._made_of:
            self._folded, self._made_of = fold_layer(self.layer, keep_states=True), made_of
        return self._folded

    def _tensors(self) -> list[torch.Tensor]:
        return [*self.layer.parameters(), *self.layer.buffers()]


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
