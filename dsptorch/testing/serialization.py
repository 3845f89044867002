"""Check that a module survives deepcopy, pickle and its state dict."""

import copy
import io
import pickle
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dsptorch.testing._engine.examples import check_example, examined, noise
from dsptorch.testing._engine.run import output_of
from dsptorch.testing.tolerances import first_unequal, site


def assert_serializes(
    module: nn.Module, example: Tensor, *, factory: Callable[[], nn.Module] | None = None
) -> None:
    """Assert that copies of a module by deepcopy, by pickle and by its state dict are equal to it.

    Each copy must have the same class and repr, give a bit-identical output, and share no parameter with the original.
    The state dict, saved and loaded with `weights_only=True`, must load strictly into a new module and make it equal.

    Args:
        module: The module; it is not changed.
        example: A signal, (batch, time, channels).
        factory: Builds the new module. None uses a deepcopy with scrambled parameters and persistent buffers, which
            does not detect state in plain attributes.

    Raises:
        AssertionError: If a copy cannot be made or differs. The message names the copy and the difference.
        TypeError: If the model is not a module.

    Example:
        >>> from dsptorch import FIR
        >>> assert_serializes(FIR(4), torch.randn(1, 7, 4), factory=lambda: FIR(4))
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected an nn.Module, got {type(module).__name__}; a function has nothing to save")
    x = check_example(example)
    with examined(module, x):
        expected = output_of(module, x)
        for how, make in (("deepcopy", copy.deepcopy), ("pickle", _pickled)):
            try:
                twin = make(module)
            except Exception as error:
                raise AssertionError(
                    f"{how} fails: {type(error).__name__}: {error}. Keep no lambda, lock, generator or open file in "
                    "an attribute, no tensor with a graph, and define the class at the top of a module"
                ) from error
            _check_copy(how, twin, module, x, expected)
        _check_state_dict(module, factory, x, expected)


def _check_copy(how: str, twin: nn.Module, module: nn.Module, x: Tensor, expected: Tensor) -> None:
    if type(twin) is not type(module) or repr(twin) != repr(module):
        raise AssertionError(f"by {how}, {module!r} became {twin!r}")
    _check_output(f"a copy by {how}", output_of(twin, x), expected)
    shared = [
        name
        for name, parameter in twin.named_parameters()
        for other in module.parameters()
        if parameter.numel() and parameter.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    ]
    if shared:
        raise AssertionError(f"a copy by {how} shares the parameter {shared[0]!r} with the first")


def _check_state_dict(
    module: nn.Module, factory: Callable[[], nn.Module] | None, x: Tensor, expected: Tensor
) -> None:
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    saved.seek(0)
    try:
        state = torch.load(saved, weights_only=True)
    except Exception as error:
        raise AssertionError(
            f"the state dict does not load with weights_only=True: {error}. Keep only tensors in it"
        ) from error
    if factory is None:
        fresh = _scrambled(module, state)
    else:
        fresh = factory().train(module.training)
        for (_, new), (_, old) in zip(fresh.named_parameters(), module.named_parameters(), strict=False):
            new.data = new.data.to(old)
    try:
        fresh.load_state_dict(state, strict=True)
    except Exception as error:
        raise AssertionError(
            f"the state dict does not fit a fresh module: {' '.join(str(error).split())}"
        ) from error
    _check_output("a fresh module with the state dict", output_of(fresh.eval(), x), expected)


def _scrambled(module: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    fresh = copy.deepcopy(module)
    with torch.no_grad():
        for seed, value in enumerate(fresh.state_dict(keep_vars=True).values()):
            if isinstance(value, Tensor):
                value.copy_(noise(value, seed) if value.is_floating_point() else torch.zeros_like(value))
    return fresh


def _check_output(what: str, y: Tensor, expected: Tensor) -> None:
    if y.shape != expected.shape or y.dtype != expected.dtype:
        raise AssertionError(
            f"{what} gives {y.dtype} {tuple(y.shape)} instead of {expected.dtype} {tuple(expected.shape)}"
        )
    at = first_unequal(y, expected)
    if at is not None:
        raise AssertionError(
            f"{what} gives other numbers: at {site(at)} {y[at].item():.6g} instead of {expected[at].item():.6g}. Look "
            "for what decides them and is neither a parameter nor a persistent buffer"
        )


def _pickled(module: nn.Module) -> nn.Module:
    twin: nn.Module = pickle.loads(pickle.dumps(module))  # noqa: S301, of our own making
    return twin
