"""Cache the result of a function of weights until the weights change."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._pytree import tree_map_only

__all__ = ["Memo", "is_readable", "is_transformed"]


class Memo:
    """Caches the result of a function of weights, and computes it again when the value of a weight has changed.

    Weights are compared by value, because identity and version do not show writes through `.data` or by fused
    optimizers. Nothing is cached while gradients are enabled, in inference mode, or for weights outside the CPU, where
    the comparison would wait for the device. A cached result shares no memory with a weight; do not change it in place.

    Example:
        >>> memo, weight = Memo(), torch.ones(2)
        >>> with torch.no_grad():
        ...     first, again = (memo(lambda: 2 * weight, [weight]) for _ in range(2))
        >>> first is again
        True
    """

    def __init__(self) -> None:
        self._kept: tuple[list[Any], Any] | None = None

    def __call__(self, compute: Callable[[], Any], weights: Sequence[Any]) -> Any:
        """Return the result for these weights (tensors, floats and dtypes)."""
        if torch.is_grad_enabled() or is_transformed() or torch.is_inference_mode_enabled():
            return compute()
        kept = self._kept
        if kept is not None and len(kept[0]) == len(weights) and all(map(_equal, weights, kept[0])):
            return kept[1]
        result = compute()
        if all(map(_is_comparable, weights)):
            result = tree_map_only(Tensor, torch.clone, result)  # the result may be a view of a weight
            self._kept = [w.clone() if isinstance(w, Tensor) else w for w in weights], result
        return result

    def holds(self, result: Any) -> bool:
        """Whether a result is the cached one."""
        return self._kept is not None and self._kept[1] is result

    def __deepcopy__(self, memo: object) -> "Memo":
        return Memo()

    def __reduce__(self) -> tuple[Any, ...]:
        return Memo, ()


def is_readable(weight: Any) -> bool:
    """Whether the value of a weight may decide which operations run: on the CPU, with nothing tracing them."""
    return _is_comparable(weight) and not is_transformed()


def is_transformed() -> bool:
    """Whether operations are traced, in forward-mode AD, under vmap, counted, or run on fake tensors."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or forward_ad._current_level >= 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _is_comparable(weight: Any) -> bool:
    if isinstance(weight, (float, torch.dtype)):
        return True
    return type(weight) in (Tensor, torch.nn.Parameter) and weight.is_cpu


def _equal(weight: Any, kept: Any) -> bool:
    if not (isinstance(weight, Tensor) and isinstance(kept, Tensor)):
        return type(weight) is type(kept) and bool(weight == kept)
    return _is_comparable(weight) and weight.dtype == kept.dtype and torch.equal(weight, kept)
