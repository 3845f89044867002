"""Callbacks for the Trainer of HuggingFace transformers.

Needs the extra: `pip install 'dsptorch[integrations]'`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.hyperparams import named_hyperparams
from dsptorch.integrations.driver import Driver, Outside
from dsptorch.integrations.json_state import from_json, to_json
from dsptorch.integrations.metrics import hyperparam_metrics
from dsptorch.meta import MetaController

try:
    from accelerate.utils import send_to_device  # type: ignore[import-untyped]
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_callback import ExportableState
except ImportError as error:
    raise ImportError(
        "dsptorch.integrations.huggingface needs transformers and accelerate; pip install 'dsptorch[integrations]'"
    ) from error

__all__ = ["HyperparamLogger", "MetaControllerCallback"]

_HINT = (
    "let the Trainer make the optimizer, with this callback among Trainer(model, ..., callbacks=[...]) from the start "
    "(not add_callback, nor model_init); or make it of MetaController(model).inner_param_groups(weight_decay=...)"
)


class HyperparamLogger(TrainerCallback):
    """Log value and saturation of each BoundedHyperparam by name, regardless of what moves it.

    They appear in `trainer.state.log_history` and in the logs of each callback after this one. The loggers of
    `report_to` come before; to log the values there, pass such a logger after this callback:
    `callbacks=[HyperparamLogger(), TensorBoardCallback()]`.

    Example:
        >>> import tempfile
        >>> from dsptorch import Multirate
        >>> from transformers import Trainer
        >>> class Model(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = Multirate(4)
        ...     def forward(self, x):
        ...         return {"loss": self.layer(x).square().mean()}
        >>> data = [{"x": torch.ones(8, 4)}] * 8
        >>> args = TrainingArguments(tempfile.mkdtemp(), max_steps=2, logging_steps=1, disable_tqdm=True,
        ...                          use_cpu=True, save_strategy="no")
        >>> trainer = Trainer(Model(), args, train_dataset=data, callbacks=[HyperparamLogger()])
        >>> result = trainer.train()                                         # doctest: +ELLIPSIS
        {...'hyperparams/layer.mix_ratio': ...}
        >>> [name for name in trainer.state.log_history[0] if "mix_ratio" in name]
        ['hyperparams/layer.mix_ratio', 'saturation/layer.mix_ratio']
    """

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        logs: dict[str, float] | None = None,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the values to the logs."""
        _add(hyperparam_metrics(dict(named_hyperparams(model))) if model is not None else {}, state, logs)


class MetaControllerCallback(TrainerCallback, ExportableState):
    """Run a MetaController in a HuggingFace Trainer, and log the hyperparameters that it moves.

        Trainer(model, args, train_dataset=..., callbacks=[MetaControllerCallback(val_data=loader, every=20)])

    The controller steps once per step of the optimizer, after it and after `model.zero_grad()`. The Trainer's own
    optimizer leaves the hyperparameters out, and its gradient clipping does not see their gradients. The state is in
    `trainer_state.json` of each checkpoint, and resumes exactly. Values are logged as by `HyperparamLogger`.

    Args:
        loss_fn: The loss of a model on a batch; by default the loss that the model returns for it. A
            cost on a hyperparameter can be added to it.
        val_data: Batches that the weights are not trained on, such as a DataLoader. The hyperparameters are updated by
            the loss on them, in evaluation mode. None uses the gradients of training, at no extra cost.
        train_data: Batches for estimators that train by themselves.
        outside: Hyperparameters outside the model: names with (hyperparam, setter), as `MetaController.add_hyperparam`
            takes them.
        **controller: The arguments of MetaController, except those that the Trainer supplies: `scaler`,
            `process_group` and `total_steps`.

    Raises:
        TypeError, ValueError: If an argument is not as described; when the Trainer is made, if the model has no such
            hyperparameter; when training begins, if the optimizer holds one, or the checkpoint has no controller.

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
            _own_loss if loss_fn is None else loss_fn,
            train_data=train_data,
            val_data=val_data,
            outside=outside,
            arguments=controller,
        )
        self._returned: list[
            tuple[Tensor, bool]
        ] = []  # by the model; whether it is its share of the step's loss
        self._observed: list[Tensor] = []
        self._hook: Any = None

    @property
    def controller(self) -> MetaController | None:
        """The controller; None before training begins."""
        return self._driver.controller

    def observe(self, loss: Tensor) -> None:
        """Take the loss of a batch from a Trainer that computes it outside the model.

        Call it in `compute_loss_func`, or in your own `compute_loss`, with what is returned there: a batch's share of
        the loss of its step, which is the sum of them. Without a call the loss that the model returns is taken.
        """
        self._observed.append(loss.detach())

    def on_init_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Keep the hyperparameters out of the optimizer that the Trainer creates."""
        if args.restore_callback_states_from_checkpoint:
            raise ValueError(
                "expected restore_callback_states_from_checkpoint=False, got True: the Trainer would replace this "
                "callback by one without data and loss; it restores its own state in any case"
            )
        if args.n_gpu > 1 or args.deepspeed:
            raise ValueError(
                f"expected one device per process without DeepSpeed, got n_gpu={args.n_gpu}, deepspeed="
                f"{args.deepspeed!r}; start with torchrun, which takes DistributedDataParallel"
            )
        self._driver.freeze(kwargs["model"])

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Create the controller, or resume it from the checkpoint."""
        self._close()
        model, optimizer = kwargs["model"], kwargs["optimizer"]
        saved = self._saved(state) if state.global_step else None
        self._driver.begin(
            model,
            [optimizer],
            hint=_HINT,
            move=partial(send_to_device, device=args.device),
            scaler=getattr(optimizer, "scaler", None),
            rank=args.process_index if args.world_size > 1 else None,
            total_steps=state.max_steps,
            state=saved,
        )
        self._hook = model.register_forward_hook(self._see, with_kwargs=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Let the controller register the step."""
        processes = args.world_size if args.average_tokens_across_devices else 1
        try:
            self._driver.step(self._loss(processes))
        finally:  # of this step, and of what the controller computed
            self._returned, self._observed = [], []

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the values to the logs."""
        _add(self._driver.metrics(), state, logs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Release the model."""
        self._close()

    def state(self) -> dict[str, Any]:
        """Return the state for the Trainer's checkpoint."""
        return {"args": {}, "attributes": {"saved": to_json(self._driver.state_dict())}}

    def _see(self, model: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        """Record the loss that the model returns in training."""
        loss = _loss_in(output) if model.training and torch.is_grad_enabled() else None
        if loss is not None:
            self._returned.append((loss.detach(), kwargs.get("num_items_in_batch") is not None))

    def _loss(self, processes: int) -> Tensor:
        """The training loss of the step that ends, of all its batches."""
        if self._observed:
            return torch.stack(self._observed).sum()
        if not self._returned:
            raise RuntimeError(
                "expected a model that returns its loss, got none in this step: compute_loss_func, an own compute_loss "
                "or label smoothing take it outside of the model; call callback.observe(loss) there"
            )
        losses = torch.stack([loss for loss, _ in self._returned])
        shares = all(share for _, share in self._returned)  # divided by the number of items in the whole step
        return losses.sum() * processes if shares else losses.mean()

    def _saved(self, state: TrainerState) -> Any:
        """The state in the checkpoint that the Trainer resumes from."""
        stored: Any = state.stateful_callbacks
        found = stored.get(type(self).__name__) if isinstance(stored, Mapping) else None
        saved = from_json(found["attributes"].get("saved")) if isinstance(found, Mapping) else None
        if not saved:
            raise ValueError(
                f"expected a checkpoint with the state of one {type(self).__name__}, got none of step "
                f"{state.global_step}; resume what was trained with this callback, or load its weights into the model "
                "and train anew"
            )
        return saved

    def _close(self) -> None:
        self._driver.end()
        if self._hook is not None:
            self._hook.remove()
        self._hook, self._returned, self._observed = None, [], []


def _add(metrics: Mapping[str, float], state: TrainerState, logs: dict[str, float] | None) -> None:
    if logs is None or not metrics:
        return
    logs.update(metrics)
    if state.log_history:  # the Trainer has put a copy of the logs there already
        state.log_history[-1].update(metrics)


def _loss_in(output: Any) -> Tensor | None:
    """The loss in the output of a model, found as the Trainer does."""
    if isinstance(output, Mapping):
        return output.get("loss")
    first = output[0] if isinstance(output, (tuple, list)) and output else None
    return first if isinstance(first, Tensor) and first.dim() == 0 else None


def _own_loss(model: nn.Module, batch: Any) -> Tensor:
    """The loss that the model itself returns for a batch."""
    output = model(**batch)
    loss = _loss_in(output)
    if loss is None:
        raise ValueError(
            "expected a model that returns its loss for a batch of val_data or train_data, got none; give labels in "
            "the batch, or loss_fn=lambda model, batch: ..."
        )
    return loss
