"""Check that a model does not wait for its device."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from dsptorch.testing._engine.examples import examined

_READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_HERE = (str(Path(torch.__file__).parent), __file__)


def assert_no_host_sync(function: Callable[..., Any], *args: Any) -> None:
    """Assert that a function never reads a number from a tensor, for which the program would wait for the device.

    It must not run an operation whose result is a Python number (`.item()`, `float(x)`, `if x.any():`), or whose
    shape depends on the values (`nonzero`, `masked_select`, `unique`, an index by a mask). On a CPU such an operation
    is cheap, so no other test shows it. On an accelerator each one empties the queue, and in a compiled function it
    breaks the graph.

    Args:
        function: A module or any function, such as `layer.step`.
        *args: Its arguments.

    Raises:
        AssertionError: If it does. The message names the operation and the line.

    Example:
        >>> from dsptorch import Multirate
        >>> layer = Multirate(4)
        >>> assert_no_host_sync(layer, torch.randn(2, 9, 4))
        >>> assert_no_host_sync(layer.step, torch.randn(2, 9, 4), None)
        >>> assert_no_host_sync(lambda x: x / x.abs().max().item(), torch.randn(2, 9, 4))
        Traceback (most recent call last):
        AssertionError: reads values back by aten._local_scalar_dense, at ...
    """
    tensors = [leaf for leaf in pytree.tree_leaves(args) if isinstance(leaf, Tensor)]
    with examined(function, *tensors), _Watch():  # type: ignore[no-untyped-call]
        function(*args)


class _Watch(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if _READS.intersection(func.tags) and not _is_harmless(func, args, kwargs or {}):
            where = next(
                (f for f in reversed(traceback.extract_stack()) if not f.filename.startswith(_HERE)), None
            )
            line = f"{where.filename}:{where.lineno}: {where.line}" if where else "an unknown place"
            raise AssertionError(
                f"reads values back by {func.overloadpacket}, at {line}. Keep it in tensors: torch.where instead of a "
                "branch or a mask, a tensor instead of a number"
            )
        return func(*args, **(kwargs or {}))


def _is_harmless(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operation that may read values does not here."""
    if func.overloadpacket is torch.ops.aten.index:  # only masks are counted
        return all(index is None or index.dtype not in (torch.bool, torch.uint8) for index in args[1])
    if func.overloadpacket is torch.ops.aten.repeat_interleave:
        return kwargs.get("output_size") is not None
    return False
