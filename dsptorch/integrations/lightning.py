"""Callbacks for the Trainer of Lightning.

Needs the extra: `pip install 'dsptorch[integrations]'`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.hyperparams import named_hyperparams
from dsptorch.integrations.driver import Driver, Outside
from dsptorch.integrations.metrics import hyperparam_metrics
from dsptorch.meta import MetaController

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise ImportError(
        "dsptorch.integrations.lightning needs lightning; pip install 'dsptorch[integrations]'"
    ) from error

__all__ = ["HyperparamLogger", "MetaControllerCallback"]

_HINT = (
    "in configure_optimizers give it the parameters that require a gradient there, as dsptorch.param_groups(self, "
    "weight_decay=...) does: until training begins those of the controller do not"
)


class HyperparamLogger(Callback):
    """Log value and saturation of each BoundedHyperparam by name, regardless of what moves it.

    They go through `LightningModule.log`, every `log_every_n_steps` steps: to all loggers, and to `callback_metrics`.

    Example:
        >>> logger = HyperparamLogger()
        >>> # Trainer(callbacks=[logger]).fit(module, loader)
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the values if Lightning logs after this step."""
        if _logs(trainer):
            pl_module.log_dict(hyperparam_metrics(dict(named_hyperparams(pl_module))))


class MetaControllerCallback(Callback):
    """Run a MetaController in a Lightning Trainer, and log the hyperparameters that it moves.

        Trainer(callbacks=[MetaControllerCallback(loss_fn, val_data=loader, every=20)]).fit(module, train_loader)

    The controller steps once per step of the optimizer, after it. `configure_optimizers` must leave the
    hyperparameters out: until training begins they require no gradient, so `dsptorch.param_groups(self,
    weight_decay=...)` does. The state is in each checkpoint, and resumes exactly. Values are logged as by
    `HyperparamLogger`.

    Args:
        loss_fn: The loss of the LightningModule on a batch of the data below, as `lambda module, batch: ...`; without
            `self.log`. A cost on a hyperparameter can be added to it.
        val_data: Batches that the weights are not trained on, such as a DataLoader. The hyperparameters are updated by
            the loss on them, in evaluation mode. None uses the gradients of training, at no extra cost.
        train_data: Batches for estimators that train by themselves.
        outside: Hyperparameters outside the model: names with (hyperparam, setter), as `MetaController.add_hyperparam`
            takes them.
        **controller: The arguments of MetaController, except those that the Trainer supplies: `scaler`,
            `process_group` and `total_steps`.

    Raises:
        TypeError, ValueError: If an argument is not as described; when fitting begins, if the optimizer holds a
            hyperparameter, the module optimizes by hand, or the checkpoint has no controller.

    Example:
        >>> callback = MetaControllerCallback(every=20, lr=0.1)
        >>> callback.controller is None                                  # created when training begins
        True
    """

    def __init__(
        self,
        loss_fn: Callable[[nn.Module, Any], Tensor] | None = None,
        *,
        val_data: Iterable[Any] | None = None,
        train_data: Iterable[Any] | None = None,
        outside: Outside | None = None,
        **controller: Any,
    ) -> None:
        self._driver = Driver(
            loss_fn, train_data=train_data, val_data=val_data, outside=outside, arguments=controller
        )
        self._losses: list[Tensor] = []  # of the batches of a step
        self._stepped = 0
        self._saved: Mapping[str, Any] = {}

    @property
    def controller(self) -> MetaController | None:
        """The controller; None before training begins."""
        return self._driver.controller

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the hyperparameters out of the optimizers, which are created later."""
        if stage != "fit":
            return
        if not pl_module.automatic_optimization:
            raise ValueError(
                "expected a module that Lightning optimizes, got automatic_optimization=False; in a training_step of "
                "your own call controller.step(loss) of a MetaController, after optimizer.step()"
            )
        self._driver.freeze(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Create the controller, or resume it from the checkpoint or the last fit."""
        saved = self._saved or self._driver.state_dict()
        if trainer.global_step and not saved:
            raise ValueError(
                f"expected a checkpoint with the state of a {type(self).__name__}, got none of step "
                f"{trainer.global_step}; resume what was trained with this callback, or load its weights into the "
                "module and train anew"
            )
        planned = trainer.estimated_stepping_batches
        self._driver.begin(
            pl_module,
            trainer.optimizers,
            hint=_HINT,
            move=lambda batch: pl_module.transfer_batch_to_device(batch, pl_module.device, 0),
            scaler=getattr(trainer.precision_plugin, "scaler", None),
            rank=trainer.global_rank if trainer.world_size > 1 else None,
            total_steps=int(planned) if planned not in (float("inf"), -1) else None,
            context=trainer.precision_plugin.train_step_context,
            state=saved if trainer.global_step else None,
        )
        self._saved, self._losses, self._stepped = {}, [], trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let the controller register the step, if this batch ended one."""
        if outputs and outputs.get("loss") is not None:  # Lightning has divided the loss
            self._losses.append(outputs["loss"].detach() * trainer.accumulate_grad_batches)
        if trainer.global_step == self._stepped:
            return
        self._stepped = trainer.global_step
        if self._losses:
            loss, self._losses = torch.stack(self._losses).mean(), []
            self._driver.step(loss)
        if _logs(trainer):
            pl_module.log_dict(self._driver.metrics())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Release the module."""
        self._driver.end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Release the module."""
        self._driver.end()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for Lightning's checkpoint."""
        return self._driver.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Store the state of a checkpoint until training begins."""
        self._saved = dict(state_dict)


def _logs(trainer: Trainer) -> bool:
    """Whether Lightning logs after this step."""
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by its logger connector
    return bool(every) and trainer.global_step % every == 0
