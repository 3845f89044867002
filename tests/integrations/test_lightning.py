"""What only the Lightning callback must do; test_both.py has the rest."""

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision

from dsptorch import BoundedHyperparam
from dsptorch.integrations.driver import Driver
from dsptorch.integrations.lightning import MetaControllerCallback
from tests.integrations import pl
from tests.integrations.test_both import check_against_a_plain_loop, check_ordinary


def test_a_step_at_every_batch_is_seen(tmp_path, monkeypatch):
    def at_every_batch(self, trainer, pl_module, outputs, batch, batch_idx):
        self._driver.step(outputs["loss"])

    monkeypatch.setattr(MetaControllerCallback, "on_train_batch_end", at_every_batch)
    with pytest.raises(AssertionError):
        check_against_a_plain_loop(pl, tmp_path)


def test_a_gradient_of_one_batch_of_several_is_seen(tmp_path, monkeypatch):
    def keep(self, raw):
        self._kept[raw], raw.grad = raw.grad, None

    monkeypatch.setattr(Driver, "_keep", keep)
    with pytest.raises(AssertionError):
        check_against_a_plain_loop(pl, tmp_path)


class Precision(MixedPrecision):
    """A gradient scaler without autocast."""

    def autocast_context_manager(self):
        return torch.autocast("cpu", enabled=False)


def test_a_gradient_scaler_changes_nothing(tmp_path):
    scaler, callback = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2), pl.callback()
    pl.fit(tmp_path, callback, plugins=[Precision("16-mixed", "cpu", scaler=scaler)])
    assert callback.controller.history == pl.plain_loop(with_val=False)
    assert scaler.get_scale() > 2.0**10


def test_the_loss_on_validation_data_is_taken_in_the_precision_of_training(tmp_path):
    dtypes = []

    def loss_fn(model, batch):
        dtypes.append(model.head(batch).dtype)
        return model.loss(batch)

    callback = MetaControllerCallback(loss_fn, val_data=pl.VAL, **pl.CONTROLLER)
    pl.fit(tmp_path, callback, precision="bf16-mixed")
    assert set(dtypes) == {torch.bfloat16}


def test_an_optimizer_that_holds_hyperparameters_is_refused(tmp_path):
    model = pl.new_model(every_parameter=True)
    message = rf"also steps {pl.NAME}, .*; in configure_optimizers .*param_groups\(self"
    with pytest.raises(ValueError, match=message):
        pl.fit(tmp_path, pl.callback(), model=model)
    check_ordinary(model)


def test_optimization_by_hand_is_refused(tmp_path):
    model = pl.new_model()
    model.automatic_optimization = False
    plain = {"accumulate_grad_batches": 1, "gradient_clip_val": None}
    with pytest.raises(ValueError, match=r"automatic_optimization=False; .*call controller.step"):
        pl.fit(tmp_path, MetaControllerCallback(), model=model, **plain)


def test_an_added_hyperparam_without_a_setter_is_learned_with_its_price(tmp_path):
    width = BoundedHyperparam(0.5, 0.0, 1.0)

    def loss_fn(model, batch):
        return model.loss(batch) + width().sum()

    outside = {"width": (width, None)}
    made = pl.fit(
        tmp_path, MetaControllerCallback(loss_fn, val_data=pl.VAL, outside=outside, **pl.CONTROLLER)
    )
    assert width.value.item() == made.callback_metrics["hyperparams/width"].item() < 0.3
    assert {f"saturation/{pl.NAME}", "meta_loss"} <= set(made.callback_metrics)
