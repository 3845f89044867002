"""Does it compile and export as one graph, and stay what it was?"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.testing.examples import (
    brief,
    check_example,
    examined,
    greatest,
    named_leaves,
    noise,
    projected_gradients,
)
from dsptorch.testing.run import Model, output_of
from dsptorch.testing.tolerances import difference, place

# What Dynamo and torch's own decompositions warn of themselves, where warnings are errors.
_OF_TORCH = (
    ".*should not be instantiated",
    ".*torch.jit",
    "The .grad attribute of a Tensor that is not a leaf",
)


def assert_compiles(
    model: Model, example: Tensor, *, backend: str = "inductor", gradients: bool = True
) -> None:
    """Assert that a model compiles into one graph, without breaks, and gives the same numbers as before.

    Both the outputs and the gradients in the input and in the parameters must be equal to rounding.
    `torch._dynamo.reset()` is called first: what was compiled before will be compiled again when it is used.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        backend: Of `torch.compile`. "inductor" takes seconds to minutes; "aot_eager" tests all but the code that is
            made, in a tenth of it.
        gradients: Whether gradients are compared.

    Raises:
        AssertionError: If it does not: it says why, or what differs and by how much.

    Example:
        >>> from dsptorch import FIR
        >>> assert_compiles(FIR(4), torch.randn(2, 7, 4), backend="aot_eager")
    """
    x = check_example(example)
    with examined(model, x, gradients=gradients), warnings.catch_warnings():
        for text in _OF_TORCH:
            warnings.filterwarnings("ignore", text)
        eager = _values(model, x, gradients)
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend=backend)
        try:
            ours = _values(compiled, x, gradients, of=model)
        except Exception as error:
            raise AssertionError(
                f"does not compile into one graph by {backend}: {type(error).__name__}: {brief(error)}"
            ) from error
    _compare(ours, eager, f"compiled by {backend}")


def assert_exports(model: Model, example: Tensor) -> None:
    """Assert that a model exports by `torch.export`, and that the program gives the same numbers.

    It is exported with the example, and compared on it and on noise of the same shape.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).

    Raises:
        AssertionError: If it does not: it says why, or what differs and by how much.

    Example:
        >>> from dsptorch import FIR
        >>> assert_exports(FIR(4), torch.randn(2, 7, 4))
    """
    x = check_example(example)
    module = model if isinstance(model, nn.Module) else _Function(model)
    with examined(module, x), warnings.catch_warnings():
        for text in _OF_TORCH:
            warnings.filterwarnings("ignore", text)
        module(x)
        try:
            program = torch.export.export(module, (x,)).module()
        except Exception as error:
            raise AssertionError(f"does not export: {type(error).__name__}: {brief(error)}") from error
        for signal, name in ((x, "the example"), (noise(x, 1), "other numbers")):
            eager = {"output": output_of(module, signal)}
            _compare({"output": output_of(program, signal)}, eager, f"exported, on {name}")


class _Function(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def _values(run: Model, x: Tensor, gradients: bool, of: Model | None = None) -> dict[str, Tensor]:
    """The output, and the gradients in all that learns."""
    leaf = x.clone().requires_grad_(gradients)
    y = output_of(run, leaf)
    found = {"output": y.detach()}
    if gradients and y.requires_grad:
        names, leaves = named_leaves(of if of is not None else run, leaf)
        gradients_in = projected_gradients(y, names, leaves, seed=2)
        found |= {f"gradient in {name}": value for name, value in gradients_in.items()}
    return found


def _compare(ours: dict[str, Tensor], eager: dict[str, Tensor], how: str) -> None:
    if ours.keys() != eager.keys():
        raise AssertionError(f"{how}, it has the {list(ours)}, and eager the {list(eager)}")
    scale = greatest(*(value for name, value in eager.items() if name != "output"))
    for name, value in ours.items():
        expected = eager[name]
        if value.shape != expected.shape or value.dtype != expected.dtype:
            raise AssertionError(
                f"{how}, the {name} is {value.dtype} {tuple(value.shape)}, and in eager mode {expected.dtype} "
                f"{tuple(expected.shape)}"
            )
        found = difference(value, expected, scale=greatest(expected) if name == "output" else scale)
        if found is not None:
            raise AssertionError(
                f"{how}, the {name} is not that of eager mode: at {place(found.at)} {found.actual:.6g} instead of "
                f"{found.expected:.6g}"
            )
