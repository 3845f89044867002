"""A MetaController in the training loop of a trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.integrations.batches import ResumableBatches
from dsptorch.integrations.metrics import hyperparam_metrics
from dsptorch.meta import MetaController, Replay
from dsptorch.meta.optimizers import refuse_held
from dsptorch.meta.wrapped import seed_of

__all__ = ["Driver", "Outside"]

Outside = Mapping[str, tuple[BoundedHyperparam, Callable[[Any], None] | None]]

_TRAINERS = ("scaler", "process_group", "total_steps")  # arguments that the trainer supplies


class Driver:
    """Runs a MetaController on the events of a trainer. The callbacks of all trainers share this class.

    From `freeze` to `begin` the hyperparameters require no gradient. So an optimizer of the parameters that do leaves
    them out, and DistributedDataParallel does not reduce their gradients; the controller averages these itself. In
    training, each gradient is removed from `.grad` as soon as it is computed, and restored for the controller's step.
    Otherwise a trainer that clips all parameters would mix hypergradients (which a gradient scaler leaves scaled) into
    the norm of the weights, and a trainer that clears all gradients would lose them.

    Args:
        loss_fn: The loss of a model on a batch; None only without data.
        train_data: Batches for estimators that train by themselves.
        val_data: Batches on which the hyperparameters are evaluated, in evaluation mode; None for the gradients of
            training.
        outside: Hyperparameters outside the model: names with (hyperparam, setter).
        arguments: The arguments of the MetaController.

    Raises:
        TypeError, ValueError: If an argument is not as described.
    """

    def __init__(
        self,
        loss_fn: Callable[[nn.Module, Any], Tensor] | None,
        *,
        train_data: Iterable[Any] | None,
        val_data: Iterable[Any] | None,
        outside: Outside | None,
        arguments: Mapping[str, Any],
    ) -> None:
        if known := [name for name in _TRAINERS if name in arguments]:
            raise TypeError(
                f"expected arguments that the trainer does not know itself, got {known[0]}; leave it out"
            )
        # A controller without a model checks its arguments, except the names in a model.
        MetaController(nn.Module(), **{name: a for name, a in arguments.items() if name != "hyperparams"})
        if loss_fn is None and not (train_data is None and val_data is None):
            raise ValueError(
                "expected a loss to take on the data, got none; give loss_fn=lambda model, batch: ..."
            )
        if loss_fn is not None and not callable(loss_fn):
            raise TypeError(
                f"loss_fn must be a function of a model and a batch, got {type(loss_fn).__name__}"
            )
        self._loss_fn, self._outside = loss_fn, _checked(outside)
        self._arguments = dict(arguments)
        self._data = {"train": train_data, "val": val_data}
        self._batches = {
            name: ResumableBatches(data, 0) for name, data in self._data.items() if data is not None
        }
        self._losses: dict[str, Callable[[nn.Module], Tensor]] = {}
        self._waiting: dict[str, BoundedHyperparam] = {}
        self._kept: dict[Tensor, Tensor] = {}
        self._hooks: list[Any] = []
        self._record: Mapping[str, Any] | None = None
        self.controller: MetaController | None = None

    def freeze(self, model: nn.Module) -> None:
        """Keep the hyperparameters of a model out of the optimizer, which is created later."""
        self.end()
        self._waiting = MetaController(model, **self._arguments).hyperparams
        for hyperparam in self._waiting.values():
            hyperparam.raw.requires_grad_(False)

    def begin(
        self,
        model: nn.Module,
        optimizers: Iterable[torch.optim.Optimizer],
        *,
        hint: str,
        move: Callable[[Any], Any],
        scaler: Any = None,
        rank: int | None = None,
        total_steps: int | None = None,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        state: Mapping[str, Any] | None = None,
    ) -> MetaController:
        """Create the controller, after the model is on its device and the optimizer exists.

        Args:
            model: The model, without the trainer's wrappers.
            optimizers: The optimizers of the weights.
            hint: The advice in the error if an optimizer holds a hyperparameter.
            move: Moves a batch to the model's device.
            scaler: The trainer's GradScaler.
            rank: The rank of this process, if there are several.
            total_steps: The planned training steps.
            context: The context in which the trainer computes losses, such as autocast.
            state: A `state_dict` to resume from.

        Raises:
            ValueError: If an optimizer holds a hyperparameter, or the state belongs to other hyperparameters.
        """
        self.end()
        controller = MetaController(
            model,
            scaler=scaler,
            process_group=None if rank is None else torch.distributed.group.WORLD,
            total_steps=total_steps,
            **self._arguments,
        )
        for name, (hyperparam, setter) in self._outside.items():
            controller.add_hyperparam(name, hyperparam, setter)
        for optimizer in optimizers:
            refuse_held(optimizer, controller.hyperparams, hint)
            controller.attach(optimizer)
        seed = controller.seed + seed_of(rank or 0)
        batches = {
            name: ResumableBatches(data, seed) for name, data in self._data.items() if data is not None
        }
        if state is not None:
            _load(controller, batches, state)
        self._batches, self._record, self.controller = batches, None, controller
        self._losses = {
            f"{name}_loss": self._loss_of(Replay(of_one), name == "val", move, context)
            for name, of_one in batches.items()
        }
        self._kept.clear()
        self._hooks = [
            h.raw.register_post_accumulate_grad_hook(self._keep) for h in controller.hyperparams.values()
        ]
        return controller

    def step(self, loss: Tensor) -> None:
        """Register a step of the optimizer, with the training loss of all its batches."""
        if self.controller is None:
            raise RuntimeError("expected a training that has begun, got none")
        for raw, gradient in self._kept.items():
            raw.grad = gradient
        self._kept.clear()
        self._record = self.controller.step(loss, **self._losses) or self._record

    def end(self) -> None:
        """Release the model. May be called at any time."""
        for hyperparam in self._waiting.values():
            hyperparam.raw.requires_grad_(True)
        for hook in self._hooks:
            hook.remove()
        self._waiting, self._hooks = {}, []

    def metrics(self) -> dict[str, float]:
        """Return values, saturations, and the meta-loss of the last update of this run."""
        if self.controller is None:
            return {}
        last = {} if self._record is None else {"meta_loss": float(self._record["meta_loss"])}
        return hyperparam_metrics(self.controller.hyperparams) | last

    def state_dict(self) -> dict[str, Any]:
        """Return the controller's state and the positions in the data; empty before training."""
        if self.controller is None:
            return {}
        positions = {name: batches.state_dict() for name, batches in self._batches.items()}
        return {"controller": self.controller.state_dict(), "batches": positions}

    def _keep(self, raw: Tensor) -> None:
        """Store a gradient that a backward pass has just computed."""
        if raw.grad is not None:
            gradient, raw.grad = raw.grad, None
            self._kept[raw] = self._kept[raw] + gradient if raw in self._kept else gradient

    def _loss_of(
        self,
        batches: Iterable[Any],
        evaluated: bool,
        move: Callable[[Any], Any],
        context: Callable[[], AbstractContextManager[Any]],
    ) -> Callable[[nn.Module], Tensor]:
        """A loss in the controller's form, which draws its own batch; the controller restores the modes."""
        draw = iter(batches)

        def loss(model: nn.Module) -> Tensor:
            if self._loss_fn is None:
                raise RuntimeError("expected a loss_fn")
            batch = move(next(draw))
            with context():
                return self._loss_fn(model.eval() if evaluated else model, batch)

        return loss


def _checked(outside: Outside | None) -> Outside:
    for name, pair in (outside or {}).items():
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], BoundedHyperparam)):
            raise TypeError(
                f"outside must map names to (BoundedHyperparam, setter or None), got {pair!r} at {name!r}; as in "
                'outside={"dropout": (hyperparam, lambda p: setattr(layer, "p", p))}'
            )
    return dict(outside or {})


def _load(
    controller: MetaController, batches: Mapping[str, ResumableBatches], state: Mapping[str, Any]
) -> None:
    """Resume from a state with the same data."""
    given = set(state.get("batches", ()))
    if "controller" not in state or given != set(batches):
        raise ValueError(
            f"expected the state of a controller with data for {sorted(batches)}, got {sorted(state)} with data for "
            f"{sorted(given)}; give the callback the same train_data and val_data"
        )
    controller.load_state_dict(state["controller"])
    for name, position in state["batches"].items():
        batches[name].load_state_dict(position)
