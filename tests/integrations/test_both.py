"""Both callbacks: the same numbers as in a plain loop, exact resumption, names in the logs, an ordinary model after."""

import pytest

from dsptorch import named_hyperparams
from tests.integrations import hf, pl

each = pytest.mark.parametrize("kit", [hf, pl], ids=["huggingface", "lightning"])


def check_against_a_plain_loop(kit, folder, with_val=False):
    made = kit.callback(kit.VAL if with_val else None)
    kit.fit(folder, made)
    check_alike(made.controller.history, kit.plain_loop(with_val))


def check_alike(found, expected, steps=tuple(range(hf.EVERY, hf.STEPS + 1, hf.EVERY))):
    assert [record["step"] for record in found] == [record["step"] for record in expected] == list(steps)
    for one, other in zip(found, expected, strict=True):
        for kind in ("loss", "meta_loss"):
            assert one[kind] == pytest.approx(other[kind], rel=1e-5)
        for kind in ("value", "hypergradient"):
            assert one[kind] == pytest.approx(other[kind], rel=1e-3, abs=1e-7)


@each
@pytest.mark.parametrize("with_val", [False, True], ids=["of training", "of validation"])
def test_values_move_as_in_a_plain_loop(tmp_path, kit, with_val):
    check_against_a_plain_loop(kit, tmp_path, with_val)


@pytest.mark.slow
@each
@pytest.mark.parametrize("shuffled", [False, True], ids=["of training", "of shuffled validation"])
def test_a_resumed_run_is_the_run(tmp_path, kit, shuffled):
    whole, second = kit.resumed(tmp_path, lambda state: None, kit.SHUFFLED if shuffled else None)
    assert second == whole
    assert [record["step"] for record in whole] == kit.RESUMED_STEPS


def without_adam(saved):
    saved["controller"]["adam"] = {}


def without_place(saved):
    saved["batches"]["val"] = {"epoch": 0, "drawn": 0}


@each
@pytest.mark.parametrize("forget", [without_adam, without_place])
def test_a_checkpoint_that_lost_something_is_seen(tmp_path, kit, forget):
    whole, second = kit.resumed(tmp_path, lambda state: forget(kit.saved(state)), kit.SHUFFLED)
    assert second != whole


@each
def test_a_checkpoint_without_a_controller_is_refused(tmp_path, kit):
    message = rf"checkpoint with the state of (one|a) MetaControllerCallback, got none of step {kit.CUT}"
    with pytest.raises(ValueError, match=message):
        kit.resumed(tmp_path, lambda state: state[kit.CALLBACKS].pop("MetaControllerCallback"), None)


@each
def test_logs_hold_the_names_and_the_model_is_an_ordinary_one_afterwards(tmp_path, kit):
    model, callback = kit.new_model(), kit.callback()
    hooks = list(model._forward_hooks.values())
    made = kit.fit(tmp_path, callback, model=model)
    history = callback.controller.history
    assert len(history) == kit.STEPS // kit.EVERY
    values = {record["step"]: record["value"][kit.NAME] for record in history}
    assert kit.logged(made, f"hyperparams/{kit.NAME}") == pytest.approx(values, rel=1e-6)
    losses = {record["step"]: record["meta_loss"] for record in history}
    assert kit.logged(made, "meta_loss") == pytest.approx(losses, rel=1e-6)
    assert all(0 <= value < 1 for value in kit.logged(made, f"saturation/{kit.NAME}").values())
    assert list(model._forward_hooks.values()) == hooks
    check_ordinary(model)


def check_ordinary(model):
    for hyperparam in dict(named_hyperparams(model)).values():
        assert hyperparam.raw.requires_grad
        assert not hyperparam.raw._post_accumulate_grad_hooks


@each
def test_values_are_logged_without_a_controller(tmp_path, kit):
    model = kit.new_model()
    made = kit.fit(tmp_path, kit.logger(), model=model)
    values = list(kit.logged(made, f"hyperparams/{kit.NAME}").values())
    assert len(values) >= kit.STEPS // kit.EVERY
    assert values[-1] == pytest.approx(dict(named_hyperparams(model))[kit.NAME].value.item(), rel=1e-6)
    assert values[-1] != pytest.approx(0.4, rel=1e-4)
