"""The algebra against matrices: an expression is built from the library and from the definitions."""

import pytest
import torch
from hypothesis import strategies as st

from dsptorch import PeriodicFIR
from dsptorch.functional import cascade
from dsptorch.functional import fold as folding
from tests.strategies import AtRate, Expression, Leaves, expressions, fails, firs, holds, signals
from tests.tolerances import assert_close

FORMS = {"chosen": None, "folded": True, "cascade": False}


def _fir(taps, offset=0):
    return PeriodicFIR.fir(torch.tensor(taps, dtype=torch.float64), offset)


def _pyramid(factor, levels, numtaps=4):
    low = _fir([1.0] * numtaps)
    identity = band = PeriodicFIR.identity()
    for _ in range(levels):
        coarse = low @ band.at_rate(factor) @ PeriodicFIR.hold(factor) @ low
        band = coarse + 0.7 * (low @ (identity - coarse))
    return 0.4 * identity + 0.6 * band


# The numbers


def check_meaning(expression: Expression, x, fold=None):
    y = expression.build()(x, fold=fold)
    assert y.shape == x.shape
    assert torch.equal(y, expression.apply(x)), f"{expression}"


@pytest.mark.parametrize("fold", FORMS.values(), ids=FORMS)
def test_every_expression_means_its_matrix(fold):
    holds(lambda e, x: check_meaning(e, x, fold), expressions(), signals(), times=2)


def _pinned(second, first):
    return compose_taps(second, first._replace(weight=first.weight[:1].expand_as(first.weight)))


def _swapped(second, first):
    return compose_taps(first, second)


def _not_held(taps, factor):
    result = dilated(taps, factor)
    return result._replace(weight=taps.weight.repeat(factor, 1, 1)) if taps.support.period > 1 else result


def _in_order(products, outer, inner, lags):
    return collected(products.flip(-3), outer, inner, lags)


compose_taps, dilated, collected = folding.compose_taps, folding._dilated, folding.collected_taps


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("compose_taps", _pinned),
        ("compose_taps", _swapped),
        ("_dilated", _not_held),
        ("collected_taps", _in_order),
    ],
)
def test_the_matrix_catches_a_wrong_fold(name, broken, monkeypatch):
    monkeypatch.setattr(folding, name, broken)
    cases = st.builds(AtRate, firs(), st.integers(2, 3)) if broken is _not_held else expressions()
    fails(lambda e, x: check_meaning(e, x, True), cases, signals())


def test_the_matrix_catches_a_cascade_that_forgets_what_is_outside(monkeypatch):
    def broken(f, x, fold):
        return cascade._parts(f.plan, x, cascade._Run(f.weights, x, choose=False))

    monkeypatch.setattr(PeriodicFIR, "__call__", broken)
    fails(lambda e, x: check_meaning(e, x, False), expressions(), signals())


def test_product_is_composition_of_causal_filters():
    def check(product, f, g, x):
        assert torch.equal(product(f.build(), g.build())(x), f.build()(g.build()(x)))

    cases = expressions(causal=True), expressions(causal=True), signals()
    holds(lambda *case: check(lambda f, g: f @ g, *case), *cases)
    fails(lambda *case: check(lambda f, g: g @ f, *case), *cases)


def test_linearity():
    def check(apply, e, x, seed):
        v = torch.randint(-4, 5, x.shape, generator=torch.Generator().manual_seed(seed)).double()
        f = e.build()
        assert torch.equal(apply(f, 2 * x - 3 * v), 2 * apply(f, x) - 3 * apply(f, v))

    cases = expressions(), signals(), st.integers(0, 99)
    holds(lambda *case: check(lambda f, x: f(x), *case), *cases)
    fails(lambda *case: check(lambda f, x: f(x).relu(), *case), *cases)


@pytest.mark.parametrize(
    "gain",
    [3.0, -2, torch.tensor(2.0), torch.tensor([2.0]), torch.tensor([[2.0]]), torch.tensor([2.0, -1.0])],
    ids=["float", "int", "scalar", "one", "matrix of one", "per channel"],
)
@pytest.mark.parametrize("fold", FORMS.values(), ids=FORMS)
def test_gains(gain, fold):
    x = torch.randint(-4, 5, (2, 9, 2)).double()
    f = PeriodicFIR.hold(2) @ _fir([1.0, 2.0])
    wide = gain.reshape(-1).double() if isinstance(gain, torch.Tensor) else gain
    assert torch.equal((gain * f)(x, fold=fold), wide * f(x))
    assert torch.equal((f * gain)(x, fold=fold), wide * f(x))
    assert torch.equal((-f)(x, fold=fold), -f(x))


# at_rate


def decimated(e: Expression, factor: int, x):
    """Keep every `factor`-th sample, filter, hold each result."""
    return e.build()(x[:, ::factor]).repeat_interleave(factor, 1)[:, : x.shape[1]]


@pytest.mark.parametrize("fold", FORMS.values(), ids=FORMS)
def test_at_rate_after_hold_filters_the_decimated_signal(fold):
    def check(form, e, factor, x):
        f = form(e.build(), factor)
        assert torch.equal(f(x, fold=fold), decimated(e, factor, x))

    def mean_then_hold(f, s):
        return f.at_rate(s) @ PeriodicFIR.hold(s) @ _fir([1.0] * s, s - 1)

    # What is beyond the end of the decimated signal is zero; held signals are causal or end on a block.
    cases = expressions(causal=True), st.integers(1, 4), signals()
    holds(lambda *case: check(lambda f, s: f.at_rate(s) @ PeriodicFIR.hold(s), *case), *cases)
    fails(lambda *case: check(mean_then_hold, *case), *cases)


# Gradients


def check_gradients_agree(e: Expression, x, forms=(True, False, None), skip=False):
    """Folded and cascaded give the same gradients, and those are the ones of the matrix, to every leaf."""
    v = torch.arange(1.0, x.numel() + 1, dtype=torch.float64).reshape(x.shape) % 7 - 3
    results = []
    for fold in forms:
        leaves, signal = Leaves(), x.clone().requires_grad_()
        y = e.filter(leaves)(signal, fold=fold)
        if not y.requires_grad:
            return
        grads = torch.autograd.grad((y * v).sum(), [signal, *leaves], allow_unused=True)
        if skip:
            grads = [*grads[:-1], torch.zeros_like(grads[-1])]
        results.append(
            [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(grads, [x, *leaves], strict=True)]
        )
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a, b)
    # y is linear in every leaf: the derivative along a leaf is the response to the leaf alone.
    for i, leaf in enumerate(leaves):
        for index in (
            torch.cartesian_prod(*map(torch.arange, leaf.shape)).reshape(-1, leaf.dim())[:6].tolist()
        ):
            unit = torch.zeros_like(leaf)
            unit[tuple(index)] = 1
            values = [value.detach() for value in leaves]
            base = e.filter(Leaves(values))(x)
            values[i] = values[i] + unit
            slope = ((e.filter(Leaves(values))(x) - base) * v).sum()
            assert results[0][1 + i][tuple(index)] == slope


def test_gradients_flow_to_every_tap_and_gain():
    holds(check_gradients_agree, expressions(), signals(min_batch=1, min_time=1, max_time=8))
    fails(
        lambda e, x: check_gradients_agree(e, x, skip=True),
        expressions(),
        signals(min_batch=1, min_time=1, max_time=8),
    )


def test_gradcheck_of_the_block():
    def block(x, low, recon, gain, fold):
        coarse = PeriodicFIR.fir(recon) @ PeriodicFIR.hold(2) @ PeriodicFIR.fir(low)
        return ((PeriodicFIR.identity() - coarse) * gain + coarse)(x, fold=fold)

    inputs = [
        torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((1, 5, 2), (3, 2), (2, 2), (2,))
    ]
    for fold in FORMS.values():
        assert torch.autograd.gradcheck(lambda *args, fold=fold: block(*args, fold), inputs)
        assert torch.autograd.gradgradcheck(lambda *args, fold=fold: block(*args, fold), inputs)


# Precision, and what it keeps


@pytest.mark.parametrize("fold", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_dtypes(fold, dtype):
    f = _pyramid(2, 2)
    x = torch.randn(2, 33, 3).to(dtype)
    y = f(x, fold=fold)
    assert y.dtype == dtype
    assert_close(y, f(x.double()))


def test_folded_is_the_same_filter_as_one_weight():
    def check(fold_up, e, x):
        f = e.build()
        folded = fold_up(f)
        assert (folded.period, folded.taps, folded.lookahead, folded.memory) == (
            f.period,
            f.taps,
            f.lookahead,
            f.memory,
        )
        assert torch.equal(folded(x), f(x))

    holds(lambda *case: check(PeriodicFIR.folded, *case), expressions(), signals())
    fails(lambda *case: check(lambda f: f.at_rate(2), *case), expressions(), signals())


# What it refuses


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: PeriodicFIR.hold(0), ValueError, r"factor.*at least 1.*got 0"),
        (lambda: PeriodicFIR.hold(-2), ValueError, r"factor.*at least 1.*got -2"),
        (lambda: PeriodicFIR.hold(2.0), TypeError, r"factor.*int.*2\.0 of type float"),
        (lambda: PeriodicFIR.hold(True), TypeError, r"factor.*int.*True of type bool"),
        (lambda: PeriodicFIR.identity().at_rate(-1), ValueError, r"factor.*at least 1.*got -1"),
        (lambda: PeriodicFIR.delay(1.5), TypeError, r"delay.*int.*1\.5 of type float"),
        (lambda: PeriodicFIR.fir([1.0]), TypeError, r"floating-point tensor.*got \[1\.0\]"),
        (lambda: PeriodicFIR.fir(torch.ones(2, dtype=torch.int64)), TypeError, r"floating-point.*got.*int64"),
        (lambda: PeriodicFIR.fir(torch.ones(2, 2, 2, 2)), ValueError, r"\(taps,\).*got shape \(2, 2, 2, 2\)"),
        (lambda: PeriodicFIR.fir(torch.ones(0)), ValueError, r"non-empty.*got shape \(0,\)"),
        (lambda: PeriodicFIR.fir(torch.ones(2), 0.5), TypeError, r"offset.*int.*0\.5"),
        (lambda: PeriodicFIR.identity() * float("nan"), ValueError, r"gain must be finite.*got nan"),
        (lambda: PeriodicFIR.identity() * "2", TypeError, r"gain must be a number.*got '2'"),
        (
            lambda: PeriodicFIR.identity() * torch.ones(2, 2),
            ValueError,
            r"scalar or.*\(channels,\).*got \(2, 2\)",
        ),
        (lambda: PeriodicFIR.identity() * PeriodicFIR.identity(), TypeError, r"compose two filters with @"),
        (lambda: PeriodicFIR.identity() @ torch.ones(2), TypeError, r"two PeriodicFIR, got a.*shape \(2,\)"),
        (lambda: PeriodicFIR.identity() + 1.0, TypeError, r"two PeriodicFIR, got 1\.0"),
        (
            lambda: PeriodicFIR.fir(torch.ones(1, 2)) + PeriodicFIR.fir(torch.ones(1, 3)),
            ValueError,
            r"equal width.*got 2 and 3",
        ),
        (lambda: PeriodicFIR.fir(torch.ones(1, 2)) * torch.ones(3), ValueError, r"equal width.*got 2 and 3"),
        (
            lambda: PeriodicFIR.fir(torch.ones(1, 2))(torch.ones(1, 5, 3)),
            ValueError,
            r"expects 2 channels.*\(1, 5, 3\)",
        ),
        (
            lambda: PeriodicFIR.fir(torch.ones(1, 2))(torch.ones(1, 2, 5)),
            ValueError,
            r"expects 2 channels.*x\.transpose\(1, 2\)",
        ),
        (
            lambda: PeriodicFIR.identity()(torch.ones(5, 3)),
            ValueError,
            r"\(batch, time, channels\).*got shape \(5, 3\)",
        ),
        (lambda: PeriodicFIR.identity()(torch.ones(1, 5, 3).long()), TypeError, r"floating-point.*int64"),
        (lambda: PeriodicFIR.identity()([[[1.0]]]), TypeError, r"expects a tensor.*list"),
        (lambda: PeriodicFIR.identity().frequency_response(0), ValueError, r"at least 1.*got 0"),
    ],
)
def test_refuses(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_repr_says_what_it_is():
    assert repr(_pyramid(2, 1)) == "PeriodicFIR(period=2, taps=11, lookahead=0, receptive_field=11)"
