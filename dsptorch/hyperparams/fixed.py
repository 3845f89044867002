"""A hyperparameter that no longer learns."""

from collections.abc import Callable

from torch import Tensor, nn

from dsptorch.functional.validate import has_values
from dsptorch.hyperparams.precision import at_least_float32

__all__ = ["FixedHyperparam"]


class FixedHyperparam(nn.Module):
    """A constant in the place of a `BoundedHyperparam`, for inference.

    Calling the module returns the value, as for the hyperparameter. The value is a buffer: it is in the state dict,
    moves with the model, and stays in float32 when the model is cast to half precision.

    Args:
        value: The value, without a graph.

    Example:
        >>> import torch
        >>> fixed = FixedHyperparam(torch.tensor([0.4]))
        >>> fixed, fixed.half()()
        (FixedHyperparam(0.4), tensor([0.4000]))
    """

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def forward(self) -> Tensor:
        """Return the value."""
        return self.value.clone()  # the caller may change it in place

    def extra_repr(self) -> str:  # noqa: D102
        if not has_values(self.value):
            return "?"
        shape = "" if self.value.numel() == 1 else f", shape={tuple(self.value.shape)}"
        return f"{'mean ' if shape else ''}{self.value.mean().item():.4g}{shape}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FixedHyperparam":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self
