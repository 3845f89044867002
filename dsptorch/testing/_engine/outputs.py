"""Select the tensors of a model's output to compare: all that follow the time of the input."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from dsptorch.testing._engine.run import NoOutputError, expected_lead, named_tensors, no_output

Outputs = dict[str, Tensor]
"""Tensors by their places in the output of a model."""


def candidates(output: Any, x: Tensor, rate: Fraction) -> Outputs:
    """Copy the tensors of an output that start with (batch, time).

    Args:
        output: That of a model for `x`.
        x: Token ids, (batch, time), or a signal, (batch, time, channels).
        rate: Output samples per input sample.

    Raises:
        AssertionError, ValueError: If there is none.
    """
    lead = expected_lead(x, rate)
    dense = ((name, _dense(tensor)) for name, tensor in named_tensors(output))
    found = {name: t.clone() for name, t in dense if t.dim() >= 2 and t.shape[:2] == lead and t.numel()}
    if not found:
        raise no_output(output, x, rate)
    return found


def named(output: Any, names: tuple[str, ...], x: Tensor, rate: Fraction) -> Outputs:
    """Copy tensors out of an output by their places; a batch of one row may have been squeezed out of them."""
    tensors, lead, found = dict(named_tensors(output)), expected_lead(x, rate), {}
    for name in names:
        if name not in tensors:
            raise ValueError(
                f"expected a model whose output has the same parts for every input, got none named {name!r} this time; "
                "wrap the model in a module that returns what must be causal"
            )
        tensor = _dense(tensors[name])
        if lead[0] == 1 and tensor.shape[:2] != lead and tensor.shape[:1] == lead[1:]:
            tensor = tensor.unsqueeze(0)
        if tensor.dim() < 2 or tensor.shape[:2] != lead:
            raise no_output(tensor, x, rate)
        found[name] = tensor.clone()
    return found


def followers(
    found: Outputs, x: Tensor, call: Callable[[Tensor], Outputs], rate: Fraction
) -> tuple[str, ...]:
    """Name the candidates that follow the time.

    A pooled vector of as many channels, or a cache of as many heads, as the example has time steps starts with
    (batch, time) by chance: unless there is a single candidate of three dimensions, the model runs on a shorter input,
    and what is not shorter then does not count. Of a model that takes no other length, the first candidate counts.

    Args:
        found: The candidates for `x`.
        x: Token ids, (batch, time), or a signal, (batch, time, channels).
        call: Runs the model, and gives its candidates.
        rate: Output samples per input sample.

    Raises:
        ValueError: If none follows the time, and none has channels.

    Example:
        >>> def call(x):
        ...     return candidates({"y": x, "pooled": x.mean(1), "states": (x.sum(2), x[:, :1])}, x, Fraction(1))
        >>> x = torch.ones(2, 5, 5)
        >>> list(call(x)), followers(call(x), x, call, Fraction(1))
        (['y', 'pooled', 'states[0]'], ('y', 'states[0]'))
    """
    wide = [name for name, tensor in found.items() if tensor.dim() > 2]
    if len(found) == len(wide) == 1:
        return (wide[0],)
    first = (wide or list(found))[:1]
    shorter = x[:, : -rate.denominator]
    if not shorter.numel():
        return tuple(first)
    try:
        also = call(shorter)
    except NoOutputError:
        also = {}
    except Exception:
        return tuple(first)
    names = [name for name in found if name in also]
    if not (names or wide):
        raise ValueError(
            f"the model's output must follow the time, got {tuple(found[first[0]].shape)} for {x.shape[1]} time steps, "
            f"and no (batch, time) for {shorter.shape[1]}; wrap the model in a module that returns a tensor with the "
            "time in dimension 1"
        )
    return tuple(names or first)


def flat(outputs: Outputs) -> Outputs:
    """Each output as (batch, time, channels), in float32 at least."""
    return {name: wide(tensor.unsqueeze(-1).flatten(2)) for name, tensor in outputs.items()}


def _dense(tensor: Tensor) -> Tensor:
    """A strided tensor of one that is nested, sparse, or quantized."""
    tensor = tensor.detach()
    if tensor.is_nested:
        padded: Tensor = torch.nested.to_padded_tensor(tensor, 0.0)
        return padded
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def wide(tensor: Tensor) -> Tensor:
    """Half precision in single precision; others as they are."""
    if tensor.dtype == torch.complex32:
        return tensor.to(torch.complex64)
    return tensor.float() if tensor.is_floating_point() and tensor.dtype.itemsize < 4 else tensor
