"""The kernel against a loop, its derivatives in every mode, its precision, and what it keeps for backward."""

import pytest
import torch
from hypothesis import strategies as st
from torch.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

from dsptorch.functional import kernel, lptv_filter, trilinear
from dsptorch.functional.kernel import earlier
from tests.functional.kernel_cases import KINDS, chunk_segments
from tests.oracles import lptv_loop, segmented_loop
from tests.strategies import fails, holds
from tests.tolerances import assert_close

each_kind = pytest.mark.parametrize("kind", KINDS)


@st.composite
def cases(draw):
    """(x, weight, lags, history, ids): any period, lags that look ahead or are dilated, empty signals."""
    period, channels = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    lags = tuple(draw(st.lists(st.integers(-6, 9), min_size=1, max_size=5, unique=True)))
    batch, time, history = draw(st.integers(0, 3)), draw(st.integers(0, 12)), draw(st.integers(0, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    width, how = draw(st.sampled_from([1, channels])), draw(st.sampled_from(["shared", "rows", "segments"]))

    def random(*shape, low=-4):
        return torch.randint(low, 5, shape, generator=generator)

    ids = random(batch, history + time, low=3) if how == "segments" else None
    weight = random(*[batch] * (how == "rows"), period, len(lags), width).double()
    return random(batch, history + time, channels).double(), weight, lags, history, ids


def ours(x, weight, lags, history, ids):
    segments = None if ids is None else chunk_segments(ids, history)
    return lptv_filter(x, weight, lags, history=history, segments=segments)


def check_kernel(run, case):
    x, weight, lags, history, ids = case
    y = run(*case)
    assert y.shape == (x.shape[0], x.shape[1] - history, x.shape[2])
    assert y.dtype == x.dtype
    loop = lptv_loop(x, weight, lags, history) if ids is None else segmented_loop(x, weight, lags, ids)
    assert torch.equal(y, loop[:, loop.shape[1] - y.shape[1] :])


def test_equals_the_loop():
    holds(lambda case: check_kernel(ours, case), cases(), times=4)


def _wrap_around(x, weight, lags, history, ids):
    weight = weight.expand(len(x), *weight.shape) if weight.dim() == 3 else weight
    phases = torch.arange(x.shape[1] - history) % weight.shape[1]
    return sum(weight[:, phases, i] * x.roll(lag, 1)[:, history:] for i, lag in enumerate(lags))


@pytest.mark.parametrize(
    "broken",
    [
        lambda x, weight, *rest: ours(x, weight.roll(1, -3), *rest),
        lambda x, weight, lags, *rest: ours(x, weight, tuple(abs(lag) for lag in lags), *rest),
        lambda x, weight, lags, *rest: ours(x, weight[..., :-1, :], lags[:-1], *rest),
        lambda x, weight, *rest: ours(x, weight[..., :1], *rest),
        lambda x, weight, *rest: ours(x, weight[:1] if weight.dim() == 4 else weight, *rest),
        lambda x, weight, lags, history, ids: ours(x, weight, lags, history, None),
        lambda x, weight, lags, history, ids: ours(
            torch.cat([0 * x[:, :history], x[:, history:]], 1), weight, lags, history, ids
        ),
        _wrap_around,
    ],
    ids=[
        "next phase",
        "no lookahead",
        "a tap less",
        "one channel's weights",
        "the first row's weights",
        "no borders",
        "no history",
        "circular",
    ],
)
def test_the_loop_catches(broken):
    fails(lambda case: check_kernel(broken, case), cases(), times=4)


def test_no_taps_is_silence():
    assert torch.equal(lptv_filter(torch.randn(1, 4, 2), torch.randn(2, 0, 2), ()), torch.zeros(1, 4, 2))


def test_nothing_of_another_signal_is_seen():
    ids, x = torch.tensor([[0, 0, 0, 1, 1, 1]]), torch.ones(1, 6, 1)
    x[:, 3:] = float("nan")
    for history in (0, 2):
        y = ours(x, torch.ones(2, 4, 1), (-1, 0, 1, 3), history, ids)
        assert y[:, : 3 - history].isfinite().all()
    for lag in (-2, 1):
        assert earlier(x, lag, chunk_segments(ids, 0))[:, :3].isfinite().all()


def test_earlier_is_the_kernel_with_one_tap():
    ids, x = torch.tensor([[0, 0, 1, 1, 1], [2, 2, 2, 2, 3]]), torch.randn(2, 5, 3)
    for history in (0, 2):
        for lag in (-2, 0, 1, 3):
            assert torch.equal(
                earlier(x, lag, chunk_segments(ids, history)),
                ours(x, torch.ones(1, 1, 1), (lag,), history, ids),
            )


# Derivatives


@each_kind
@pytest.mark.parametrize("batch", [1, 2])
def test_first_and_second_derivatives(kind, batch):
    run, inputs = KINDS[kind].filter, KINDS[kind].inputs(batch=batch)
    options = {"check_batched_grad": True, "fast_mode": True}
    assert gradcheck(run, inputs, check_forward_ad=True, check_batched_forward_grad=True, **options)
    assert gradgradcheck(run, inputs, check_fwd_over_rev=True, **options)


def _without_roll(weight, v, g):
    return kernel._filter(v, weight, g._replace(lags=tuple(-lag for lag in g.lags)))


def _of_the_first_row(weight, v, g):
    return adjoint(weight[:1].expand_as(weight), v, g)


def _without_borders(weight, v, g):
    return adjoint(weight, v, g._replace(following=None))


adjoint = kernel._adjoint


@pytest.mark.parametrize(
    ("kind", "broken"),
    [("periodic", _without_roll), ("rows", _of_the_first_row), ("segments", _without_borders)],
)
def test_gradcheck_catches_a_wrong_adjoint(kind, broken, monkeypatch):
    monkeypatch.setattr(kernel, "_PARTIALS", (broken, *kernel._PARTIALS[1:]))
    with pytest.raises(GradcheckError):
        gradcheck(KINDS[kind].filter, KINDS[kind].inputs())


@pytest.mark.parametrize("kind", ["periodic", "rows", "segments, periodic"])
def test_gradgradcheck_catches_a_wrong_second_derivative(kind, monkeypatch):
    run, inputs = KINDS[kind].filter, KINDS[kind].inputs()
    backward = trilinear._Trilinear.backward

    def broken(ctx, gradient):
        *none, first, second, position, following = backward(ctx, gradient)
        second = 2 * second if ctx.slot == trilinear.W and second is not None else second
        return *none, first, second, position, following

    monkeypatch.setattr(trilinear._TrilinearWithJvp, "backward", staticmethod(broken))
    assert gradcheck(run, inputs)
    with pytest.raises(GradcheckError):
        gradgradcheck(run, inputs)


@each_kind
class TestFunc:
    """torch.func against a sum that it differentiates by itself."""

    def test_the_reference_is_the_kernel(self, kind):
        inputs = KINDS[kind].inputs(requires_grad=False)
        assert_close(KINDS[kind].filter(*inputs), KINDS[kind].dense(*inputs))

    @pytest.mark.parametrize("argument", [0, 1])
    def test_jacobians_and_hessian(self, kind, argument):
        inputs, kind = KINDS[kind].inputs(3, requires_grad=False), KINDS[kind]
        expected = torch.func.jacrev(kind.dense, argument)(*inputs)
        for mode in (torch.func.jacrev, torch.func.jacfwd):
            assert_close(mode(kind.filter, argument)(*inputs), expected)
        ours, reference = (
            torch.func.hessian(lambda x, w, run=run: (run(x, w) ** 3).sum(), argument)(*inputs)
            for run in (kind.filter, kind.dense)
        )
        assert_close(ours, reference)

    def test_jvp_and_vmap(self, kind):
        (x, w), run = KINDS[kind].inputs(requires_grad=False), KINDS[kind].filter
        dx, dw = torch.randn_like(x), torch.randn_like(w)
        value, tangent = torch.func.jvp(run, (x, w), (dx, dw))
        assert_close(value, KINDS[kind].dense(x, w))
        assert_close(tangent, KINDS[kind].dense(dx, w) + KINDS[kind].dense(x, dw))
        for in_dims in [(0, None), (None, 0), (0, 0)]:
            many = [
                given if dim is None else torch.stack([given, -2 * given, given + 1])
                for given, dim in zip((x, w), in_dims, strict=True)
            ]
            y = torch.func.vmap(run, in_dims)(*many)
            for i in range(3):
                one = [g if dim is None else g[i] for g, dim in zip(many, in_dims, strict=True)]
                assert_close(y[i], KINDS[kind].dense(*one))


def test_gradients_of_every_row_by_vmap():
    kind = KINDS["lookahead"]
    x, w = kind.inputs(requires_grad=False)

    def gradient(run, row):
        return torch.func.grad(lambda w: (run(row[None], w) ** 2).sum())(w)

    ours = torch.func.vmap(lambda row: gradient(kind.filter, row))(x)
    for row, grad in zip(x, ours, strict=True):
        assert_close(grad, gradient(kind.dense, row))


def test_refuses_segments_of_each_example_or_weights_of_each_row():
    x, w = torch.randn(3, 2, 5, 1), torch.ones(1, 1, 1)
    with pytest.raises(ValueError, match="segments take weights that all rows share"):
        ours(x[0], w.expand(2, 1, 1, 1), (0,), 0, torch.zeros(2, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match="segments cannot be batched by vmap"):
        torch.func.vmap(lambda x, ids: lptv_filter(x, w, (1,), segments=chunk_segments(ids, 0)))(
            x, torch.zeros(3, 2, 5, dtype=torch.int64)
        )


@pytest.mark.slow
@each_kind
def test_compiles_to_one_graph_with_its_backward(kind):
    torch._dynamo.reset()
    run, inputs = KINDS[kind].filter, KINDS[kind].inputs(7)
    y, expected = torch.compile(run, fullgraph=True, backend="aot_eager")(*inputs), run(*inputs)
    assert_close(y, expected)
    v = torch.randn_like(y)
    for ours, eager in zip(
        torch.autograd.grad(y, inputs, v), torch.autograd.grad(expected, inputs, v), strict=True
    ):
        assert_close(ours, eager)


def check_output_may_be_changed_in_place(kind):
    inputs = kind.inputs()
    y = kind.filter(*inputs)
    changed = y.clone().relu()
    expected = torch.autograd.grad(changed.square().sum(), inputs)
    given = [value.detach().clone() for value in inputs]
    for mine, its in zip(
        torch.autograd.grad(kind.filter(*inputs).relu_().square().sum(), inputs), expected, strict=True
    ):
        assert torch.equal(mine, its)
    for value, before in zip(inputs, given, strict=True):
        assert torch.equal(value, before)


@each_kind
def test_the_output_may_be_changed_in_place(kind):
    check_output_may_be_changed_in_place(KINDS[kind])


def test_an_output_that_is_a_view_is_caught(monkeypatch):
    monkeypatch.setattr(kernel, "_joined", lambda y, time: y.flatten(1, 2)[:, :time])
    with pytest.raises(RuntimeError, match="modified inplace"):
        check_output_may_be_changed_in_place(KINDS["periodic"])


@each_kind
def test_empty_batches(kind):
    x, w = KINDS[kind].inputs(batch=0)
    assert [g.shape for g in torch.autograd.grad(KINDS[kind].filter(x, w).sum(), (x, w))] == [
        x.shape,
        w.shape,
    ]
