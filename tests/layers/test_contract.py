"""Every layer keeps the public contract (`dsptorch.testing.contract`), and says no more of itself than is so.

What the contract cannot know is here: that the lookahead and the receptive field are attained, and that no shorter
period would do. Each check has a planted bug.
"""

import inspect

import pytest
import torch
import torch.nn.functional as F

import dsptorch
from dsptorch import Layer
from dsptorch.testing import assert_causal, assert_shift_covariant
from dsptorch.testing.contract import CONTRACT, NotApplicable, subject_of
from tests.layers.broken import broken
from tests.layers.table import (
    ALIKE,
    CAUSAL,
    CENTRED,
    EVERY,
    ONE_OF_EACH_KIND,
    RATES,
    STREAMING,
    WIDER,
    WIDTH,
    WITHOUT_STEP,
    build,
    signal,
)
from tests.tolerances import assert_close

each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ()) for name in EVERY]
)
QUICK = [promise for promise in CONTRACT if promise not in ("compiles", "exports")]  # those: test_graphs.py

WITHOUT_PERIOD = ["LFORouting", "LFORouting depthwise", "Chain", "Chain down and up"] + [
    name for name in CENTRED if name.startswith("LFORouting")
]
WITHOUT_PERIOD += ["EMA warm", "EMA first", "EMABank warm"]
WITHOUT_PERIOD += [name for name in CAUSAL if name.startswith(("LFOGate", "ModulatedDelay", "Tremolo"))]
RECURSIVE = [name for name in EVERY if name not in WITHOUT_STEP and build(name).receptive_field is None]
DOES_NOT_APPLY = (
    {("state", name) for name in CENTRED}
    | {("period", name) for name in WITHOUT_PERIOD}
    | {("receptive_field", name) for name in RECURSIVE}
    | {
        (promise, name)
        for promise in ("state", "period", "receptive_field", "segments")
        for name in WITHOUT_STEP
    }
)
"""Which layer has which promise not to keep: one that looks ahead has no state, an oscillator has no period, a
recurrence never forgets, and of a module that is not ours nothing is known."""


def test_the_table_is_complete():
    public = {
        c
        for c in vars(dsptorch).values()
        if inspect.isclass(c) and issubclass(c, Layer) and not inspect.isabstract(c)
    }
    assert public == {type(build(name)) for name in EVERY} == {type(build(name)) for name in ONE_OF_EACH_KIND}
    assert len(public) == len(ONE_OF_EACH_KIND)
    assert all(build(name).lookahead == 0 for name in STREAMING | WITHOUT_STEP)
    assert all(build(name).rate == 1 for name in CAUSAL | CENTRED | WIDER | WITHOUT_STEP)
    assert all(build(name).d_out > WIDTH for name in WIDER)
    assert {word for name in RECURSIVE for word in name.split()} >= {
        "EMA",
        "EMABank",
        "Resonator",
        "Biquad",
        "SOS",
    }
    assert all(build(name).rate != 1 for name in RATES)
    assert all(build(name).streams == (name not in WITHOUT_STEP) for name in EVERY)
    assert all(build(name).lookahead > 0 for name in CENTRED)
    assert {name for _, name in DOES_NOT_APPLY} <= set(EVERY)


# The public contract, but for compiling and exporting


def check_keeps(promise, layer, applies, factory=None):
    """The promise is kept; or it does not apply, where we know that it does not, and only there."""
    reason = ""
    try:
        CONTRACT[promise](subject_of(layer, None, factory, "aot_eager"))
    except NotApplicable as skipped:
        reason = str(skipped)
    assert not (reason and applies), f"{promise} does not apply any more: {reason}"
    assert reason or applies, f"{promise} applies now: strike it from DOES_NOT_APPLY"


@each
@pytest.mark.parametrize("promise", QUICK)
def test_keeps(name, promise):
    check_keeps(
        promise, build(name), (promise, name) not in DOES_NOT_APPLY, lambda: build(name, scatter=False)
    )


@pytest.mark.parametrize("promise", ["period", "receptive_field"])
def test_a_promise_that_stops_applying_is_caught(promise):
    """A layer that says no more of itself than None has nothing to keep."""
    check_keeps(promise, broken(), applies=True)
    with pytest.raises(AssertionError, match=f"{promise} does not apply any more: .*{promise} is None"):
        check_keeps(promise, broken(**{promise: None}), applies=True)


def test_a_promise_that_applies_again_is_caught():
    check_keeps("period", broken(period=None), applies=False)
    with pytest.raises(AssertionError, match="period applies now: strike it"):
        check_keeps("period", broken(), applies=False)


# Tightness


def attained(layer):
    """What a combinator says is a bound: two members may cancel."""
    return layer.rate == 1 and not isinstance(layer, dsptorch.Chain | dsptorch.Parallel)


def check_lookahead(layer):
    """Late by its lookahead a layer is causal; by one less it is not."""

    def late(by):
        return lambda x: F.pad(layer(F.pad(x, (0, 0, 0, by))), (0, 0, by, 0))[:, : x.shape[1]]

    x = signal(1, 2 * (layer.period or 1) + 2 * layer.receptive_field)
    assert_causal(late(layer.lookahead), x)
    with pytest.raises(AssertionError):
        assert_causal(late(layer.lookahead - 1), x)


@pytest.mark.parametrize("name", [name for name in CENTRED if attained(build(name))])
def test_sees_as_far_ahead_as_it_says(name):
    check_lookahead(build(name))


def test_a_lookahead_that_is_not_the_true_one_is_caught():
    check_lookahead(broken(lambda x: F.pad(x, (0, 0, 0, 2))[:, 2:], lookahead=2))
    with pytest.raises(AssertionError, match="not causal"):
        check_lookahead(broken(lambda x: F.pad(x, (0, 0, 0, 2))[:, 2:], lookahead=1))
    with pytest.raises(pytest.fail.Exception):
        check_lookahead(broken(lambda x: F.pad(x, (0, 0, 0, 2))[:, 2:], lookahead=3, receptive_field=4))


def check_receptive_field(layer):
    """Some output uses what is just as old as the receptive field says; nothing older, nothing later."""
    period, field = layer.period or 5, layer.receptive_field
    x = signal(1, field + 2 * period)
    each = signal(1, 1, seed=1, width=layer.d_out).flatten()  # no sum, in which bands may cancel
    oldest = False
    first = field - 1 - layer.lookahead + period
    for t in range(first, first + period):
        used = torch.autograd.functional.jacobian(lambda x, t=t: layer(x)[0, t] @ each, x)[0].abs().sum(-1)
        start = t + layer.lookahead + 1 - field
        assert not used[: max(0, start)].any()
        assert not used[t + layer.lookahead + 1 :].any()
        oldest |= bool(used[start])
    assert oldest


@pytest.mark.parametrize("name", [name for name in EVERY if name not in RECURSIVE and attained(build(name))])
def test_remembers_as_much_as_it_says(name):
    check_receptive_field(build(name))


def test_a_wrong_receptive_field_is_caught():
    check_receptive_field(broken())
    for field in (2, 4):
        with pytest.raises(AssertionError):
            check_receptive_field(broken(receptive_field=field))


def check_no_shift(layer, shifts):
    """Once the silence before the start, to which a bias is added too, is forgotten."""
    field = layer.receptive_field or 1
    for shift in shifts:
        with pytest.raises(AssertionError):
            assert_shift_covariant(layer, signal(1, field + 12), shift, settle=field - 1)


@pytest.mark.parametrize("name", WITHOUT_PERIOD)
def test_without_a_period_no_shift_is_one(name):
    assert build(name).period is None
    check_no_shift(build(name), range(1, 9))


@pytest.mark.parametrize("name", [name for name in EVERY if "Multirate" in name])
def test_no_shorter_shift_is_its_period(name):
    layer = build(name)
    assert layer.period > 1
    check_no_shift(layer, [n for n in range(1, layer.period) if layer.period % n == 0])


def test_a_period_that_is_too_long_is_caught():
    with pytest.raises(pytest.fail.Exception):
        check_no_shift(broken(), [1])


# What no promise says


@each
def test_the_gradient_of_nothing_is_finite(name):
    layer = build(name)
    for batch, time in ((0, 5), (2, 0), (2, 1)):
        x = signal(batch, time).requires_grad_()
        layer(x).sum().backward()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_rows_may_share_memory(name):
    layer, x = build(name), signal(1)
    assert_close(layer(x.expand(3, -1, -1))[2], layer(x)[0])
