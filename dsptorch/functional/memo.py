"""What is computed from weights once, as long as they do not change."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["Memo"]


class Memo:
    """The result of a function of some weights, computed again when the value of one of them has changed.

    The weights are compared by value, not by identity or version, which in-place changes of `.data` and fused
    optimizers leave as they are. Nothing is remembered where the result has a derivative, or where comparing would
    cost more than it saves: on an accelerator it would wait for the device.

    Example:
        >>> memo, weight = Memo(), torch.ones(2)
        >>> with torch.no_grad():
        ...     first, again = (memo(lambda: 2 * weight, [weight]) for _ in range(2))
        >>> first is again
        True
    """

    def __init__(self) -> None:
        self._known: tuple[list[Any], Any] | None = None

    def __call__(self, compute: Callable[[], Any], weights: Sequence[Any]) -> Any:
        """The result for these weights: tensors and numbers."""
        if torch.is_grad_enabled() or not _comparable(weights):
            return compute()
        known = self._known
        if known is None or not _equal(weights, known[0]):
            kept = [weight.clone() if isinstance(weight, Tensor) else weight for weight in weights]
            known = self._known = kept, compute()
        return known[1]

    def __deepcopy__(self, memo: object) -> "Memo":
        return Memo()

    def __reduce__(self) -> tuple[Any, ...]:
        return Memo, ()


def _comparable(weights: Sequence[Any]) -> bool:
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None or torch._C._len_torch_dispatch_stack():
        return False  # within torch.func, or what watches or fakes operations
    return all(type(weight) in _PLAIN and (type(weight) is float or weight.is_cpu) for weight in weights)


_PLAIN = {Tensor, torch.nn.Parameter, float}


def _equal(weights: Sequence[Any], known: Sequence[Any]) -> bool:
    for weight, kept in zip(weights, known, strict=True):
        if type(weight) is float or type(kept) is float:
            if weight is not kept and not (type(weight) is type(kept) and weight == kept):
                return False
        elif weight.dtype != kept.dtype or not torch.equal(weight, kept):
            return False
    return True
