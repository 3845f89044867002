"""Run a model for a check: its input, its mode, and the tensor of its output that counts."""

import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsptorch.isolation import preserved
from dsptorch.testing._engine.rates import Rate, outputs_before, rate_of

Model = Callable[..., Any]


def named_tensors(output: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of an output with its place: of a tensor, tuple, list, mapping, dataclass, or these in each other.

    Example:
        >>> [name for name, _ in named_tensors({"y": torch.ones(1), "states": (None, [torch.ones(1)])})]
        ['y', 'states[1][0]']
    """
    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(output, Tensor):
        yield name, output
    elif isinstance(output, Mapping):  # a HuggingFace ModelOutput is one too
        parts = ((f"{name}.{key}" if name else str(key), value) for key, value in output.items())
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        fields = [(field.name, getattr(output, field.name)) for field in dataclasses.fields(output)]
        parts = ((f"{name}.{key}" if name else key, value) for key, value in fields)
    elif isinstance(output, list | tuple):
        parts = ((f"{name}[{i}]", value) for i, value in enumerate(output))
    for place, value in parts:
        yield from named_tensors(value, place)


def tensors_of(output: Any) -> Iterator[Tensor]:
    """Every tensor of an output, in the order of `named_tensors`."""
    return (tensor for _, tensor in named_tensors(output))


def called(model: Model, x: Tensor) -> Any:
    """Run a model.

    Raises:
        ValueError: If the model raises an AssertionError of its own, which would pass for a verdict.
    """
    try:
        return model(x)
    except AssertionError as error:
        raise ValueError(
            f"expected a model that runs on an input of shape {tuple(x.shape)}, got its own AssertionError: "
            f"{error}; give an example that it takes"
        ) from error


def expected_lead(x: Tensor, rate: Fraction) -> tuple[int, int]:
    """The batch and the time that an output for an input must have in front."""
    return x.shape[0], outputs_before(x.shape[1], rate)


def output_of(model: Model, x: Tensor, rate: Rate = None) -> Tensor:
    """Run a model, and take the first tensor of its output that has the batch and the time in front.

    Args:
        model: A module, or any function.
        x: Token ids, (batch, time), or a signal, (batch, time, channels).
        rate: Output samples per input sample; None: as `rate_of` says.

    Returns:
        (batch, ceil(time * rate), ...), with at least three dimensions.

    Raises:
        AssertionError: If the rate is not 1, and another number of samples came out.
        ValueError: If there is no such tensor in the output, or the model raises an AssertionError of its own.

    Example:
        >>> output_of(lambda x: {"loss": None, "y": (2 * x, x.sum())}, torch.ones(2, 5, 3)).shape
        torch.Size([2, 5, 3])
    """
    output, rate = called(model, x), rate_of(model, rate)
    expected = expected_lead(x, rate)
    for tensor in tensors_of(output):
        if tensor.dim() >= 2 and tensor.shape[:2] == expected:
            return tensor.unsqueeze(-1) if tensor.dim() == 2 else tensor
    raise no_output(output, x, rate)


class NoOutputError(ValueError):
    """No tensor of an output has the batch and the time in front."""


def no_output(output: Any, x: Tensor, rate: Fraction) -> AssertionError | NoOutputError:
    """The error for an output without a tensor that has the batch and the time in front."""
    got = " and ".join(str(tuple(t.shape)) for t in list(tensors_of(output))[:4]) or "no tensor at all"
    if rate != 1:
        due = outputs_before(x.shape[1], rate)
        return AssertionError(
            f"after {x.shape[1]} inputs ceil({x.shape[1]} * {rate}) = {due} outputs must be out, in "
            f"{x.shape[0]} rows, got {got}; the rate is another one, or outputs are dropped or come too soon"
        )
    return NoOutputError(
        f"the model's output must start with (batch, time) = {tuple(x.shape[:2])}, got {got}; wrap the model "
        "in a module that returns such a tensor"
    )


def modules_of(model: Model) -> list[nn.Module]:
    """The modules of a model; a function has none that we can see."""
    return list(model.modules()) if isinstance(model, nn.Module) else []


def seed_all(seed: int, devices: Iterable[int] = ()) -> None:
    """Seed what `random_state_kept` puts back: a pass after it draws what the last one drew."""
    torch.default_generator.manual_seed(seed)
    for device in devices:
        torch.cuda.default_generators[device].manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002


def drawn(devices: Iterable[int] = ()) -> tuple[object, ...]:
    """How far the generators that `seed_all` seeds have come: equal after passes that drew as many numbers."""
    states = [torch.default_generator.get_state()]
    states += [torch.cuda.default_generators[device].get_state() for device in devices]
    _, key, place, *_ = np.random.get_state()  # noqa: NPY002
    return (
        *(state.numpy().tobytes() for state in states),
        random.getstate(),
        np.asarray(key).tobytes(),
        place,
    )


def cuda_devices(model: Model, *examples: Tensor) -> list[int]:
    """The indices of the GPUs that a model and its inputs lie on."""
    parameters = [p for module in modules_of(model) for p in module.parameters(recurse=False)]
    devices = {tensor.device for tensor in (*examples, *parameters) if tensor.is_cuda}
    return sorted(device.index for device in devices)


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Put a model into eval mode for a block; its modes, buffers and float attributes are restored."""
    with preserved(model, floats=True):
        for module in modules_of(model):
            module.training = False
        yield


@contextmanager
def training_without_dropout(model: Model) -> Iterator[None]:
    """Put a model into train mode for a block, with every known dropout probability at 0.

    Those are the `p` of torch's dropout layers, and float attributes of any module whose names end with
    "dropout" or "drop" (as `nn.LSTM.dropout`, or HuggingFace's `attention_dropout`). What `evaluating` restores is
    restored.
    """
    with preserved(model, floats=True):
        for module in modules_of(model):
            module.training = True
            for name, value in vars(module).items():
                is_dropout = name == "p" and isinstance(module, nn.modules.dropout._DropoutNd)
                if isinstance(value, float) and (is_dropout or name.endswith(("dropout", "drop"))):
                    vars(module)[name] = 0.0
        yield
