"""Compare a compiled or exported model to eager mode."""

from torch import Tensor

from dsptorch.testing._engine.examples import (
    greatest,
)
from dsptorch.testing.tolerances import difference, site

# What Dynamo and torch's own decompositions warn of themselves, where warnings are errors.
WARNINGS_OF_TORCH = (
    ".*should not be instantiated",
    ".*torch.jit",
    "The .grad attribute of a Tensor that is not a leaf",
)


def compare_to_eager(ours: dict[str, Tensor], eager: dict[str, Tensor], how: str) -> None:
    """Raise unless the named tensors are those of eager mode, to rounding."""
    if ours.keys() != eager.keys():
        raise AssertionError(f"{how}, it has the {list(ours)}, and eager the {list(eager)}")
    scale = greatest(*(value for name, value in eager.items() if name.startswith("gradient")))
    for name, value in ours.items():
        expected = eager[name]
        if value.shape != expected.shape or value.dtype != expected.dtype:
            raise AssertionError(
                f"{how}, the {name} is {value.dtype} {tuple(value.shape)}, and in eager mode {expected.dtype} "
                f"{tuple(expected.shape)}"
            )
        if not value.is_floating_point():  # a position
            value, expected = value.double(), expected.double()  # noqa: PLW2901
        found = difference(
            value, expected, scale=scale if name.startswith("gradient") else greatest(expected)
        )
        if found is not None:
            raise AssertionError(
                f"{how}, the {name} is not that of eager mode: at {site(found.at)} {found.actual:.6g} instead of "
                f"{found.expected:.6g}"
            )
