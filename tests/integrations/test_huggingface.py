"""What only the HuggingFace callback must do; test_both.py has the rest."""

import pytest
import torch

from dsptorch import BoundedHyperparam, MetaController, named_hyperparams
from dsptorch.integrations.driver import Driver
from dsptorch.integrations.huggingface import HyperparamLogger, MetaControllerCallback, TrainerCallback
from dsptorch.meta import AdamRule, EvolutionStrategy
from tests.integrations import hf, pl
from tests.integrations.test_both import check_against_a_plain_loop, check_alike


def test_gradients_that_are_clipped_with_the_weights_are_seen(tmp_path, monkeypatch):
    def late(self, args, state, control, **kwargs):
        for h in self.controller.hyperparams.values():
            self._driver._kept[h.raw] = h.raw.grad

    monkeypatch.setattr(Driver, "_keep", lambda self, raw: None)
    monkeypatch.setattr(MetaControllerCallback, "on_optimizer_step", late)
    with pytest.raises(AssertionError):
        check_against_a_plain_loop(hf, tmp_path)


def test_gradients_that_the_trainer_clears_are_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(Driver, "_keep", lambda self, raw: None)
    with pytest.raises(ValueError, match="no path to"):
        check_against_a_plain_loop(hf, tmp_path)


def test_a_loss_of_one_batch_of_several_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(MetaControllerCallback, "_loss", lambda self, processes: self._returned[-1][0])
    with pytest.raises(AssertionError):
        check_against_a_plain_loop(hf, tmp_path)


def test_a_gradient_scaler_changes_nothing(tmp_path):
    scaled, plain = hf.callback(), hf.callback()
    made = hf.trainer(tmp_path, scaled, max_grad_norm=1e9)
    made.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    made.train()
    assert made.optimizer.scaler.get_scale() > 2.0**10
    hf.fit(tmp_path, plain, max_grad_norm=1e9)
    assert scaled.controller.history == plain.controller.history


class Later(TrainerCallback):
    """A logger that is given after the callback."""

    def on_log(self, args, state, control, *, logs=None, **kwargs):
        self.logs = dict(logs)


def test_loggers_that_come_later_see_the_values(tmp_path):
    later, model = Later(), hf.new_model()
    made = hf.fit(tmp_path, HyperparamLogger(), later, model=model, max_steps=2)
    value = dict(named_hyperparams(model))[hf.NAME].value.item()
    assert later.logs[f"hyperparams/{hf.NAME}"] == value
    assert made.state.log_history[-1] == later.logs | {"step": 2}


def own_optimizer(folder, callback):
    model = hf.new_model()
    hf.fit(folder, callback, model=model, optimizers=(torch.optim.AdamW(model.parameters()), None))


def added_later(folder, callback):
    made = hf.trainer(folder)
    made.add_callback(callback)
    made.train()


@pytest.mark.parametrize("run", [own_optimizer, added_later])
def test_an_optimizer_that_holds_hyperparameters_is_refused(tmp_path, run):
    message = rf"also steps {hf.NAME}, .*callbacks=\[...\]\) from the start"
    with pytest.raises(ValueError, match=message):
        run(tmp_path, hf.callback())


def test_an_optimizer_of_the_weights_is_taken(tmp_path):
    model, callback = hf.new_model(), hf.callback()
    groups = MetaController(model).inner_param_groups(weight_decay=0.1)
    hf.fit(tmp_path, callback, model=model, optimizers=(torch.optim.AdamW(groups), None))
    assert len(callback.controller.history) == hf.STEPS // hf.EVERY


@pytest.mark.parametrize("observes", [False, True])
def test_a_loss_outside_the_model_is_observed_or_asked_for(tmp_path, observes):
    callback = hf.callback()

    def loss_func(outputs, labels, num_items_in_batch=None):
        logits, targets = outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / num_items_in_batch
        if observes:
            callback.observe(loss)
        return loss

    made = hf.trainer(tmp_path, callback)
    made.compute_loss_func = loss_func
    if observes:
        made.train()
        check_alike(callback.controller.history, hf.plain_loop(with_val=False))
    else:
        with pytest.raises(RuntimeError, match=r"got none in this step: .*callback.observe\(loss\)"):
            made.train()


def test_an_added_hyperparam_is_learned(tmp_path):
    decay, handed = BoundedHyperparam(0.1, 0.001, 1.0, log=True), []
    callback = hf.callback(
        hf.VAL,
        train_data=hf.VAL,
        outside={"decay": (decay, handed.append)},
        estimator=EvolutionStrategy(AdamRule(lr=0.01, weight_decay=decay), horizon=1, pairs=1),
        every=4,
    )
    made = hf.fit(tmp_path, callback)
    assert handed[0] == pytest.approx(0.1) != decay.value.item() == handed[-1]
    assert made.state.log_history[-1]["hyperparams/decay"] == decay.value.item()


def test_settings_that_would_lose_the_callback_are_refused(tmp_path):
    with pytest.raises(ValueError, match="restore_callback_states_from_checkpoint=False, got True"):
        hf.trainer(tmp_path, MetaControllerCallback(), restore_callback_states_from_checkpoint=True)


class Predictor(pl.Module):
    """The model returns its loss."""

    def forward(self, x):
        return {"loss": self.loss(x)}


@pytest.mark.slow
def test_a_compiled_model_is_watched_too(tmp_path):
    histories = []
    for backend in (None, "aot_eager"):
        callback = hf.callback()
        torch.manual_seed(0)
        made = hf.trainer(tmp_path, callback, model=Predictor(), torch_compile_backend=backend)
        made.train_dataset = [{"x": signal} for signal in torch.cat(pl.TRAIN)]
        made.train()
        histories.append(callback.controller.history)
    assert type(made.model_wrapped).__name__ == "OptimizedModule"
    check_alike(*histories)
