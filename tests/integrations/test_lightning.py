"""The Lightning callbacks: the same numbers as in a plain loop, exact resumption, names in the logs."""

import functools
import itertools
import warnings
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam, MetaController, Multirate, named_hyperparams, param_groups
from dsptorch.integrations.driver import Driver
from dsptorch.integrations.lightning import HyperparamLogger, MetaControllerCallback

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Lightning says while it is imported
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger
    from lightning.pytorch.plugins.precision import MixedPrecision

STEPS, MICRO, EVERY, NAME = 8, 2, 2, "layer.mix_ratio"
CONTROLLER = {"every": EVERY, "lr": 0.3}


def batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(count, 4, 12, 4, generator=generator))


TRAIN, VAL = batches(STEPS * MICRO, seed=0), batches(3, seed=1)
SHUFFLED = torch.utils.data.DataLoader(batches(12, seed=1), batch_size=None, shuffle=True)


class Module(LightningModule):
    """A filter and a linear layer that predict the next sample."""

    def __init__(self, every_parameter=False):
        super().__init__()
        self.layer, self.head = Multirate(4), nn.Linear(4, 4)
        self.every_parameter = every_parameter

    def loss(self, x):
        return (self.head(self.layer(x))[:, :-1] - x[:, 1:].cumsum(1)).square().mean()

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def configure_optimizers(self):
        groups = self.parameters() if self.every_parameter else param_groups(self, weight_decay=0.1)
        return torch.optim.AdamW(groups, lr=1e-2)


def module(seed=0, **kwargs):
    torch.manual_seed(seed)
    return Module(**kwargs)


def loss_of(model, batch):
    return model.loss(batch)


@contextmanager
def quiet():
    """Without what Lightning says of short runs and of loaders without workers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning|torch.jit|pytree")
        warnings.filterwarnings("ignore", message=".*(does not have many workers|not resumable|isinstance).*")
        yield


def fitted(folder, *callbacks, model=None, steps=STEPS, logger=False, ckpt_path=None, **arguments):
    settings = {"accumulate_grad_batches": MICRO, "gradient_clip_val": 0.5, "log_every_n_steps": EVERY}
    model = model or module()
    with quiet():
        made = Trainer(
            accelerator="cpu",
            max_steps=steps,
            callbacks=list(callbacks),
            logger=logger,
            enable_checkpointing=len(callbacks) > 1,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            **settings | arguments,
        )
        loader = torch.utils.data.DataLoader(TRAIN, batch_size=None)
        made.fit(model, loader, ckpt_path=ckpt_path)
    return made


def trained(folder, with_val=False, **arguments):
    callback = MetaControllerCallback(loss_of, val_data=VAL if with_val else None, **CONTROLLER)
    fitted(folder, callback, **arguments)
    return callback.controller.history


@functools.cache
def plain_loop(with_val):
    """The same training without Lightning: what the callback must reproduce."""
    model, val_data = module(), itertools.cycle(VAL)
    val_loss = (lambda m: m.eval().loss(next(val_data))) if with_val else None
    controller = MetaController(model, **CONTROLLER)
    groups = controller.inner_param_groups(weight_decay=0.1)
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    for step in range(STEPS):
        loss = 0.0
        for batch in TRAIN[step * MICRO : (step + 1) * MICRO]:
            part = model.loss(batch) / MICRO
            part.backward()
            loss += part.detach()
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 0.5)
        optimizer.step()
        optimizer.zero_grad()
        controller.step(loss, val_loss=val_loss)
    return controller.history


def check_against_a_plain_loop(folder, with_val):
    expected = plain_loop(with_val)
    assert trained(folder, with_val) == expected
    assert [record["step"] for record in expected] == list(range(EVERY, STEPS + 1, EVERY))


@pytest.mark.parametrize("with_val", [False, True], ids=["of training", "of validation"])
def test_values_move_as_in_a_plain_loop(tmp_path, with_val):
    check_against_a_plain_loop(tmp_path, with_val)


def test_a_step_at_every_batch_is_seen(tmp_path, monkeypatch):
    def at_every_batch(self, trainer, pl_module, outputs, batch, batch_idx):
        self._driver.step(outputs["loss"])

    monkeypatch.setattr(MetaControllerCallback, "on_train_batch_end", at_every_batch)
    with pytest.raises(AssertionError):
        check_against_a_plain_loop(tmp_path, with_val=False)


def test_a_gradient_of_one_batch_of_several_is_seen(tmp_path, monkeypatch):
    def keep(self, raw):
        self._kept[raw], raw.grad = raw.grad, None

    monkeypatch.setattr(Driver, "_keep", keep)
    with pytest.raises(AssertionError):
        check_against_a_plain_loop(tmp_path, with_val=False)


class Precision(MixedPrecision):
    """A gradient scaler without autocast."""

    def autocast_context_manager(self):
        return torch.autocast("cpu", enabled=False)


def test_a_gradient_scaler_changes_nothing(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    plugin = Precision("16-mixed", "cpu", scaler=scaler)
    assert trained(tmp_path, plugins=[plugin]) == trained(tmp_path)
    assert scaler.get_scale() > 2.0**10


def test_the_loss_on_validation_data_is_taken_in_the_precision_of_training(tmp_path):
    dtypes = []

    def loss_fn(model, batch):
        dtypes.append(model.head(batch).dtype)
        return model.loss(batch)

    fitted(tmp_path, MetaControllerCallback(loss_fn, val_data=VAL, **CONTROLLER), precision="bf16-mixed")
    assert set(dtypes) == {torch.bfloat16}


class ByStep(Module):
    """Takes the batch of its step: Lightning gives a resumed run its first batch twice."""

    def training_step(self, batch, batch_idx):
        return self.loss(TRAIN[self.trainer.global_step % len(TRAIN)])


def resumed(folder, change=lambda state: state, val_data=None):
    """A run of two epochs of 16 steps, and a new one that goes on from its checkpoint after the first."""
    first, second = (MetaControllerCallback(loss_of, val_data=val_data, every=5, lr=0.3) for _ in range(2))
    settings = {"accumulate_grad_batches": 1, "steps": 32}
    torch.manual_seed(0)
    fitted(
        folder, first, ModelCheckpoint(folder, every_n_epochs=1, save_top_k=-1), model=ByStep(), **settings
    )
    cut = folder / "epoch=0-step=16.ckpt"
    torch.save(change(torch.load(cut, weights_only=True)), cut)
    fitted(folder, second, model=ByStep(), ckpt_path=cut, **settings)
    return first.controller, second.controller


@pytest.mark.parametrize("val_data", [None, SHUFFLED], ids=["of training", "of shuffled validation"])
def test_a_resumed_run_is_the_run(tmp_path, val_data):
    whole, second = resumed(tmp_path, val_data=val_data)
    assert second.history == whole.history
    assert [record["step"] for record in whole.history] == [5, 10, 15, 20, 25, 30]


def forgetful(state):
    state["callbacks"]["MetaControllerCallback"]["controller"]["adam"] = {}
    return state


def without_callback(state):
    del state["callbacks"]["MetaControllerCallback"]
    return state


def test_a_checkpoint_that_lost_something_is_seen(tmp_path):
    whole, second = resumed(tmp_path, forgetful)
    assert second.history != whole.history


def test_a_checkpoint_without_a_controller_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="checkpoint with the state of a MetaControllerCallback, got none of step 16"
    ):
        resumed(tmp_path, without_callback)


def logged(folder, name):
    """The rows of a CSV log in which a column stands."""
    lines = (folder / "log" / "version_0" / "metrics.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    return [float(row[name]) for row in rows if row[name]]


def test_logs_hold_the_names(tmp_path):
    callback = MetaControllerCallback(**CONTROLLER)
    made = fitted(tmp_path, callback, logger=CSVLogger(tmp_path, name="log"))
    values = [record["value"][NAME] for record in callback.controller.history]
    assert logged(tmp_path, f"hyperparams/{NAME}") == pytest.approx(values, rel=1e-6)
    assert made.callback_metrics[f"hyperparams/{NAME}"].item() == pytest.approx(values[-1], rel=1e-6)
    assert {f"saturation/{NAME}", "meta_loss"} <= set(made.callback_metrics)


def test_values_are_logged_without_a_controller(tmp_path):
    model = module()
    fitted(tmp_path, HyperparamLogger(), model=model, logger=CSVLogger(tmp_path, name="log"))
    values = logged(tmp_path, f"hyperparams/{NAME}")
    assert len(values) == STEPS // EVERY
    assert values[-1] == pytest.approx(model.layer.mix_ratio.value.item(), rel=1e-6)
    assert values[-1] != pytest.approx(0.4, rel=1e-4)


def check_ordinary(model):
    for hyperparam in dict(named_hyperparams(model)).values():
        assert hyperparam.raw.requires_grad
        assert not hyperparam.raw._post_accumulate_grad_hooks


def test_the_module_is_an_ordinary_one_afterwards(tmp_path):
    model = module()
    callback = MetaControllerCallback(**CONTROLLER)
    fitted(tmp_path, callback, model=model)
    check_ordinary(model)
    assert len(callback.controller.history) == STEPS // EVERY


def test_an_optimizer_that_holds_hyperparameters_is_refused(tmp_path):
    model = module(every_parameter=True)
    with pytest.raises(
        ValueError, match=rf"also steps {NAME}, .*; in configure_optimizers .*param_groups\(self"
    ):
        fitted(tmp_path, MetaControllerCallback(**CONTROLLER), model=model)
    check_ordinary(model)


def test_optimization_by_hand_is_refused(tmp_path):
    model = module()
    model.automatic_optimization = False
    with pytest.raises(ValueError, match=r"automatic_optimization=False; .*call controller.step"):
        fitted(
            tmp_path, MetaControllerCallback(), model=model, accumulate_grad_batches=1, gradient_clip_val=None
        )


def test_an_added_hyperparam_without_a_setter_is_learned_with_its_price(tmp_path):
    width = BoundedHyperparam(0.5, 0.0, 1.0)
    callback = MetaControllerCallback(
        lambda m, batch: m.loss(batch) + width().sum(),
        val_data=VAL,
        outside={"width": (width, None)},
        **CONTROLLER,
    )
    made = fitted(tmp_path, callback)
    assert width.value.item() == made.callback_metrics["hyperparams/width"].item() < 0.3
