"""The controller: hyperparameters that learn beside the weights, in an ordinary training loop."""

import copy
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import BoundedHyperparam, param_groups
from dsptorch.meta.arguments import check_losses, chosen_hyperparams, to_estimator, to_number, to_objective
from dsptorch.meta.checks import still
from dsptorch.meta.direct import Direct
from dsptorch.meta.models import (
    agreed,
    is_compiled,
    is_distributed,
    refuse_sharded,
    unwrapped,
    without_ddp,
)
from dsptorch.meta.objectives import Losses, Objective
from dsptorch.meta.outer import Outer, Setter
from dsptorch.meta.problem import Estimator, Loss, Problem, Scope
from dsptorch.meta.progress import Progress
from dsptorch.meta.rules import State
from dsptorch.meta.update import check_unchanged, update

__all__ = ["YIFEE_2025", "MetaController"]

YIFEE_2025: dict[str, Any] = {"lr": 1e-4, "every": 100, "objective": "smoothed_loss", "ema_decay": 0.9}
"""The numbers of E. Yifee, Adaptive Frequency-Domain DSP for Language Model Training, 2025: MetaController(model,
**YIFEE_2025). In 4,000 steps they move a raw value by 0.004 at the most."""


class MetaController:
    """Learn hyperparameters by gradient descent on a meta-loss, once every so many training steps.

        z <- z - lr * Adam(average of dL_meta/dz),     z the raw values of BoundedHyperparams

    It works on any `nn.Module` that holds a BoundedHyperparam, and on hyperparameters outside a model (`sink`). The
    weights are the business of your own optimizer; give it `inner_param_groups`, which leaves the hyperparameters out.

        controller = MetaController(model, every=20)
        optimizer = torch.optim.AdamW(controller.inner_param_groups(weight_decay=0.1), lr=3e-4)
        for batch in data:
            loss = loss_fn(model, batch)
            loss.backward(); optimizer.step(); optimizer.zero_grad()
            controller.step(loss, val_loss=lambda m: loss_fn(m, next(val_data)))

    An update that fails (a loss that raises, a setter that refuses) leaves model, optimizer and controller as they
    were before the call. One whose hypergradient is not finite is skipped, counted and warned of.

    Args:
        model: Any module, also under `torch.compile` or DistributedDataParallel.
        lr: The learning rate of the raw values, at least 0; one update moves a raw value by about lr. From the
            middle of an interval, 1 on the raw scale is about a quarter of it.
        every: Training steps between two updates, at least 1.
        objective: What to lower: "smoothed_loss", "convergence_rate", "composite", or a function of `Losses`; the
            source's own signs are under "literal_convergence_rate" and "literal_composite".
        estimator: How the hypergradient is found: "direct", "es", or an object: Direct(), Unroll(rule),
            Implicit(rule), EvolutionStrategy().
        ema_decay: The decay of the moving averages in [0, 1): of the losses, which are reported, and of the
            hypergradient, which is what moves the values (Adam's first beta).
        hyperparams: The names of those to learn, as `named_hyperparams` gives them; None is all that are not frozen.
        warmup: Training steps before the first update, at least 0.
        freeze_at: The training step after which nothing moves any more; None is never.
        total_steps: The training steps that are planned, to be warned where they are too few to move anything.
        scaler: The GradScaler of the training, where there is one.
        process_group: The processes to agree with, where the model is not wrapped in DistributedDataParallel.
        seed: Of all that is random in an update.

    Raises:
        TypeError, ValueError: If an argument is not as described, or a higher-order estimator is asked of a compiled
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
        lr: float = 0.05,
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
        self.every = check_int("every", every, least=1)
        self.warmup = check_int("warmup", warmup, least=0)
        self.freeze_at = None if freeze_at is None else check_int("freeze_at", freeze_at, least=0)
        self.seed = check_int("seed", seed, least=0)
        self._outer = Outer(chosen_hyperparams(unwrapped(model), hyperparams), self.lr, self.ema_decay)
        self._total_steps = None if total_steps is None else check_int("total_steps", total_steps, least=1)
        self._objective, self._estimator = to_objective(objective), to_estimator(estimator)
        refuse_sharded(model)
        if (is_compiled(model) or is_distributed(model)) and not self._estimator.wrapped:
            raise ValueError(
                f"{type(self._estimator).__name__} differentiates twice, which a model under torch.compile or "
                f"DistributedDataParallel does not allow, got {type(model).__name__}; give the model itself, or use "
                "'direct' or 'es'"
            )
        self._view, self._model = without_ddp(model), unwrapped(model)
        self._distributed = is_distributed(model) or process_group is not None
        self._group, self._scaler = process_group, scaler
        self._scale = 1.0 if scaler is None else scaler.get_scale()
        self._inner: torch.optim.Optimizer | None = None
        self._progress = Progress()
        self._warn_if_still(self.hyperparams)

    @property
    def hyperparams(self) -> dict[str, BoundedHyperparam]:
        """The hyperparameters that it learns, by name."""
        return dict(self._outer.hyperparams)

    def inner_param_groups(self, *, weight_decay: float) -> list[dict[str, Any]]:
        """Return the parameter groups of the weights, without the hyperparameters that the controller moves.

        Args:
            weight_decay: Of the weights that should decay; see `dsptorch.param_groups`.
        """
        groups = param_groups(self._model, weight_decay=weight_decay)
        controlled = {id(h.raw) for h in self.hyperparams.values()}
        return [{**g, "params": [p for p in g["params"] if id(p) not in controlled]} for g in groups]

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Show the controller the optimizer of the weights.

        It is checked to leave the hyperparameters alone, and estimators that look ahead start from what it remembers
        (momenta, averages) instead of from rest.

        Raises:
            ValueError: If it holds a hyperparameter.
        """
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        both = [name for name, h in self.hyperparams.items() if id(h.raw) in held]
        if both:
            raise ValueError(
                f"expected an optimizer of the weights alone, got one that also steps {', '.join(both)}; make it of "
                "controller.inner_param_groups(weight_decay=...)"
            )
        self._inner = optimizer

    def sink(self, name: str, hyperparam: BoundedHyperparam, setter: Setter | None = None) -> None:
        """Learn a hyperparameter outside the model: a learning rate, a dropout rate, the weight of a loss.

        Args:
            name: What to call it.
            hyperparam: It.
            setter: Called with the value, now and after each update: a float, an int for an integer, a tensor for
                several. None where a loss or a rule reads the hyperparameter itself.

        Raises:
            TypeError, ValueError: If the name is taken, if training has begun, or if the estimator cannot have a path
                to it. A setter that raises leaves it out.

        Example:
            >>> from dsptorch.meta import EvolutionStrategy
            >>> model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1))
            >>> controller = MetaController(model, estimator=EvolutionStrategy())
            >>> controller.sink("dropout", BoundedHyperparam(0.3, 0.0, 0.8), lambda p: setattr(model[1], "p", p))
            >>> round(model[1].p, 3)
            0.3
        """
        if not isinstance(hyperparam, BoundedHyperparam):
            raise TypeError(f"hyperparam must be a BoundedHyperparam, got {type(hyperparam).__name__}")
        if name in self.hyperparams or any(h is hyperparam for h in self.hyperparams.values()):
            raise ValueError(f"{name!r} is learned already; learned are: {', '.join(self.hyperparams)}")
        if self._progress.step:
            raise ValueError(
                f"sink must come before the first step, got {name!r} after {self._progress.step}"
            )
        if setter is not None and isinstance(self._estimator, Direct):
            raise ValueError(
                f"Direct has no path to {name!r}, which a setter hands on as a number; use EvolutionStrategy, or let "
                "the loss read the hyperparameter as a tensor, without a setter"
            )
        self._outer.add(name, hyperparam, setter)
        self._warn_if_still({name: hyperparam})

    def step(
        self, loss: float | Tensor, *, train_loss: Loss | None = None, val_loss: Loss | None = None
    ) -> Mapping[str, Any] | None:
        """Take in a training step, and update the hyperparameters if it is time; call it once per optimizer step.

        It takes the gradients that `loss.backward()` left at the hyperparameters, and clears them; micro-batches
        that accumulate gradients add up there, too.

        Args:
            loss: The training loss of the step.
            train_loss: A function of the model that draws a training batch and returns its loss.
            val_loss: The same for data that the weights do not see: what the hyperparameters are then judged by.

        Returns:
            The record of the update (see `history`), or None where there was none.

        Raises:
            TypeError, ValueError: If something is missing for the estimator, or it has no path to a hyperparameter.
            RuntimeError: If somebody else changed a hyperparameter.
        """
        value = check_losses(loss, train_loss, val_loss, self._estimator)
        if not self.hyperparams:
            raise ValueError(
                "there is nothing to learn: the model holds no BoundedHyperparam, and no sink was given"
            )
        grads = {name: h.raw.grad for name, h in self._outer.active().items()}
        progress = self._progress.after_training(
            value, {name: None if g is None else g / self._scale for name, g in grads.items()}, self.ema_decay
        )
        if not progress.expected:
            progress = replace(progress, expected=self._outer.raws())
        messages: list[str] = []
        since = progress.step - self.warmup
        if since <= 0:
            progress = progress.after_update()
        elif since % self.every == 0 and (self.freeze_at is None or progress.step <= self.freeze_at):
            progress, messages = self._update(progress, train_loss, val_loss)
        updated = progress.updates > self._progress.updates
        self._progress = progress
        for hyperparam in self.hyperparams.values():
            hyperparam.raw.grad = None
        if self._scaler is not None:
            self._scale = self._scaler.get_scale()  # the factor of the next backward pass
        for message in messages:
            warnings.warn(message, stacklevel=2)
        return progress.history[-1] if updated else None

    @property
    def history(self) -> list[dict[str, Any]]:
        """One record per update: step, loss, meta_loss, and value and hypergradient of each hyperparameter."""
        return copy.deepcopy([dict(record) for record in self._progress.history])

    @property
    def ema(self) -> dict[str, float | None]:
        """The moving averages of the losses: "train" at every step, "val" at every update."""
        averages = {"train": self._progress.train_ema, "val": self._progress.val_ema}
        return {name: None if value is None else value.item() for name, value in averages.items()}

    @property
    def skipped(self) -> int:
        """How many updates were left out because the hypergradient was not finite."""
        return self._progress.skipped

    def state_dict(self) -> dict[str, Any]:
        """Return all that a run needs to go on exactly, beside the model's own state, for `torch.save`."""
        return {
            "format": 1,
            **self._outer.state_dict(),
            "progress": self._progress.state_dict(),
            "scale": self._scale,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`, beside a model that has loaded its own; nothing changes if it does not fit.

        Raises:
            ValueError: If it is of another format, or of other hyperparameters.
        """
        if state.get("format") != 1:
            raise ValueError(
                f"expected the state_dict of a MetaController, format 1, got keys {list(state)[:5]}"
            )
        progress = Progress.from_state_dict(state["progress"])
        self._outer.load_state_dict(state)
        self._progress, self._scale = progress, float(state["scale"])

    def _update(
        self, progress: Progress, train_loss: Loss | None, val_loss: Loss | None
    ) -> tuple[Progress, list[str]]:
        """Make one update, or none at all; return where the controller stands then, and what to warn of."""
        check_unchanged(self._outer, progress)
        before = self._progress.train_ema if val_loss is None else progress.val_ema

        def objective(loss: Tensor) -> Tensor:
            now = loss.detach()
            ema, past = (now if known is None else known.to(now) for known in (before, progress.past))
            return self._objective(Losses(loss, ema, past, self.every, self.ema_decay))

        active = self._outer.active()
        problem = Problem(
            scope=Scope(self._model, self._outer.outside),
            view=self._view,
            hyperparams=active,
            train_loss=train_loss,
            val_loss=val_loss,
            objective=objective,
            accumulated={name: progress.mean_gradient(name) for name in active},
            mean_loss=progress.mean_loss(),
            optimizer_state=self._optimizer_state(),
            decayed=self._decayed(),
            scale=self._scale if self._scaler is None else self._scaler.get_scale(),
            seed=self.seed + progress.step,
            first=not progress.updates,
            set_sinks=self._outer.set_sinks,
        )
        return update(
            problem, self._estimator, self._outer, progress, decay=self.ema_decay, agree=self._agree
        )

    def _agree(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return agreed(tensors, self._group) if self._distributed else list(tensors)

    def _optimizer_state(self) -> State:
        """What the attached optimizer remembers, by the names of the weights."""
        if self._inner is None:
            return {}
        known = self._inner.state
        return {name: dict(known[p]) for name, p in self._model.named_parameters() if p in known}

    def _decayed(self) -> frozenset[str]:
        """The names of the weights that decay."""
        decayed = {id(p) for p in param_groups(self._model, weight_decay=1.0)[0]["params"]}
        return frozenset(name for name, p in self._model.named_parameters() if id(p) in decayed)

    def _warn_if_still(self, hyperparams: Mapping[str, BoundedHyperparam]) -> None:
        if self._total_steps is not None:
            last = min(self._total_steps, self._total_steps if self.freeze_at is None else self.freeze_at)
            message = still(hyperparams, self.lr, max(0, last - self.warmup) // self.every)
            if message:
                warnings.warn(message, stacklevel=3)
