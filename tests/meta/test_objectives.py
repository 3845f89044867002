"""What the objectives do: the corrected ones lower a loss, the source's own raise it, where the algebra says so."""

import pytest
import torch

from dsptorch.meta import MetaController
from tests.meta.models import Knob, check_near, hypergradient

CORRECTED = ("smoothed_loss", "convergence_rate", "composite")
DECAY = 0.9
TURN = 0.3 / (
    0.7 * (1 - DECAY)
)  # the K where the literal composite changes its sign: 4.29; 1 - decay is its `a`


def distance(model):
    """(z - 1)^2, the loss of these tests."""
    return (model.z() - 1).square().sum()


def losses_over(objective, every, updates=30, *, from_training=False, init=2.0):
    """The losses at the beginning and the end of a run, and the values of z at each update."""
    model = Knob(init, 0.0, 3.0)
    controller = MetaController(model, lr=0.05, every=every, objective=objective, ema_decay=DECAY)
    before = distance(model).item()
    for _ in range(updates * every):
        loss = distance(model)
        if from_training:
            loss.backward()
            controller.step(loss)
        else:
            controller.step(loss, val_loss=distance)
    values = [record["value"]["z"] for record in controller.history]
    assert len(values) == updates
    return before, distance(model).item(), values


def check_lowers(objective, every, **kwargs):
    before, after, _ = losses_over(objective, every, **kwargs)
    assert after < 0.7 * before


def check_raises(objective, every, **kwargs):
    before, after, _ = losses_over(objective, every, **kwargs)
    assert after > 1.3 * before


@pytest.mark.parametrize("from_training", [False, True], ids=["validation", "training"])
@pytest.mark.parametrize("init", [0.5, 2.0])
@pytest.mark.parametrize("every", [1, 6])
@pytest.mark.parametrize("objective", CORRECTED)
def test_corrected_objectives_lower_the_loss(objective, every, init, from_training):
    check_lowers(objective, every, init=init, from_training=from_training)
    with pytest.raises(AssertionError):
        check_raises(objective, every, init=init, from_training=from_training)


@pytest.mark.parametrize("from_training", [False, True], ids=["validation", "training"])
@pytest.mark.parametrize("every", [1, 10])
def test_the_literal_rate_raises_it(every, from_training):
    check_raises("literal_convergence_rate", every, from_training=from_training)
    with pytest.raises(AssertionError):
        check_lowers("literal_convergence_rate", every, from_training=from_training)


@pytest.mark.parametrize("every", [1, 4, 5, 20])
def test_the_literal_composite_turns_where_the_algebra_says(every):
    right, wrong = (check_raises, check_lowers) if every < TURN else (check_lowers, check_raises)
    right("literal_composite", every)
    with pytest.raises(AssertionError):
        wrong("literal_composite", every)


FACTORS = {
    "smoothed_loss": lambda K: 1 - DECAY,
    "convergence_rate": lambda K: 1 / K,
    "composite": lambda K: 0.7 * (1 - DECAY) + 0.3 / K,
    "literal_convergence_rate": lambda K: -1 / K,
    "literal_composite": lambda K: 0.7 * (1 - DECAY) - 0.3 / K,
}


def check_factor(objective, every, expected):
    """The hypergradient over the derivative of the loss, at the third update, when there is a past."""
    model = Knob(2.0, 0.0, 3.0)
    controller = MetaController(model, lr=0.05, every=every, objective=objective, ema_decay=DECAY)
    for _ in range(3 * every):
        (by_raw,) = torch.autograd.grad(distance(model), model.z.raw)
        controller.step(0.0, val_loss=distance)
    check_near(controller.history[-1]["hypergradient"]["z"], expected * by_raw.item(), 1e-12)


@pytest.mark.parametrize("every", [1, 4, 20])
@pytest.mark.parametrize("objective", FACTORS)
def test_an_objective_multiplies_the_gradient_by(objective, every):
    check_factor(objective, every, FACTORS[objective](every))
    with pytest.raises(AssertionError):
        check_factor(
            objective, every, DECAY * FACTORS[objective](every)
        )  # the past's weight for the present's


def test_a_meta_loss_has_the_value_of_its_formula():
    """The average starts at the first loss, and the rate is taken over K steps."""
    model = Knob(2.0, 0.0, 3.0)
    seen = []

    def watched(losses):
        seen.append((losses.loss.item(), losses.ema.item(), losses.past.item()))
        assert (losses.window, losses.decay) == (2, DECAY)
        return losses.loss

    controller = MetaController(model, lr=0.5, every=2, objective=watched, ema_decay=DECAY)
    values = [controller.step(0.0, val_loss=distance) for _ in range(6)][1::2]
    first, second, third = (record["loss"] for record in values)
    average = DECAY * first + (1 - DECAY) * second
    # Each update asks the objective for the hypergradient and for the record.
    expected = [(first, first, first), (second, first, first), (third, average, second)]
    for found, wanted in zip(seen[::2], expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-6)


# An objective is any function


def test_an_objective_may_be_a_function():
    check_lowers(lambda losses: losses.loss.log(), 3)
    check_raises(lambda losses: -losses.loss.log(), 3)


def check_log(log):
    """d log L = dL / L."""
    found = hypergradient("direct", Knob(2.0, 0.0, 3.0), objective=log, val_loss=distance)
    plain = hypergradient("direct", Knob(2.0, 0.0, 3.0), val_loss=distance)
    check_near(found, plain / distance(Knob(2.0, 0.0, 3.0)).item(), 1e-12)


def test_a_function_is_differentiated():
    check_log(lambda losses: losses.loss.log())
    with pytest.raises(AssertionError):
        check_log(lambda losses: losses.loss.log2())


# Under Adam the corrected ones are one algorithm


def check_one_algorithm(objectives):
    """The same values at every update, up to Adam's eps."""
    runs = [torch.tensor(losses_over(objective, 10)[2]) for objective in objectives]
    for run in runs[1:]:
        assert (run - runs[0]).abs().max() < 1e-5


def test_the_corrected_objectives_are_one_algorithm():
    check_one_algorithm(CORRECTED)


@pytest.mark.parametrize(
    "other", ["literal_convergence_rate", lambda losses: losses.loss.square()], ids=["-r", "L^2"]
)
def test_others_are_another(other):
    with pytest.raises(AssertionError):
        check_one_algorithm(["smoothed_loss", other])
