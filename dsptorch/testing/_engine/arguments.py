"""Validation of the arguments of checks, before anything runs."""

import math
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

_SEEDS = 2**63


def check_rtol(rtol: Any) -> None:
    """Raise unless a relative change is a number in [0, 1); NaN, for example, would let every leak pass.

    Example:
        >>> check_rtol(float("nan"))
        Traceback (most recent call last):
        ValueError: rtol must be a number from 0 to less than 1, got nan
    """
    if isinstance(rtol, bool) or not isinstance(rtol, Real):
        raise TypeError(f"rtol must be a number from 0 to less than 1, got {rtol!r}")
    if not 0 <= float(rtol) < 1:
        raise ValueError(f"rtol must be a number from 0 to less than 1, got {rtol}")


def check_seed(seed: Any) -> None:
    """Raise unless torch, numpy and Python all accept a seed."""
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise TypeError(f"seed must be an int from 0 to 2**63 - 1, got {seed!r}")
    if not 0 <= int(seed) < _SEEDS:
        raise ValueError(f"seed must be an int from 0 to 2**63 - 1, got {seed}")


def check_positive(name: str, value: Any) -> None:
    """Raise unless a number is finite and above 0, because other tolerance factors let everything pass."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a finite number above 0, got {value!r}")
    if not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value}")


def check_vocab_size(vocab_size: Any, example: Tensor) -> None:
    """Raise unless the vocabulary has another id for each id of an example."""
    if example.is_floating_point() or example.is_complex() or example.dtype == torch.bool:
        return
    if vocab_size is None:
        if int(example.max()) < 1:
            raise ValueError(
                "vocab_size must be given where all ids of the example are 0: no other id can be told from it"
            )
        return
    if isinstance(vocab_size, bool) or not isinstance(vocab_size, Integral):
        raise TypeError(f"vocab_size must be an int of at least 2, got {vocab_size!r}")
    if int(vocab_size) < 2:
        raise ValueError(
            f"vocab_size must be at least 2, got {vocab_size}: with a single id no input can be replaced by another"
        )


def check_cuttable(example: Any) -> None:
    """Raise unless an example has at least one row and two time steps."""
    if not isinstance(example, Tensor):
        raise TypeError(f"example must be a tensor, got {type(example).__name__}")
    if example.dim() < 2 or example.shape[1] < 2 or example.numel() == 0:
        raise ValueError(
            "example must be (batch, time) token ids or a (batch, time, channels) signal, of at least 1 row and "
            f"2 time steps; got shape {tuple(example.shape)}"
        )
