"""The corrected objectives lower a loss, the study's own raise it, where the algebra says so."""

import pytest
import torch

from dsptorch.meta import MetaController
from tests.meta.models import Knob, check_near

CORRECTED = ("smoothed_loss", "convergence_rate", "composite")
DECAY = 0.9


def distance(model):
    """(z - 1)^2, the loss of these tests."""
    return (model.z() - 1).square().sum()


def log_loss(losses):
    return losses.loss.log()


def losses_over(objective, every, *, from_training=False):
    """The losses at the beginning and the end of a run, and the values of z at each update."""
    model = Knob(2.0, 0.0, 3.0)
    controller = MetaController(model, lr=0.05, every=every, objective=objective, ema_decay=DECAY)
    before = distance(model).item()
    for _ in range(30 * every):
        loss = distance(model)
        if from_training:
            loss.backward()
        controller.step(loss, val_loss=None if from_training else distance)
    values = [record["value"]["z"] for record in controller.history]
    assert len(values) == 30
    return before, distance(model).item(), values


# The factor by which an objective multiplies the derivative of the loss, at K steps and the loss L.
FACTORS = {
    "smoothed_loss": lambda K, L: 1 - DECAY,
    "convergence_rate": lambda K, L: 1 / K,
    "composite": lambda K, L: 0.7 * (1 - DECAY) + 0.3 / K,
    "literal_convergence_rate": lambda K, L: -1 / K,
    "literal_composite": lambda K, L: 0.7 * (1 - DECAY) - 0.3 / K,
    log_loss: lambda K, L: 1 / L,
}


def check_factor(objective, every, factor):
    """The hypergradient over the derivative of the loss, at the third update, when there is a past."""
    model = Knob(2.0, 0.0, 3.0)
    controller = MetaController(model, lr=0.05, every=every, objective=objective, ema_decay=DECAY)
    for _ in range(3 * every):
        loss = distance(model)
        (by_raw,) = torch.autograd.grad(loss, model.z.raw)
        controller.step(0.0, val_loss=distance)
    expected = factor(every, loss.item()) * by_raw.item()
    check_near(controller.history[-1]["hypergradient"]["z"], expected, 1e-12)


@pytest.mark.parametrize("every", [1, 4, 20])
@pytest.mark.parametrize("objective", FACTORS)
def test_an_objective_multiplies_the_gradient_by(objective, every):
    check_factor(objective, every, FACTORS[objective])
    with pytest.raises(AssertionError):  # the past's weight for the present's
        check_factor(objective, every, lambda K, L: DECAY * FACTORS[objective](K, L))


@pytest.mark.parametrize("from_training", [False, True], ids=["validation", "training"])
@pytest.mark.parametrize("every", [1, 4, 5])
@pytest.mark.parametrize("objective", FACTORS)
def test_an_objective_lowers_the_loss_where_its_factor_is_above_0(objective, every, from_training):
    """The literal composite is the one that turns: 0.3 / (0.7 (1 - decay)) is 4.29."""
    before, after, _ = losses_over(objective, every, from_training=from_training)
    lowers = FACTORS[objective](every, 1.0) > 0
    assert lowers == (objective in (*CORRECTED, log_loss) or (objective, every) == ("literal_composite", 5))
    assert after < 0.7 * before if lowers else after > 1.3 * before


def test_a_meta_loss_has_the_value_of_its_formula():
    """The average starts at the first loss, and the rate is taken over K steps."""
    seen = []

    def watched(losses):
        seen.append((losses.loss.item(), losses.ema.item(), losses.past.item()))
        assert (losses.window, losses.decay) == (2, DECAY)
        return losses.loss

    controller = MetaController(Knob(2.0, 0.0, 3.0), lr=0.5, every=2, objective=watched, ema_decay=DECAY)
    values = [controller.step(0.0, val_loss=distance) for _ in range(6)][1::2]
    first, second, third = (record["loss"] for record in values)
    average = DECAY * first + (1 - DECAY) * second
    # Each update asks the objective for the hypergradient and for the record.
    expected = [(first, first, first), (second, first, first), (third, average, second)]
    for found, wanted in zip(seen[::2], expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-6)


# Under Adam the corrected ones are one algorithm


def check_one_algorithm(objectives):
    """The same values at every update, up to Adam's eps."""
    runs = [torch.tensor(losses_over(objective, 10)[2]) for objective in objectives]
    for run in runs[1:]:
        assert (run - runs[0]).abs().max() < 1e-5


def test_the_corrected_objectives_are_one_algorithm():
    check_one_algorithm(CORRECTED)
    for other in ("literal_convergence_rate", lambda losses: losses.loss.square()):
        with pytest.raises(AssertionError):
            check_one_algorithm(["smoothed_loss", other])
