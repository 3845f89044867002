"""The gallery of broken promises: each breaks one thing, and names the check that must catch it and what it says."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsptorch import FIR, ChannelBottleneck, Layer, LFORouting, Multirate, PeriodicFIR
from dsptorch.functional import firwin
from dsptorch.layers import PositionState
from dsptorch.testing import (
    assert_bounded,
    assert_compiles,
    assert_dtypes,
    assert_energy_preserving,
    assert_exports,
    assert_gradients,
    assert_identity,
    assert_length_invariant,
    assert_linear,
    assert_no_mutation,
    assert_perfect_reconstruction,
    assert_receptive_field,
    assert_serializes,
    assert_shift_covariant,
    assert_streaming_equals_batch,
    assert_unit_dc,
)

WIDTH, TIME = 4, 24


class Bug(NamedTuple):
    """A planted bug.

    Attributes:
        check: Must raise AssertionError for the broken one, and pass the honest one.
        broken: Builds it.
        honest: Builds what it would be without the bug.
        says: A part of the message.
    """

    check: Callable[[Callable], None]
    broken: Callable[[], Callable]
    honest: Callable[[], Callable]
    says: str


def example(dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, TIME, WIDTH, dtype=torch.float64, generator=generator).to(dtype)


def multirate(**kwargs) -> Multirate:
    return Multirate(WIDTH, 3, dtype=torch.float64, **kwargs)


def lowpass(**kwargs) -> FIR:
    return FIR(WIDTH, 5, init="lowpass", dtype=torch.float64, **kwargs)


class ForgetsShortChunks(FIR):
    """Its history is the last chunk, however short: right for chunks at least as long as the filter."""

    def process(self, x, state):
        y, after = super().process(x, state)
        memory = self.receptive_field - 1
        return y, after._replace(history=F.pad(x, (0, 0, memory, 0))[:, -memory:])


class PositionRestarts(Multirate):
    def process(self, x, state):
        y, after = super().process(x, state and state._replace(position=torch.zeros_like(state.position)))
        return y, after


class PositionOfTheFirstRow(LFORouting):
    def process(self, x, state):
        if state is not None:
            state = state._replace(position=state.position[:1].expand_as(state.position))
        return super().process(x, state)


class DetachedState(FIR):
    def process(self, x, state):
        return super().process(x, state and state._replace(history=state.history.detach()))


class WritesIntoItsState(FIR):
    """Keeps the last inputs in one buffer, rolled in place."""

    def process(self, x, state):
        y, after = super().process(x, state)
        if state is not None:
            state.history.copy_(after.history)
            after = after._replace(history=state.history)
        return y, after


class PositionIsANumber(Layer):
    lookahead, period, receptive_field = 0, 1, 1

    def __init__(self):
        super().__init__(WIDTH)

    def process(self, x, state):
        return 2 * x, PositionState((0 if state is None else state.position) + x.shape[1])

    def step(self, x, state=None):
        return self.process(x, state)


class RefusesEmptyChunks(FIR):
    def process(self, x, state):
        x.max()
        return super().process(x, state)


class WritesIntoItsInput(nn.Module):
    def forward(self, x):
        return x.mul_(2)


class _WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx, grad):
        return grad * (1 - ctx.saved_tensors[0] ** 2)  # of tanh(x), not of x


class _OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        return (
            grad * 3 * ctx.saved_tensors[0].detach() ** 2
            if False
            else (grad.detach() * 3 * ctx.saved_tensors[0] ** 2)
        )


class DetachedParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(WIDTH, dtype=torch.float64))

    def forward(self, x):
        return x * (self.gain.detach() + 0 * self.gain)


class UnusedParameter(FIR):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.unused = nn.Parameter(torch.ones(1))


class KeepsALambda(FIR):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gain = lambda x: x


class KeepsItsSignal(FIR):
    """Remembers a tensor with a graph."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.last = self.weight * 1


class SharesItsWeight(FIR):
    """deepcopy gives a module with the same weight."""

    def __deepcopy__(self, memo):
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin


class DrawnOutsideTheStateDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.noise = torch.randn(WIDTH, dtype=torch.float64)

    def forward(self, x):
        return x * self.noise


class BufferNotPersistent(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("noise", torch.randn(WIDTH, dtype=torch.float64), persistent=False)

    def forward(self, x):
        return x * self.noise


class Registered(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("noise", torch.randn(WIDTH, dtype=torch.float64))

    def forward(self, x):
        return x * self.noise


class GraphBreak(FIR):
    def process(self, x, state):
        torch._dynamo.graph_break()
        return super().process(x, state)


class ReadsAValue(nn.Module):
    """A Python branch on the data."""

    def forward(self, x):
        return x if x.mean() > 0 else 2 * x


class OtherWhenCompiled(nn.Module):
    def forward(self, x):
        return x * (2 if torch.compiler.is_compiling() else 1)


class RMSNorm(nn.Module):
    """Squares in the dtype of the signal: float16 overflows at 256."""

    def __init__(self, wide=False):
        super().__init__()
        self.wide = wide

    def forward(self, x):
        z = x.float() if self.wide and x.dtype != torch.float64 else x
        return (z / (z.square().mean(-1, keepdim=True) + 1e-6).sqrt()).to(x.dtype)


class Upcasts(nn.Module):
    def forward(self, x):
        return x * torch.ones(1, dtype=torch.float32, device=x.device)


class PositionInTheDtype(nn.Module):
    """bfloat16 stops counting one by one at 256."""

    def forward(self, x):
        return x * torch.cos(0.3 * torch.arange(x.shape[1], dtype=x.dtype, device=x.device)).unsqueeze(-1)


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    even, odd = x[:, ::2], x[:, 1::2]
    return (even + odd) / 2**0.5, (even - odd) / 2**0.5


def unhaar(bands: tuple[Tensor, Tensor], sign: float = 1.0) -> Tensor:
    low, high = bands
    return torch.stack([low + high, sign * (low - high)], 2).flatten(1, 2) / 2**0.5


def one_pole(pole: float) -> Callable[[Tensor], Tensor]:
    def run(x):
        outputs, last = [], torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            last = pole * last + x[:, t]
            outputs.append(last)
        return torch.stack(outputs, 1)

    return run


def sampled(factor: int) -> PeriodicFIR:
    """Decimate after a low-pass, and hold."""
    return PeriodicFIR.compose(
        PeriodicFIR.hold(factor), PeriodicFIR.fir(firwin(4, 1 / factor, dtype=torch.float64))
    )


def on(check, *args, **kwargs):
    return lambda model: check(model, example(), *args, **kwargs)


BUGS: dict[str, Bug] = {
    "a state that forgets history for short chunks": Bug(
        on(assert_streaming_equals_batch),
        lambda: ForgetsShortChunks(WIDTH, 4, init="lowpass"),
        lowpass,
        "forgets",
    ),
    "a position that restarts with each chunk": Bug(
        on(assert_streaming_equals_batch),
        lambda: PositionRestarts(WIDTH, 3, dtype=torch.float64),
        multirate,
        r"in chunk \d+, its sample",
    ),
    "one position for all rows": Bug(
        on(assert_streaming_equals_batch),
        lambda: PositionOfTheFirstRow(WIDTH, 2).double(),
        lambda: LFORouting(WIDTH, 2).double(),
        r"rows at the positions \[0, 8, 12\]",
    ),
    "a position that is a Python number": Bug(
        on(assert_streaming_equals_batch), PositionIsANumber, lowpass, r"the state.*position of one row is \d"
    ),
    "a state without a gradient": Bug(
        on(assert_streaming_equals_batch),
        lambda: DetachedState(WIDTH, 4, init="lowpass", dtype=torch.float64),
        lowpass,
        "the gradient in the input differs",
    ),
    "a state that is written into": Bug(
        on(assert_streaming_equals_batch),
        lambda: WritesIntoItsState(WIDTH, 4, init="lowpass", dtype=torch.float64),
        lowpass,
        r"changed its state\.history in place",
    ),
    "an empty chunk that fails": Bug(
        on(assert_streaming_equals_batch), lambda: RefusesEmptyChunks(WIDTH), lowpass, "0 samples long"
    ),
    "a mutated argument": Bug(
        on(assert_no_mutation),
        WritesIntoItsInput,
        multirate,
        "argument 0 was changed in place at row 0, time 0",
    ),
    "an output that is the input": Bug(
        on(assert_no_mutation, views=False), nn.Identity, multirate, "shares memory"
    ),
    "a wrong declared period": Bug(
        lambda model: assert_shift_covariant(model, example(), 4),
        lambda: sampled(3),
        lambda: sampled(4),
        r"shifted by 4 samples.* \(phase \d of 4\)",
    ),
    "an absolute position": Bug(
        on(assert_shift_covariant, 1),
        lambda: lambda x: x * torch.arange(x.shape[1]).unsqueeze(-1),
        lambda: torch.tanh,
        "a position that enters",
    ),
    "knowing the length": Bug(
        on(assert_length_invariant), lambda: lambda x: x / x.shape[1], multirate, "of the first 1 of 24"
    ),
    "padding to a multiple of 4 at the front": Bug(
        on(assert_length_invariant),
        lambda: lambda x: sampled(4)(F.pad(x, (0, 0, -x.shape[1] % 4, 0)))[:, -x.shape[1] % 4 :],
        lambda: sampled(4),
        "knows the length",
    ),
    "a receptive field that is too short": Bug(
        on(assert_receptive_field, 5), lambda: one_pole(0.5), lowpass, "more than 4 samples earlier"
    ),
    "a lookahead inside the receptive field": Bug(
        on(assert_receptive_field, 5), lambda: lowpass(causal=False), lowpass, "more than 0 samples later"
    ),
    "a nonlinearity": Bug(on(assert_linear), lambda: torch.nn.GELU(), multirate, r"a = 1 and b = 1"),
    "a threshold that only the loud meets": Bug(
        on(assert_linear), lambda: lambda x: x.clamp(-100, 100), multirate, "a = 1000"
    ),
    "a dead zone that only the quiet meets": Bug(
        on(assert_linear), lambda: lambda x: x.where(x.abs() > 1e-4, 0), multirate, "a = 0.001|a = 1"
    ),
    "a bias": Bug(on(assert_linear), lambda: lambda x: x + 1e-3, multirate, "the output of silence is 0.001"),
    "a pole on the unit circle": Bug(
        on(assert_bounded), lambda: one_pole(1.0), lambda: one_pole(0.9), "over 24 it is 24"
    ),
    "a pole outside": Bug(
        on(assert_bounded), lambda: one_pole(-1.1), lambda: one_pole(-0.9), "no end in sight"
    ),
    "a gain above the bound": Bug(
        on(assert_bounded, 2.0), lambda: one_pole(0.6), lambda: one_pole(0.49), "not bounded by 2"
    ),
    "a limiter taken for a filter": Bug(
        on(assert_bounded),
        lambda: lambda x: one_pole(0.5)(x).clamp(-1, 1),
        lambda: one_pole(0.5),
        "not linear",
    ),
    "a gain at DC that is not 1": Bug(
        on(assert_unit_dc), lambda: FIR(WIDTH, 2, init=torch.full((2, WIDTH), 0.51)), lowpass, r"it is 1.02"
    ),
    "a gain at DC that is not 1 at one phase": Bug(
        on(assert_unit_dc),
        lambda: lambda x: x * (1 + 1e-3 * (torch.arange(TIME) % 8 == 7)).unsqueeze(-1),
        lambda: sampled(4),
        "time (15|23)",
    ),
    "an identity that is late": Bug(
        on(assert_identity),
        lambda: lambda x: F.pad(x, (0, 0, 2, 0))[:, :TIME],
        nn.Identity,
        "late by 2, times 1$",
    ),
    "an identity to rounding alone": Bug(
        on(assert_identity, exact=True),
        lambda: lambda x: x * 3 / 3 + 1e-17 + x * 1e-15,
        nn.Identity,
        "as rounding is",
    ),
    "a synthesis with a wrong sign": Bug(
        on(assert_perfect_reconstruction),
        lambda: (haar, lambda bands: unhaar(bands, -1.0)),
        lambda: (haar, unhaar),
        "no perfect reconstruction.* dB above",
    ),
    "a reconstruction that is later than it says": Bug(
        on(assert_perfect_reconstruction, delay=1),
        lambda: lambda x: 0.5 * F.pad(x, (0, 0, 3, 0)),
        lambda: lambda x: F.pad(x, (0, 0, 1, 0)),
        "late by 3, times 0.5",
    ),
    "a bank that loses energy": Bug(
        on(assert_energy_preserving),
        lambda: lambda x: [b / 2**0.5 for b in haar(x)],
        lambda: haar,
        "0.5 times as much",
    ),
    "a low-pass taken for an all-pass": Bug(
        on(assert_energy_preserving),
        lowpass,
        lambda: lambda x: F.pad(x, (0, 0, 5, 0)),
        "energy is not kept: row",
    ),
    "a wrong backward": Bug(
        on(assert_gradients),
        lambda: _WrongBackward.apply,
        lambda: torch.tanh,
        "the gradient in the input is wrong",
    ),
    "a parameter that is detached": Bug(
        on(assert_gradients), DetachedParameter, lowpass, "the gradient in parameter 'gain' is wrong"
    ),
    "a parameter that is not used": Bug(
        on(assert_gradients),
        lambda: UnusedParameter(WIDTH),
        lowpass,
        "no gradient reaches parameter 'unused'",
    ),
    "no gradient at all": Bug(
        on(assert_gradients), lambda: lambda x: x.detach().sin(), lambda: torch.sin, "no gradient at all"
    ),
    "a backward without a derivative of its own": Bug(
        on(assert_gradients), lambda: _OnceDifferentiable.apply, lambda: lambda x: x**3, "second derivative"
    ),
    "a layer that cannot be pickled": Bug(
        on(assert_serializes), lambda: KeepsALambda(WIDTH), lowpass, "pickle fails"
    ),
    "a layer that cannot be copied": Bug(
        on(assert_serializes), lambda: KeepsItsSignal(WIDTH), lowpass, "deepcopy fails"
    ),
    "a copy that shares its weight": Bug(
        on(assert_serializes),
        lambda: SharesItsWeight(WIDTH, dtype=torch.float64),
        lowpass,
        "shares the parameter 'weight'",
    ),
    "numbers outside the state dict": Bug(
        lambda model: assert_serializes(model, example(), factory=type(model)),
        DrawnOutsideTheStateDict,
        Registered,
        "gives other numbers",
    ),
    "a buffer that is not persistent": Bug(
        lambda model: assert_serializes(model, example(), factory=type(model)),
        BufferNotPersistent,
        Registered,
        "gives other numbers",
    ),
    "a graph break": Bug(
        on(assert_compiles, backend="aot_eager"),
        lambda: GraphBreak(WIDTH, dtype=torch.float64),
        lowpass,
        "does not compile into one graph by aot_eager",
    ),
    "another function when compiled": Bug(
        on(assert_compiles, backend="aot_eager"),
        OtherWhenCompiled,
        lowpass,
        "the output is not that of eager",
    ),
    "a branch on the data": Bug(on(assert_exports), ReadsAValue, lowpass, "does not export"),
    "float16 that overflows": Bug(
        on(assert_dtypes),
        RMSNorm,
        lambda: RMSNorm(wide=True),
        r"torch.float16, on a signal 1000 times as loud",
    ),
    "an output in another dtype": Bug(
        on(assert_dtypes), Upcasts, lowpass, "in torch.bfloat16 the output is torch.float32"
    ),
    "a position in bfloat16": Bug(
        lambda model: assert_dtypes(model, torch.ones(1, 400, 1)),
        PositionInTheDtype,
        lambda: ChannelBottleneck(1),
        "in torch.bfloat16 the output is further",
    ),
}
