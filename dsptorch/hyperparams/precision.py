"""Keep tensors in float32 at least when a model is cast to half precision."""

from collections.abc import Callable

from torch import Tensor

__all__ = ["at_least_float32"]


def at_least_float32(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Wrap a conversion of `Module._apply` so that it moves tensors but does not cast them below float32."""

    def convert(tensor: Tensor) -> Tensor:
        converted = fn(tensor)
        if converted.is_floating_point() and converted.dtype.itemsize < 4:
            return tensor.to(device=converted.device)
        return converted

    return convert
