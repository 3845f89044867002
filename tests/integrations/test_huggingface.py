"""The HuggingFace callbacks: the same numbers as in a plain loop, exact resumption, names in the logs."""

import itertools
import json

import pytest
import torch

from dsptorch import BoundedHyperparam, MetaController, Multirate, named_hyperparams
from dsptorch.integrations import huggingface
from dsptorch.integrations.driver import Driver
from dsptorch.integrations.huggingface import HyperparamLogger, MetaControllerCallback
from dsptorch.meta import AdamRule, EvolutionStrategy
from tests.integrations.hf import CONTROLLER, EVERY, STEPS, VAL, Recorder, gpt2, plain_loop, trainer

NAME = "transformer.h.0.dsp_before.mix_ratio"


def trained(folder, callback=None, **arguments):
    """The history of a run under the Trainer, the batches that it saw, and the Trainer."""
    recorder = Recorder()
    callback = callback or MetaControllerCallback(**CONTROLLER)
    made = trainer(folder, [callback], collator=recorder, **arguments)
    made.train()
    return callback.controller.history, recorder.batches, made


@pytest.fixture(scope="module")
def ordinary_run(tmp_path_factory):
    """One run for the tests that only look at it."""
    return trained(tmp_path_factory.mktemp("run"))


def check_alike(found, expected):
    assert [record["step"] for record in found] == [record["step"] for record in expected]
    assert [record["step"] for record in found] == list(range(EVERY, STEPS + 1, EVERY))
    for one, other in zip(found, expected, strict=True):
        for kind in ("loss", "meta_loss"):
            assert one[kind] == pytest.approx(other[kind], rel=1e-5)
        for kind in ("value", "hypergradient"):
            assert one[kind] == pytest.approx(other[kind], rel=1e-3, abs=1e-7)


def val_loss():
    batches = itertools.cycle(VAL)
    return lambda m: m.eval()(**next(batches)).loss


def check_against_a_plain_loop(folder, with_val):
    callback = MetaControllerCallback(val_data=VAL if with_val else None, **CONTROLLER)
    found, batches, _ = trained(folder, callback)
    check_alike(found, plain_loop(batches, val_loss() if with_val else None))


@pytest.mark.parametrize("with_val", [False, True], ids=["of training", "of validation"])
def test_values_move_as_in_a_plain_loop(tmp_path, with_val):
    check_against_a_plain_loop(tmp_path, with_val)


def test_gradients_that_are_clipped_with_the_weights_are_seen(tmp_path, monkeypatch):
    def late(self, args, state, control, **kwargs):
        for h in self.controller.hyperparams.values():
            self._driver._kept[h.raw] = h.raw.grad

    monkeypatch.setattr(Driver, "_keep", lambda self, raw: None)
    monkeypatch.setattr(MetaControllerCallback, "on_optimizer_step", late)
    with pytest.raises(AssertionError):
        check_against_a_plain_loop(tmp_path, with_val=False)


def test_gradients_that_the_trainer_clears_are_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(Driver, "_keep", lambda self, raw: None)
    with pytest.raises(ValueError, match="no path to"):
        check_against_a_plain_loop(tmp_path, with_val=False)


def test_a_loss_of_one_batch_of_several_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(MetaControllerCallback, "_loss", lambda self, processes: self._returned[-1][0])
    with pytest.raises(AssertionError):
        check_against_a_plain_loop(tmp_path, with_val=False)


def test_a_gradient_scaler_changes_nothing(tmp_path):
    callback = MetaControllerCallback(**CONTROLLER)
    made = trainer(tmp_path, [callback], max_grad_norm=1e9)
    made.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    made.train()
    assert made.optimizer.scaler.get_scale() > 2.0**10
    expected, _, _ = trained(tmp_path, max_grad_norm=1e9)
    assert callback.controller.history == expected


def resumed(folder, change=lambda state: state, val_data=VAL):
    """A run that is cut off at step 5, and a new one that goes on from its checkpoint."""
    first = MetaControllerCallback(val_data=val_data, **CONTROLLER)
    trained(folder, first, save_strategy="steps", save_steps=5)
    checkpoint = folder / "checkpoint-5"
    file = checkpoint / "trainer_state.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    moved = checkpoint.rename(folder / "elsewhere")  # a checkpoint may be anywhere
    second = MetaControllerCallback(val_data=val_data, **CONTROLLER)
    made = trainer(folder, [second], model=gpt2(seed=7))
    made.train(resume_from_checkpoint=str(moved))
    return first.controller, second.controller


SHUFFLED = torch.utils.data.DataLoader(VAL.dataset, batch_size=4, shuffle=True)


@pytest.mark.parametrize("val_data", [None, SHUFFLED], ids=["of training", "of shuffled validation"])
def test_a_resumed_run_is_the_run(tmp_path, val_data):
    whole, second = resumed(tmp_path, val_data=val_data)
    assert second.history == whole.history
    assert len(second.history) == STEPS // EVERY


def forgetting(*path):
    def change(state):
        place = state["stateful_callbacks"]["MetaControllerCallback"]["attributes"]["saved"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = {"epoch": 0, "drawn": 0} if path[-1] == "val" else {}
        return state

    return change


@pytest.mark.parametrize("lost", [("controller", "adam"), ("batches", "val")], ids=str)
def test_a_checkpoint_that_lost_something_is_seen(tmp_path, lost):
    whole, second = resumed(tmp_path, forgetting(*lost))
    assert second.history != whole.history


def without_callback(state):
    del state["stateful_callbacks"]["MetaControllerCallback"]
    return state


def test_a_checkpoint_without_a_controller_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="checkpoint with the state of one MetaControllerCallback, got none of step 5"
    ):
        resumed(tmp_path, without_callback)


def test_logs_hold_the_names(ordinary_run):
    history, _, made = ordinary_run
    logged = [entry for entry in made.state.log_history if "loss" in entry]
    assert [entry["step"] for entry in logged] == [record["step"] for record in history]
    for entry, record in zip(logged, history, strict=True):
        assert entry[f"hyperparams/{NAME}"] == record["value"][NAME]
        assert 0 <= entry[f"saturation/{NAME}"] < 1
        assert entry["meta_loss"] == record["meta_loss"]


class Later(huggingface.TrainerCallback):
    """A logger that is given after the callback."""

    def on_log(self, args, state, control, *, logs=None, **kwargs):
        self.logs = dict(logs)


def test_values_are_logged_without_a_controller(tmp_path):
    later, model = Later(), gpt2()
    made = trainer(tmp_path, [HyperparamLogger(), later], model=model, max_steps=2)
    made.train()
    hyperparams = dict(named_hyperparams(model))
    assert hyperparams[NAME].value.item() == later.logs[f"hyperparams/{NAME}"] != pytest.approx(0.4, abs=1e-6)
    assert made.state.log_history[-1] == later.logs | {"step": 2}


def test_the_model_is_an_ordinary_one_afterwards(ordinary_run):
    hooks = list(gpt2()._forward_hooks.values())
    _, _, made = ordinary_run
    for hyperparam in dict(named_hyperparams(made.model)).values():
        assert hyperparam.raw.requires_grad
        assert not hyperparam.raw._post_accumulate_grad_hooks
    assert list(made.model._forward_hooks.values()) == hooks


def own_optimizer(folder, callback):
    model = gpt2()
    optimizer = torch.optim.AdamW(model.parameters())
    trainer(folder, [callback], model=model, optimizers=(optimizer, None)).train()


def added_later(folder, callback):
    made = trainer(folder, [])
    made.add_callback(callback)
    made.train()


@pytest.mark.parametrize("run", [own_optimizer, added_later])
def test_an_optimizer_that_holds_hyperparameters_is_refused(tmp_path, run):
    with pytest.raises(ValueError, match=rf"also steps {NAME}, .*callbacks=\[...\]\) from the start"):
        run(tmp_path, MetaControllerCallback(**CONTROLLER))


def test_an_optimizer_of_the_weights_is_taken(tmp_path):
    model = gpt2()
    groups = MetaController(model).inner_param_groups(weight_decay=0.1)
    callback = MetaControllerCallback(**CONTROLLER)
    trainer(tmp_path, [callback], model=model, optimizers=(torch.optim.AdamW(groups), None)).train()
    assert len(callback.controller.history) == STEPS // EVERY


def test_a_loss_outside_the_model_is_observed_or_asked_for(tmp_path):
    callback = MetaControllerCallback(**CONTROLLER)

    def compute(observes):
        def loss_func(outputs, labels, num_items_in_batch=None):
            logits, targets = outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
            loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / num_items_in_batch
            if observes:
                callback.observe(loss)
            return loss

        return loss_func

    made = trainer(tmp_path, [callback])
    made.compute_loss_func = compute(observes=False)
    with pytest.raises(RuntimeError, match=r"got none in this step: .*callback.observe\(loss\)"):
        made.train()
    callback = MetaControllerCallback(**CONTROLLER)
    recorder = Recorder()
    made = trainer(tmp_path, [callback], collator=recorder)
    made.compute_loss_func = compute(observes=True)
    made.train()
    check_alike(callback.controller.history, plain_loop(recorder.batches))


def test_an_added_hyperparam_is_learned(tmp_path):
    model, decay = gpt2(), BoundedHyperparam(0.1, 0.001, 1.0, log=True)
    handed = []
    callback = MetaControllerCallback(
        train_data=VAL,
        val_data=VAL,
        outside={"decay": (decay, handed.append)},
        estimator=EvolutionStrategy(AdamRule(lr=0.01, weight_decay=decay), horizon=1, pairs=1),
        every=4,
        lr=0.3,
    )
    made = trainer(tmp_path, [callback], model=model)
    made.train()
    assert handed[0] == pytest.approx(0.1) != decay.value.item() == handed[-1]
    assert made.state.log_history[-1]["hyperparams/decay"] == decay.value.item()


def test_settings_that_would_lose_the_callback_are_refused(tmp_path):
    with pytest.raises(ValueError, match="restore_callback_states_from_checkpoint=False, got True"):
        trainer(tmp_path, [MetaControllerCallback()], restore_callback_states_from_checkpoint=True)


class Predictor(torch.nn.Module):
    """A filter and a linear layer that predict the next sample; the model returns its loss."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = Multirate(4), torch.nn.Linear(4, 4)

    def forward(self, x):
        return {"loss": (self.head(self.layer(x))[:, :-1] - x[:, 1:]).square().mean()}


@pytest.mark.slow
def test_a_compiled_model_is_watched_too(tmp_path):
    signals = torch.randn(64, 12, 4, generator=torch.Generator().manual_seed(0))
    histories = []
    for backend in (None, "aot_eager"):
        callback = MetaControllerCallback(**CONTROLLER)
        made = trainer(tmp_path, [callback], model=Predictor(), torch_compile_backend=backend)
        made.train_dataset = [{"x": signal} for signal in signals]
        made.train()
        histories.append(callback.controller.history)
    assert type(made.model_wrapped).__name__ == "OptimizedModule"
    check_alike(*histories)
