"""The state of a controller, an immutable value that is replaced at every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

__all__ = ["ControllerState", "average", "check_state"]


@dataclass(frozen=True)
class ControllerState:
    """The memory of a controller between steps.

    Args:
        step: Training steps so far.
        updates: Meta-updates so far, those that were skipped left out.
        skipped: Meta-updates that were skipped, because the hypergradient was not finite.
        train_ema: The moving average of the training loss; None before the first.
        val_ema: That of the validation loss.
        past: The loss at the last update, for the rate of convergence.
        total: The sum of the gradients that training left at each raw value since the last update.
        total_loss: The sum of the training losses in that time.
        counted: The steps that are in these sums.
        expected: The raw values as the last update left them.
        saturated: Hyperparameters whose saturation was reported.
        history: One record per update.
    """

    step: int = 0
    updates: int = 0
    skipped: int = 0
    train_ema: Tensor | None = None
    val_ema: Tensor | None = None
    past: Tensor | None = None
    total: Mapping[str, Tensor] = field(default_factory=dict)
    total_loss: Tensor | None = None
    counted: Tensor | None = None
    expected: Mapping[str, Tensor] = field(default_factory=dict)
    saturated: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()

    def after_training(
        self, loss: Tensor, gradients: Mapping[str, Tensor | None], decay: float
    ) -> ControllerState:
        """Register a training step without a host sync. A step whose loss or gradient is not finite does not count."""
        given = {name: g for name, g in gradients.items() if g is not None}
        usable = finite = torch.isfinite(loss)
        for gradient in given.values():
            finite = finite & torch.isfinite(gradient).all().to(finite.device)
        total = dict(self.total)
        for name, gradient in given.items():
            kept = torch.where(finite.to(gradient.device), gradient, torch.zeros_like(gradient))
            total[name] = total[name].to(kept) + kept if name in total else kept
        none = torch.zeros_like(loss)
        ema = loss
        if self.train_ema is not None:
            old = self.train_ema.to(loss)
            begun = torch.where(torch.isfinite(old), average(old, loss, decay), loss)
            ema = torch.where(usable, begun, old)
        return replace(
            self,
            step=self.step + 1,
            train_ema=ema,
            total=total,
            total_loss=torch.where(finite, loss, none)
            + (0 if self.total_loss is None else self.total_loss.to(loss)),
            counted=finite.to(loss) + (0 if self.counted is None else self.counted.to(loss)),
        )

    def mean_loss(self) -> Tensor:
        """The mean training loss since the last update; NaN if no step counted."""
        if self.total_loss is None or self.counted is None:
            raise ValueError("expected a training step before an update, got none")
        return self.total_loss / self.counted

    def mean_gradient(self, name: str) -> Tensor | None:
        """The mean gradient that training left at a raw value since the last update; None if there was none."""
        if name not in self.total or self.counted is None:
            return None
        return self.total[name] / self.counted.to(self.total[name])

    def after_update(self, **changes: Any) -> ControllerState:
        """Close an update: empty the sums, and replace the other fields that changed."""
        return replace(self, total={}, total_loss=None, counted=None, **changes)

    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors, which `torch.load(weights_only=True)` reads."""
        return {f.name: _copied(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], like: Mapping[str, Tensor]) -> ControllerState:
        """Return the state that a `state_dict` describes, on the devices of the raw values.

        Raises:
            ValueError: If its fields are not those of a ControllerState.
        """
        names = {f.name for f in fields(cls)}
        if set(state) != names:
            raise ValueError(f"expected a progress of {sorted(names)}, got {sorted(state)}")
        values = {name: _copied(value) for name, value in state.items()}
        values["total"] = {name: total.to(like[name]) for name, total in values["total"].items()}
        return cls(**values | {"saturated": tuple(values["saturated"]), "history": tuple(values["history"])})


def check_state(state: Mapping[str, Any]) -> None:
    """Raise unless a controller saved this."""
    needed = {"format", "hyperparams", "adam", "progress", "scale"}
    given = set(state) - {"intervals"} if isinstance(state, Mapping) else type(state).__name__
    if given != needed or state["format"] != 1:
        raise ValueError(
            f"expected the state_dict of a MetaController, format 1, with {', '.join(sorted(needed))}, got "
            f"{given if isinstance(given, str) else sorted(map(str, given))[:8]}"
        )


def average(ema: Tensor | None, loss: Tensor, decay: float) -> Tensor:
    """Return the exponential moving average after a loss; the first is the loss itself."""
    return loss if ema is None else decay * ema + (1 - decay) * loss


def _copied(tree: Any) -> Any:
    """Copy nested values, the tensors in them too."""
    return tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), tree)
