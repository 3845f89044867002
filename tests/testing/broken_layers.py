"""Layers, functions and filterbanks that break one promise each, and what they would be without the bug."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsptorch import FIR, Layer, LFORouting, Multirate, PeriodicFIR
from dsptorch.functional import firwin
from dsptorch.layers import State

WIDTH, TIME = 4, 24


def multirate(**kwargs) -> Multirate:
    return Multirate(WIDTH, 3, dtype=torch.float64, **kwargs)


def lowpass(**kwargs) -> FIR:
    return FIR(WIDTH, 5, init="lowpass", dtype=torch.float64, **kwargs)


class ForgetsShortChunks(FIR):
    """Its history is the last chunk, however short: right for chunks at least as long as the filter."""

    def process(self, x, memory, timeline):
        kept = self.receptive_field - 1
        return super().process(x, memory, timeline)[0], F.pad(x, (0, 0, kept, 0))[:, -kept:]


class PositionRestarts(Multirate):
    def process(self, x, memory, timeline):
        if timeline.start is not None:
            timeline = timeline._replace(start=torch.zeros_like(timeline.start))
        return super().process(x, memory, timeline)


class PositionOfTheFirstRow(LFORouting):
    def process(self, x, memory, timeline):
        if timeline.start is not None:
            timeline = timeline._replace(start=timeline.start[:1].expand_as(timeline.start))
        return super().process(x, memory, timeline)


class DetachedState(FIR):
    def process(self, x, memory, timeline):
        return super().process(x, None if memory is None else memory.detach(), timeline)


class ReachesIntoItsNeighbour(FIR):
    def process(self, x, memory, timeline):
        return super().process(x, memory, timeline._replace(segments=None))


class CountsOn(LFORouting):
    """Gates by the time since the row began."""

    def process(self, x, memory, timeline):
        segments = timeline.segments
        if segments is not None and memory is None:
            counted = torch.arange(x.shape[1]).expand(len(x), -1)
            timeline = timeline._replace(segments=segments._replace(position=counted))
        return super().process(x, memory, timeline)


class KeepsHistory(FIR):
    """Right on a whole row; in chunks it takes the samples before the chunk for those of its signal."""

    def process(self, x, memory, timeline):
        segments = timeline.segments
        if segments is not None and memory is not None:
            far = segments.position + (segments.position <= torch.arange(x.shape[1])) * memory.shape[1]
            timeline = timeline._replace(segments=segments._replace(position=far))
        return super().process(x, memory, timeline)


class MultipliesByAMask(nn.Linear):
    def forward(self, x, segment_ids=None):
        y = super().forward(x)
        return y if segment_ids is None else torch.where((segment_ids < 0).unsqueeze(-1), x, y)


class WritesIntoItsState(FIR):
    """Keeps the last inputs in one buffer, rolled in place."""

    def process(self, x, memory, timeline):
        y, after = super().process(x, memory, timeline)
        return y, after if memory is None else memory.copy_(after)


class PositionIsANumber(Layer):
    lookahead, period, receptive_field = 0, 1, 1

    def __init__(self):
        super().__init__(WIDTH)

    def process(self, x, memory, timeline):
        return 2 * x, ()

    def step(self, x, state=None):
        position = (0 if state is None else state.position) + x.shape[1]
        return 2 * x, State(position, x.new_zeros(len(x)))


class RefusesEmptyChunks(FIR):
    def process(self, x, memory, timeline):
        x.max()
        return super().process(x, memory, timeline)


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
        return grad.detach() * 3 * ctx.saved_tensors[0] ** 2


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


class Registers(FIR):
    """A tensor that `first_values` does not know."""

    def __init__(self, buffer=False):
        super().__init__(WIDTH)
        if buffer:
            self.register_buffer("later", torch.ones(1), persistent=False)
        else:
            self.later = nn.Parameter(torch.ones(1))


class GraphBreak(FIR):
    def process(self, x, memory, timeline):
        torch._dynamo.graph_break()
        return super().process(x, memory, timeline)


class ReadsAValue(nn.Module):
    """A Python branch on the data."""

    def forward(self, x):
        return x if x.mean() > 0 else 2 * x


class ReadsItsPosition(LFORouting):
    def process(self, x, memory, timeline):
        if timeline.start is not None and timeline.start.max().item() > 0:
            x = x + 0
        return super().process(x, memory, timeline)


class WritesItsLengthDown(FIR):
    """Right for the length that it was exported with."""

    def process(self, x, memory, timeline):
        return super().process(x.reshape(*map(int, x.shape)), memory, timeline)


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
