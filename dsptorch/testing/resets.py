"""Check that a module can be reset to its initial values from any content of its memory."""

import copy

import torch
from torch import Tensor, nn

from dsptorch.isolation import random_state_kept


def assert_resets(module: nn.Module) -> None:
    """Assert that `reset_parameters` sets every parameter and buffer of a module and its submodules.

    This is how a module built on the meta device gets its values: `to_empty`, then `reset_parameters` of the whole
    module, or of each submodule as in FSDP. On copies filled with NaN, every tensor must become finite, and equal for
    equal random numbers.

    Args:
        module: The module; it is not changed.

    Raises:
        AssertionError: If a tensor is not reset, or two resets differ. The message names the tensor.
        TypeError: If the module has no `reset_parameters`.

    Example:
        >>> from dsptorch import FIR
        >>> assert_resets(FIR(4))
        >>> class Scaled(FIR):
        ...     def __init__(self, d_model):
        ...         super().__init__(d_model)
        ...         self.gain = nn.Parameter(torch.ones(d_model))
        >>> assert_resets(Scaled(4))
        Traceback (most recent call last):
        AssertionError: reset_parameters leaves gain as it was; give its first value in first_values
    """
    if not callable(getattr(module, "reset_parameters", None)):
        raise TypeError(f"expected a module with reset_parameters, got {type(module).__name__}")
    with random_state_kept():
        first, second = (_reset(copy.deepcopy(module)) for _ in range(2))
        for part_name, part in copy.deepcopy(module).named_modules():
            if _own(part):
                _check_part(part_name, part)
    for name, tensor in first.items():
        if not torch.equal(tensor, second[name]):
            raise AssertionError(f"two resets from the same seed give different values of {name}")


def _reset(module: nn.Module) -> dict[str, Tensor]:
    _spoil(module)
    torch.manual_seed(0)
    _call(module, "")
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    _check(tensors, "", "give its first value in first_values")
    return tensors


def _check_part(name: str, part: nn.Module) -> None:
    """Reset a submodule, and check its own tensors."""
    _spoil(part)
    _call(part, name)
    prefix = f"{name}." if name else ""
    _check(_own(part), prefix, f"{type(part).__name__} must set what it owns")


def _spoil(module: nn.Module) -> None:
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.data.fill_(torch.nan if tensor.is_floating_point() or tensor.is_complex() else 0)


def _call(module: nn.Module, name: str) -> None:
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is None:
        raise AssertionError(f"{name}, a {type(module).__name__}, has tensors and no reset_parameters")
    reset()


def _own(module: nn.Module) -> dict[str, Tensor]:
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return dict(tensors)


def _check(tensors: dict[str, Tensor], prefix: str, cure: str) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise AssertionError(f"reset_parameters leaves {prefix}{name} as it was; {cure}")
