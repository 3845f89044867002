"""The controller, which learns hyperparameters beside the weights in an ordinary training loop."""

import copy
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.meta.estimators.base import Estimator, Loss, MetaStep, Scope
from dsptorch.meta.objectives import Objective
from dsptorch.meta.optimizers import Inner, Outer, Setter
from dsptorch.meta.schedule import Schedule
from dsptorch.meta.state import ControllerState, check_state
from dsptorch.meta.twice import Twice
from dsptorch.meta.update import check_unchanged, meta_loss, update
from dsptorch.meta.validate import (
    check_addition,
    check_complete,
    check_losses,
    check_scaler,
    checked_loss,
    chosen_hyperparams,
    refuse_twice,
    to_estimator,
    to_number,
    to_objective,
)
from dsptorch.meta.wrapped import Wrapped

__all__ = ["STUDY_SETTINGS", "MetaController"]

STUDY_SETTINGS: dict[str, Any] = {"lr": 1e-4, "every": 100, "objective": "smoothed_loss", "ema_decay": 0.9}
"""The study's numbers, for MetaController(model, **STUDY_SETTINGS): 4,000 steps move a raw value by 0.004 at most."""


class MetaController:
    """Learn hyperparameters by gradient descent on a meta-loss, once every `every` training steps.

        z <- z - lr * Adam(average of dL_meta/dz),     z the raw values of BoundedHyperparams

    It works on any `nn.Module` that holds a BoundedHyperparam, and on hyperparameters outside a model
    (`add_hyperparam`). Your own optimizer trains the weights: pass it `inner_param_groups`, which leave the
    hyperparameters out.

        controller = MetaController(model, every=20)
        optimizer = torch.optim.AdamW(controller.inner_param_groups(weight_decay=0.1), lr=3e-4)
        for batch in data:
            loss = loss_fn(model, batch)
            loss.backward(); optimizer.step(); optimizer.zero_grad()
            controller.step(loss, val_loss=lambda m: loss_fn(m, next(val_data)))

    An update that fails (a loss or a setter raises) changes neither model nor optimizer nor controller. An update whose
    hypergradient is not finite is skipped and counted, with a warning.

    Args:
        model: Any module, also under `torch.compile` or DistributedDataParallel.
        lr: The learning rate of the raw values, at least 0. One update moves a raw value by about lr. From the middle
            of an interval, 1 on the raw scale is about a quarter of the interval.
        every: Training steps between two updates, at least 1.
        objective: The quantity to minimise: "smoothed_loss", "convergence_rate", "composite", or a function of
            `Losses`. The study's own signs are "literal_convergence_rate" and "literal_composite".
        estimator: The estimator of the hypergradient: "direct", "es", or an object: Direct(), Unroll(rule),
            Implicit(rule), EvolutionStrategy().
        ema_decay: The decay, in [0, 1), of the moving averages of the losses and of the hypergradient (Adam's beta1).
        hyperparams: The names of the hyperparameters to learn, as in `named_hyperparams`; None for all that are not
            frozen.
        warmup: Training steps before the first update, at least 0.
        freeze_at: The training step after which the hyperparameters stop moving; None for never.
        total_steps: The planned number of training steps, for a warning if it is too small to move a hyperparameter.
        scaler: The GradScaler of the training, if any; call `step` after `scaler.update()`.
        process_group: The processes to average over, if the model is not wrapped in DistributedDataParallel.
        seed: The seed of all random numbers in an update.

    Raises:
        TypeError, ValueError: If an argument is not as described, or a higher-order estimator is used with a compiled
            or distributed model.

    Example:
        >>> from dsptorch import Multirate
        >>> controller = MetaController(Multirate(8), every=20)
        >>> list(controller.hyperparams)
        ['mix_ratio', 'detail_strength']
        >>> [len(group["params"]) for group in controller.inner_param_groups(weight_decay=0.1)]
        [0, 3]

    References:
        E. Yifee, Adaptive Frequency-Domain DSP for Language Model Training, 2025, Adaptive Hyperparameter Learning;
        with the signs of the objectives corrected.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float = 0.1,
        every: int = 20,
        objective: str | Objective = "smoothed_loss",
        estimator: str | Estimator = "direct",
        ema_decay: float = 0.9,
        hyperparams: Iterable[str] | None = None,
        warmup: int = 0,
        freeze_at: int | None = None,
        total_steps: int | None = None,
        scaler: torch.amp.GradScaler | None = None,
        process_group: Any = None,
        seed: int = 0,
    ) -> None:
        self.lr = to_number("lr", lr, 0.0, math.inf)
        self.ema_decay = to_number("ema_decay", ema_decay, 0.0, 1.0)
        self.seed = check_int("seed", seed, least=0)
        self.schedule = Schedule(every, warmup, freeze_at, total_steps)
        self._objective, self._estimator = to_objective(objective), to_estimator(estimator)
        check_scaler(scaler)
        self._scaler, self._scale = scaler, 1.0 if scaler is None else scaler.get_scale()
        self._model = Wrapped(model, process_group)
        refuse_twice(self._model, self._estimator)
        learned = chosen_hyperparams(self._model.module, hyperparams)
        self._outer, self._inner = Outer(learned, self.lr, self.ema_decay), Inner(self._model.module)
        self._state, self._twice = ControllerState(), Twice()
        if message := self.schedule.warning(learned, self.lr):
            warnings.warn(message, stacklevel=2)

    @property
    def hyperparams(self) -> dict[str, BoundedHyperparam]:
        """The learned hyperparameters, by name."""
        return dict(self._outer.hyperparams)

    def inner_param_groups(self, *, weight_decay: float) -> list[dict[str, Any]]:
        """Return the parameter groups of the weights, without the hyperparameters; see `dsptorch.param_groups`."""
        return self._inner.groups(weight_decay, self.hyperparams)

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Attach the optimizer of the weights.

        The optimizer must not hold the hyperparameters. Estimators that simulate training then start from its momenta
        and averages instead of from zero.

        Raises:
            TypeError, ValueError: If it is not an optimizer, or holds a hyperparameter.
        """
        self._inner.attach(optimizer, self.hyperparams)

    def add_hyperparam(self, name: str, hyperparam: BoundedHyperparam, setter: Setter | None = None) -> None:
        """Learn a hyperparameter outside the model: a learning rate, a dropout rate, the weight of a loss.

        Args:
            name: Its name in `hyperparams` and `history`.
            hyperparam: The hyperparameter to learn.
            setter: Called with the value immediately and after each update: a float, an int for an integer, or a
                tensor for several values. None if a loss or a rule reads the hyperparameter directly.

        Raises:
            TypeError, ValueError: If the name is taken, training has begun, or the estimator cannot have a path to the
                hyperparameter. If the setter raises, the hyperparameter is not added.

        Example:
            >>> from dsptorch.meta import EvolutionStrategy
            >>> model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1))
            >>> controller = MetaController(model, estimator=EvolutionStrategy())
            >>> controller.add_hyperparam("dropout", BoundedHyperparam(0.3, 0, 1), lambda p: setattr(model[1], "p", p))
            >>> round(model[1].p, 3)
            0.3
        """
        check_addition(name, hyperparam, setter, self.hyperparams, self._estimator, self._state.step)
        self._inner.refuse_held({name: hyperparam})
        if message := self.schedule.warning({name: hyperparam}, self.lr):
            warnings.warn(message, stacklevel=2)
        self._outer.add(name, hyperparam, setter)

    def step(
        self, loss: float | Tensor, *, train_loss: Loss | None = None, val_loss: Loss | None = None
    ) -> Mapping[str, Any] | None:
        """Register a training step, and update the hyperparameters if due. Call it once per optimizer step.

        It uses the gradients that `loss.backward()` computed for the hyperparameters, also over several micro-batches,
        and clears them. A second call for one training step gives a warning.

        Args:
            loss: The training loss of the step.
            train_loss: A function of the model that draws a training batch and returns its loss.
            val_loss: The same for data that the weights are not trained on. The hyperparameters then minimise it.

        Returns:
            The record of the update (see `history`), or None if there was no update.

        Raises:
            TypeError, ValueError: If the estimator needs another argument, or has no path to a hyperparameter.
            RuntimeError: If other code has changed a hyperparameter.
        """
        value = check_losses(loss, train_loss, val_loss, self._estimator)
        if not self._state.step:
            check_complete(self._estimator, self.hyperparams)
        if message := self._twice.notice(loss, self._outer.active(), self._model.module):
            warnings.warn(message, stacklevel=2)
        state = self._after_training(value)
        if self.schedule.rests(state.step) or not self._outer.active():
            return self._commit(state.after_update())
        if not self.schedule.updates(state.step):
            return self._commit(state)
        with self._outer.atomic():
            state, messages = self._update(
                state, checked_loss("train_loss", train_loss), checked_loss("val_loss", val_loss)
            )
            for message in messages:
                warnings.warn(message, stacklevel=2)
            return self._commit(state)

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per update: step, loss, meta_loss, and value and hypergradient of each hyperparameter."""
        return copy.deepcopy([dict(record) for record in self._state.history])

    @property
    def ema(self) -> dict[str, float | None]:
        """The moving averages of the losses: "train" at every step, "val" at every update."""
        averages = {"train": self._state.train_ema, "val": self._state.val_ema}
        return {name: None if value is None else value.item() for name, value in averages.items()}

    @property
    def skipped(self) -> int:
        """Number of updates that were skipped because the hypergradient was not finite."""
        return self._state.skipped

    def state_dict(self) -> dict[str, Any]:
        """Return the state for an exact resume, in addition to the model's own state, for `torch.save`."""
        return {
            "format": 1,
            **self._outer.state_dict(),
            "progress": self._state.state_dict(),
            "scale": self._scale,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state_dict`, after the model has loaded its own. Nothing changes if the state does not fit.

        Raises:
            ValueError: If the state has another format, or other hyperparameters.
        """
        check_state(state)
        with self._outer.atomic():
            self._outer.load_state_dict(state)
            restored = ControllerState.from_state_dict(state["progress"], self._outer.raws())
            scale = float(state["scale"])
        self._state, self._scale = restored, scale

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        raise TypeError(
            "a MetaController cannot be copied: the setters of the copy would still reach the first model; make a new "
            "one for the copy of the model, and load_state_dict(controller.state_dict())"
        )

    def _after_training(self, loss: Tensor) -> ControllerState:
        """Register the loss of a training step and the gradients of the hyperparameters."""
        left = {name: h.raw.grad for name, h in self._outer.active().items()}
        unscaled = {name: None if g is None else g / self._scale for name, g in left.items()}
        state = self._state.after_training(loss, unscaled, self.ema_decay)
        expected = state.expected or self._outer.raws()
        frozen = self._outer.hyperparams.keys() - left.keys()  # other code may set these
        return replace(state, expected={**expected, **self._outer.raws(frozen)})

    def _update(
        self, state: ControllerState, train_loss: Loss | None, val_loss: Loss | None
    ) -> tuple[ControllerState, list[str]]:
        """Run one update; return the state after it, and the warnings to issue."""
        active, scope = self._outer.active(), Scope(self._model.module, self._outer.outside)
        check_unchanged(scope, active, state)
        ema = self._state.train_ema if val_loss is None else state.val_ema
        meta_step = MetaStep(
            scope=scope,
            callable=self._model.callable,
            hyperparams=active,
            train_loss=train_loss,
            val_loss=val_loss,
            objective=meta_loss(self._objective, ema, state.past, self.schedule.every, self.ema_decay),
            accumulated={name: state.mean_gradient(name) for name in active},
            mean_loss=state.mean_loss(),
            optimizer_state=self._inner.state(),
            decayed=self._inner.decayed(),
            scale=1.0 if self._scaler is None else self._scaler.get_scale(),
            seed=7_368_787 * self.seed + state.step + self._model.seed,  # runs differ at every step
            first=not state.updates,
            call_setters=self._outer.call_setters,
        )
        return update(meta_step, self._estimator, self._outer, state, self.ema_decay, self._model)

    def _commit(self, state: ControllerState) -> Mapping[str, Any] | None:
        """Store the state and clear the gradients; return the record if there was an update."""
        scale = self._scale if self._scaler is None else self._scaler.get_scale()  # of the next backward pass
        updated = state.updates > self._state.updates
        self._twice.commit()
        self._state, self._scale = state, scale
        for hyperparam in self.hyperparams.values():
            hyperparam.raw.grad = None
        return copy.deepcopy(dict(state.history[-1])) if updated else None
