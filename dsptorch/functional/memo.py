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
        if torch.is_grad_enabled() or _is_watched():
            return compute()
        known = self._known
        if known is not None and all(map(_equal, weights, known[0])):
            return known[1]
        result = compute()
        if all(map(_is_plain, weights)):
            self._known = [w.clone() if isinstance(w, Tensor) else w for w in weights], result
        return result

    def __deepcopy__(self, memo: object) -> "Memo":
        return Memo()

    def __reduce__(self) -> tuple[Any, ...]:
        return Memo, ()


def _is_watched() -> bool:
    """Whether operations are traced, differentiated forward, batched, counted or faked."""
    return (
        torch.compiler.is_compiling()
        or forward_ad._current_level >= 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _is_plain(weight: Any) -> bool:
    return type(weight) is float or (type(weight) in (Tensor, torch.nn.Parameter) and weight.is_cpu)


def _equal(weight: Any, kept: Any) -> bool:
    if type(weight) is float or type(kept) is float:
        return type(weight) is type(kept) and weight == kept
    plain = _is_plain(weight) and weight.dtype == kept.dtype
    return plain and torch.equal(weight, kept)
