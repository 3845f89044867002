"""The recurrence: its arguments, its derivatives in every mode, what it keeps apart, and its precision."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

from dsptorch.functional import find_segments, linear_recurrence, recurrence
from tests.functional.recurrence_cases import KINDS, Kind
from tests.oracles import recurrence_loop
from tests.tolerances import assert_close

each_kind = pytest.mark.parametrize("kind", KINDS)


def noise(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("x", "a", "matrix"),
    [
        ((2, 40, 3), (), (1, 1, 1)),
        ((2, 40, 3), (3,), (1, 1, 3)),
        ((2, 40, 3), (2, 40, 3), (2, 40, 1, 1, 3)),
        ((2, 40, 2, 3), (2, 2, 3), (2, 2, 3)),
        ((2, 40, 2, 3), (2, 40, 2, 2, 3), (2, 40, 2, 2, 3)),
    ],
)
def test_is_the_loop_in_every_shape(x, a, matrix):
    x, a = noise(*x), noise(*a).tanh() / 2
    zi = noise(*x[:, 0].shape)
    coupled = x.reshape(2, 40, -1, 3)
    expected = recurrence_loop(coupled, a.reshape(matrix), zi.reshape(coupled[:, 0].shape)).reshape(x.shape)
    y, zf = linear_recurrence(x, a, zi)
    assert_close(y, expected)
    assert_close(zf, expected[:, -1])
    assert_close(linear_recurrence(x, a), recurrence_loop(coupled, a.reshape(matrix)).reshape(x.shape))


def test_a_complex_pole_in_real_arithmetic():
    pole, x = 0.9 * torch.exp(torch.tensor(0.7j, dtype=torch.complex128)), noise(1, 60, 1)
    matrix = torch.tensor([[pole.real, -pole.imag], [pole.imag, pole.real]]).unsqueeze(-1)
    y = linear_recurrence(torch.stack([x, 0 * x], 2), matrix)
    expected = sum(pole**k * torch.nn.functional.pad(x, (0, 0, k, 0))[:, :60] for k in range(60))
    assert_close(y, torch.view_as_real(expected).movedim(-1, 2))


def check_chunks(run):
    x, a = noise(2, 50, 3), noise(3).tanh()
    zf, outputs = torch.zeros(2, 3, dtype=torch.float64), []
    for chunk in x.split([0, 1, 1, 30, 0, 18], 1):
        y, zf = run(chunk, a, zf)
        outputs.append(y)
    assert_close(torch.cat(outputs, 1), linear_recurrence(x, a))
    assert_close(zf, linear_recurrence(x, a)[:, -1])


def test_chunks_equal_the_whole():
    check_chunks(linear_recurrence)


@pytest.mark.parametrize(
    "broken",
    [
        lambda x, a, zi: (linear_recurrence(x, a, zi)[0], zi),
        lambda x, a, zi: (linear_recurrence(x, a), linear_recurrence(x, a, zi)[1]),
        lambda x, a, zi: (linear_recurrence(x, a, zi)[0], a * linear_recurrence(x, a, zi)[1]),
    ],
    ids=["no zf", "no zi", "a zf that is a sample late"],
)
def test_a_state_that_is_lost_is_caught(broken):
    with pytest.raises(AssertionError, match="differs at"):
        check_chunks(broken)


def check_segments(run):
    x, a = noise(2, 60, 2), noise(2).tanh()
    ids = torch.tensor([0] * 20 + [1] * 23 + [2, 3, 2] + [5] * 14).repeat(2, 1)
    ids[1] = ids[1].roll(7)
    assert_close(
        run(x, a, find_segments(ids)), recurrence_loop(x.unsqueeze(2), a.reshape(1, 1, 2), None, ids)[:, :, 0]
    )
    x[0, 10] = torch.inf  # of the first signal alone
    assert run(x, a, find_segments(ids))[0, 20:].isfinite().all()


def test_segments_are_as_if_alone():
    check_segments(lambda x, a, segments: linear_recurrence(x, a, segments=segments))


def test_a_state_that_outlives_its_signal_is_caught():
    def by_zeros(x, a, segments):
        return linear_recurrence(x, a * (segments.position > 0).unsqueeze(-1))  # right, but for infinity

    with pytest.raises(AssertionError, match="differs at"):
        check_segments(lambda x, a, segments: linear_recurrence(x, a))
    with pytest.raises(AssertionError, match="isfinite"):
        check_segments(by_zeros)


# Derivatives


@each_kind
@pytest.mark.parametrize("time", [3, 35])
def test_first_and_second_derivatives(kind, time):
    run, inputs = KINDS[kind].run, KINDS[kind].inputs(time)
    options = {"check_batched_grad": True, "fast_mode": True}
    assert gradcheck(run, inputs, check_forward_ad=True, check_batched_forward_grad=True, **options)
    assert gradgradcheck(run, inputs, check_fwd_over_rev=True, **options)


def last_state(x, a, state, gain):
    return recurrence.recur_lags(x, a, state, None, gain=gain)


@pytest.mark.parametrize("time", [0, 1, 4])
def test_derivatives_of_the_last_state(time):
    """It is returned twice, and counts twice."""
    inputs = Kind(state=True, gain=True).inputs(time)
    options = {"check_batched_grad": True, "fast_mode": True}
    assert gradcheck(last_state, inputs, check_forward_ad=True, **options)
    assert gradcheck(lambda *given: last_state(*given)[1], inputs, **options)
    assert gradgradcheck(lambda *given: last_state(*given)[1], inputs, **options)


def test_a_last_state_that_has_no_gradient_is_caught(monkeypatch):
    monkeypatch.setattr(recurrence, "with_last", lambda of_y, of_last, *rest: of_y)
    with pytest.raises((GradcheckError, RuntimeError)):
        gradcheck(last_state, Kind(state=True, gain=True).inputs(4))


@pytest.mark.parametrize(
    ("kind", "name", "broken"),
    [
        ("coupled", "transposed", lambda a, back: a),
        ("time-varying", "transposed", lambda a, back: a.transpose(-3, -2)),
        ("one pole", "states_before", lambda y, *rest: [y]),
        ("second order", "states_before", lambda y, *rest: before(y, *rest)[:1] * 2),
        ("one pole, segments, state", "unless_begun", lambda first, begins: first),
    ],
)
def test_gradcheck_catches(kind, name, broken, monkeypatch):
    monkeypatch.setattr(recurrence, name, broken)
    with pytest.raises(GradcheckError):
        gradcheck(KINDS[kind].run, KINDS[kind].inputs(20), check_forward_ad=True)


before = recurrence.states_before


def test_gradgradcheck_catches_a_wrong_second_derivative(monkeypatch):
    run, inputs = KINDS["one pole"].run, KINDS["one pole"].inputs()
    backward = recurrence._Recurrence.backward

    def broken(ctx, *gradients):
        of_x, of_a, *rest = backward(ctx, *gradients)
        return of_x, None if of_a is None else of_a.detach() + 0 * of_a.sum(), *rest

    monkeypatch.setattr(recurrence._RecurrenceWithJvp, "backward", staticmethod(broken))
    assert gradcheck(run, inputs)
    with pytest.raises(GradcheckError):
        gradgradcheck(run, inputs)


@each_kind
class TestFunc:
    """torch.func against a loop that it differentiates by itself."""

    @pytest.mark.parametrize("argument", [0, 1])
    def test_jacobians_and_hessian(self, kind, argument):
        inputs, kind = KINDS[kind].inputs(3, requires_grad=False), KINDS[kind]
        expected = torch.func.jacrev(kind.loop, argument)(*inputs)
        for mode in (torch.func.jacrev, torch.func.jacfwd):
            assert_close(mode(kind.run, argument)(*inputs), expected)
        ours, reference = (
            torch.func.hessian(lambda *args, run=run: (run(*args) ** 3).sum(), argument)(*inputs)
            for run in (kind.run, kind.loop)
        )
        assert_close(ours, reference)

    def test_vmap(self, kind):
        inputs, kind = KINDS[kind].inputs(20, requires_grad=False), KINDS[kind]
        for batched in range(len(inputs)):
            dims = tuple(0 if i == batched else None for i in range(len(inputs)))
            many = [torch.stack([v, -2 * v, v / 3]) if i == batched else v for i, v in enumerate(inputs)]
            y = torch.func.vmap(kind.run, dims)(*many)
            for i in range(3):
                one = [v if dim is None else v[i] for v, dim in zip(many, dims, strict=True)]
                assert_close(y[i], kind.run(*one))


def test_refuses_segments_of_each_example():
    with pytest.raises(ValueError, match="segments cannot be batched by vmap"):
        torch.func.vmap(lambda x, ids: linear_recurrence(x, 0.5, segments=find_segments(ids)))(
            noise(3, 2, 5, 1), torch.zeros(3, 2, 5, dtype=torch.int64)
        )


# Precision, graphs, refusals


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_accumulated_in_float32(dtype):
    x = noise(2, 400, 3, dtype=dtype)
    y, zf = linear_recurrence(x, 0.99, torch.zeros(2, 3))
    exact = linear_recurrence(x.double(), torch.tensor(0.99).double())
    assert y.dtype == dtype
    assert zf.dtype == torch.float32
    assert_close(y, exact, scale=exact.abs().max().item())
    assert_close(zf, exact[:, -1].float())


def check_graphs(kind):
    torch._dynamo.reset()
    graphs = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(kind.run, fullgraph=True, backend=graphs)
    for time in (12, 13, 100, 2):
        inputs = kind.inputs(time)
        y, eager = compiled(*inputs), kind.run(*inputs)
        assert_close(y, eager)
        v = torch.randn_like(y)
        for ours, its in zip(
            torch.autograd.grad(y, inputs, v), torch.autograd.grad(eager, inputs, v), strict=True
        ):
            assert_close(ours, its)
    assert graphs.frame_count <= 2


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind == "one pole, segments, state" else pytest.mark.slow)
        for kind in KINDS
    ],
)
def test_compiles_once_for_all_lengths_with_its_backward(kind):
    check_graphs(KINDS[kind])


@pytest.mark.parametrize(
    ("x", "a", "zi", "error", "says"),
    [
        (torch.zeros(2, 5), 0.5, None, TypeError, r"a floating-point signal \(batch, time, channels\)"),
        (torch.zeros(2, 5, 3).long(), 0.5, None, TypeError, "got a torch.int64 tensor"),
        (
            torch.zeros(2, 5, 3),
            torch.ones(2),
            None,
            ValueError,
            r"\(3,\) or \(2, 5, 3\) or \(\).*got.*\(2,\)",
        ),
        (torch.zeros(2, 5, 3), torch.ones(3) * 1j, None, ValueError, r"the matrix \[\[r, -s\], \[s, r\]\]"),
        (torch.zeros(2, 5, 2, 3), torch.ones(3), None, ValueError, r"\(2, 2, 3\) or \(2, 5, 2, 2, 3\)"),
        (torch.zeros(2, 5, 3), 0.5, torch.zeros(3), ValueError, r"zi must be of shape \(2, 3\)"),
    ],
)
def test_refuses(x, a, zi, error, says):
    with pytest.raises(error, match=says):
        linear_recurrence(x, a, zi)
