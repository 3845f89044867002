"""Detect a controller that is called twice for one training step."""

import weakref
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam

__all__ = ["Twice"]

_FEW = 8  # number of weights that are checked: a step of the optimizer changes all trained weights


class _Call(NamedTuple):
    """The record of a call: its loss, the versions of weights, and whether the hyperparameters have gradients."""

    loss: "weakref.ref[Tensor] | None" = None
    versions: tuple[int, ...] = ()
    came: bool = False


class Twice:
    """Detects a call without a training step since the previous call.

    No value is read. The versions of weights do not show the steps of fused optimizers, and a backward pass may not
    reach the hyperparameters, so both are checked.
    """

    def __init__(self) -> None:
        self._last = self._present = _Call()
        self._warned = False

    def notice(
        self, loss: float | Tensor, hyperparams: Mapping[str, BoundedHyperparam], model: nn.Module
    ) -> str | None:
        """Register a call; return a warning the first time that a call comes too early."""
        raws = {id(h.raw) for h in hyperparams.values()}
        weights = (p for p in model.parameters() if p.requires_grad and id(p) not in raws)
        call = _Call(
            weakref.ref(loss) if isinstance(loss, Tensor) else None,
            tuple(weight._version for weight in islice(weights, _FEW)),
            any(h.raw.grad is not None for h in hyperparams.values()),
        )
        last = self._last
        same = last.loss is not None and last.loss() is loss
        early = last.versions == call.versions and (same or (bool(raws) and last.came and not call.came))
        self._present = call._replace(came=call.came or (early and last.came))
        if not early or self._warned:
            return None
        self._warned = True
        found = "the loss is the same tensor" if same else "no gradient has come to the hyperparameters"
        return (
            "MetaController.step was called again without a training step since the last call: no weight has changed, "
            f"and {found}. Call it once for each step of the optimizer, after backward; every call counts as a step"
        )

    def commit(self) -> None:
        """Confirm that the call succeeded."""
        self._last = self._present
