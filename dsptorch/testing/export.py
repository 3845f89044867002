"""Check that a model exports with the same output."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from dsptorch.functional.validate import check_bools
from dsptorch.testing._engine.eager import WARNINGS_OF_TORCH, compare_to_eager
from dsptorch.testing._engine.examples import (
    brief,
    check_example,
    examined,
    noise,
)
from dsptorch.testing._engine.rates import grid_of, rate_of
from dsptorch.testing._engine.run import Model, output_of


def assert_exports(model: Model, example: Tensor, *, dynamic: bool = False) -> None:
    """Assert that a model exports with `torch.export`, and that the program gives the same numbers.

    The model is exported with the example, and compared on the example and on noise.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels); for `dynamic`, of at least 2 samples.
        dynamic: Whether to export batch and time as dynamic, without bounds, and compare other sizes. `step` is then
            exported from a state too, unless the model looks ahead. If `model.grid` is M > 1, signals have at least
            M + 1 samples, because the exporter specialises a size of 1 (one block), and steps are not tested, because
            each position modulo M has its own program.

    Raises:
        AssertionError: If it does not export, with the reason, or if a value differs.

    Example:
        >>> from dsptorch import FIR
        >>> assert_exports(FIR(4), torch.randn(2, 7, 4))
    """
    check_bools(dynamic=dynamic)
    x = check_example(example, least=2 if dynamic else 1)
    if dynamic and len(x) == 1:
        x = torch.cat([x, noise(x, 2)])  # an exporter specialises a size of 1
    module = model if isinstance(model, nn.Module) else _Function(model)
    time, channels = x.shape[1:]
    rate, grid = rate_of(model), grid_of(model)
    sizes = [(1, 1), (2, time + 1), (len(x) + 1, 3 * time), (2, 0)] if dynamic else [(len(x), time)]
    if dynamic and grid > 1:
        sizes = [(1, grid + 1), (2, time + 1), (len(x) + 1, 3 * time)]
    signals = [x, *(noise(x, 1, batch, time, channels) for batch, time in sizes)]
    batch = torch.export.Dim("batch")
    sizes_of_x = {0: batch, 1: torch.export.Dim("time", min=grid + 1 if grid > 1 else None)}
    with examined(module, x), warnings.catch_warnings():
        for text in WARNINGS_OF_TORCH:
            warnings.filterwarnings("ignore", text)
        module(x)
        program = _exported(module, (x,), (sizes_of_x,) if dynamic else None)
        for signal in signals:
            eager = {"output": output_of(module, signal, rate)}
            compare_to_eager(
                {"output": output_of(program, signal, rate)}, eager, f"exported, on {_size(signal)}"
            )
        if not dynamic or grid > 1 or not callable(getattr(module, "step", None)):
            return
        if getattr(module, "lookahead", False) or not getattr(module, "streams", True):
            return
        stepping = _Step(module)
        state = stepping(x, None)[1]
        sizes_of_state = pytree.tree_map(lambda _: {0: batch}, state)
        program = _exported(stepping, (x, state), (sizes_of_x, sizes_of_state))
        for signal in signals:
            state = stepping(noise(x, 3, len(signal), time, channels), None)[1]
            ours, eager = _named(program(signal, state)), _named(stepping(signal, state))
            compare_to_eager(ours, eager, f"exported, in a step on {_size(signal)}")


def _exported(module: nn.Module, args: tuple[Any, ...], shapes: Any) -> Callable[..., Any]:
    try:
        return torch.export.export(module, args, dynamic_shapes=shapes).module()
    except Exception as error:
        step = "in a step, " if isinstance(module, _Step) else ""
        raise AssertionError(f"does not export: {step}{type(error).__name__}: {brief(error)}") from error


def _size(signal: Tensor) -> str:
    return f"{len(signal)} rows of {signal.shape[1]} samples"


def _named(output: Any) -> dict[str, Tensor]:
    """The output of a step, and what its state holds."""
    y, state = output
    return {"output": y} | {
        f"state{pytree.keystr(path)}": leaf for path, leaf in pytree.tree_leaves_with_path(state)
    }


class _Step(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, state: Any) -> Any:
        return self.layer.step(x, state)  # type: ignore[operator]


class _Function(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)
