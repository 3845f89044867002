"""One table of every public layer in every variant that matters: what the contract is tested on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import dsptorch as d

WIDTH = 4


def _bounded(value: float) -> d.BoundedHyperparam:
    return d.BoundedHyperparam(value, 0.1, 0.9)


def _factor(value: float, low: int, high: int, device: str | None = None, **_: object) -> d.BoundedHyperparam:
    return d.BoundedHyperparam(value, low, high, integer=True, device=device)


def _half_life(device: str | None = None, **_: object) -> d.BoundedHyperparam:
    return d.BoundedHyperparam(4.0, 1.0, 16.0, log=True, device=device)


def _lifting(width: int, **kw: Any) -> d.Lifting:
    """A filter predicts, and a chain that is not linear updates."""
    update = d.Chain(d.FIR(width, 2, init="delays", **kw), d.Pointwise(nn.Tanh(), width))
    return d.Lifting(d.FIR(width, 3, init="lowpass", **kw), update)


def _device(device: str | None = None, **_: object) -> dict[str, str | None]:
    return {"device": device}


def _lfo(num: int, waveform: str = "sine", **kwargs: object) -> d.LFO:
    return d.LFO(num, (0.03, 0.2), waveform=waveform, **_device(**kwargs))


CAUSAL: dict[str, Callable[..., d.Layer]] = {
    "FIR identity": lambda **kw: d.FIR(WIDTH, 4, **kw),
    "FIR lowpass": lambda **kw: d.FIR(WIDTH, 5, init="lowpass", cutoff=0.3, delay=2, **kw),
    "FIR delays": lambda **kw: d.FIR(WIDTH, 6, init="delays", **kw),
    "FIR taps": lambda **kw: d.FIR(WIDTH, 3, init=torch.linspace(-1, 1, 3 * WIDTH).reshape(3, WIDTH), **kw),
    "Delay": lambda **kw: d.Delay(WIDTH, 3),
    "Multirate": lambda **kw: d.Multirate(WIDTH, **kw),
    "Multirate 3": lambda **kw: d.Multirate(WIDTH, 3, kernel_size=3, **kw),
    "Multirate levels": lambda **kw: d.Multirate(WIDTH, levels=2, kernel_size=3, **kw),
    "Multirate fixed": lambda **kw: d.Multirate(WIDTH, mix_ratio=0.3, detail_strength=0.6, **kw),
    "Multirate learned": lambda **kw: d.Multirate(WIDTH, _factor(2.4, 1, 3, **kw), kernel_size=3, **kw),
    "Multirate learned levels": lambda **kw: d.Multirate(
        WIDTH, _factor(2.4, 2, 3, **kw), levels=2, kernel_size=2, **kw
    ),
    "LFORouting": lambda **kw: d.LFORouting(WIDTH, 2, **kw),
    "LFORouting depthwise": lambda **kw: d.LFORouting(WIDTH, 2, depthwise=True, kernel_size=4, **kw),
    "ChannelBottleneck": lambda **kw: d.ChannelBottleneck(WIDTH, **kw),
    "ChannelBottleneck fixed": lambda **kw: d.ChannelBottleneck(
        WIDTH, bottleneck_ratio=0.5, residual_mix=0.5, **kw
    ),
    "Pointwise": lambda **kw: d.Pointwise(nn.Linear(WIDTH, WIDTH, **kw), WIDTH),
    "Chain": lambda **kw: d.Chain(
        d.FIR(WIDTH, 3, **kw), d.Multirate(WIDTH, kernel_size=2, **kw), d.LFORouting(WIDTH, **kw)
    ),
    "Parallel": lambda **kw: d.Parallel(
        d.FIR(WIDTH, 5, init="lowpass", delay=2, **kw), d.Multirate(WIDTH, 3, **kw)
    ),
    "Residual": lambda **kw: d.Residual(d.FIR(WIDTH, 5, init="lowpass", delay=2, **kw)),
    "Blend": lambda **kw: d.Blend(d.Multirate(WIDTH, kernel_size=3, **kw), **kw),
    "Split": lambda **kw: d.Split(
        d.FIR(1, 5, init="lowpass", delay=2, **kw), d.Multirate(WIDTH - 1, kernel_size=2, **kw)
    ),
    "EMA": lambda **kw: d.EMA(WIDTH, **kw),
    "EMA fixed": lambda **kw: d.EMA(WIDTH, 3.0, **kw),
    "EMA warm": lambda **kw: d.EMA(WIDTH, _half_life(**kw), warm=True, **kw),
    "EMA first": lambda **kw: d.EMA(WIDTH, (1.0, 16.0), start="first", **kw),
    "Resonator": lambda **kw: d.Resonator(WIDTH, **kw),
    "Resonator noise": lambda **kw: d.Resonator(WIDTH, 0.1, _half_life(**kw), gain="noise", **kw),
    "Biquad": lambda **kw: d.Biquad(WIDTH, **kw),
    "Biquad fixed": lambda **kw: d.Biquad(WIDTH, "bandpass", 0.1, 2.0, **kw),
    "Biquad free": lambda **kw: d.Biquad(WIDTH, "free", **kw),
    "SOS": lambda **kw: d.SOS(WIDTH, 2, max_half_life=16.0, **kw),
    "Chain of recurrences": lambda **kw: d.Chain(
        d.FIR(WIDTH, 3, **kw), d.EMA(WIDTH, **kw), d.Biquad(WIDTH, "highpass", **kw)
    ),
    "AtRate of an EMA": lambda **kw: d.AtRate(d.EMA(WIDTH, **kw), 2, **kw),
    "AtRate": lambda **kw: d.AtRate(d.FIR(WIDTH, 3, init="lowpass", **kw), 4, **kw),
    "Subbands": lambda **kw: d.Subbands(
        d.FilterBank(WIDTH, 3, overlap=1, **kw), d.FIR(3 * WIDTH, 2, init="delays", **kw)
    ),
    "Subbands apart": lambda **kw: d.Subbands(
        d.FilterBank(WIDTH, 2, "lattice", overlap=1, **kw), d.Split(d.Delay(WIDTH, 1), d.FIR(WIDTH, 2, **kw))
    ),
    "Subbands in subbands": lambda **kw: d.Subbands(
        d.FilterBank(WIDTH, 2, "paraunitary", overlap=0.5, **kw),
        d.Subbands(
            d.FilterBank(2 * WIDTH, 2, "lattice", overlap=1, **kw), d.FIR(4 * WIDTH, 2, init="delays", **kw)
        ),
    ),
    "UndecimatedBank": lambda **kw: d.UndecimatedBank(WIDTH, 3, **kw),
    "Chain down and up": lambda **kw: d.Chain(
        d.Decimate(WIDTH, 2, **kw), d.LFORouting(WIDTH, 2, **kw), d.Upsample(WIDTH, 2, init="linear", **kw)
    ),
    "Chain up and down": lambda **kw: d.Chain(
        d.Upsample(WIDTH, 2, **kw), d.FIR(WIDTH, 3, init="lowpass", **kw), d.Decimate(WIDTH, 2, 3, **kw)
    ),
    "LFOGate": lambda **kw: d.LFOGate(d.FIR(WIDTH, 5, init="lowpass", delay=2, **kw), 2, **_device(**kw)),
    "LFOGate of a recurrence": lambda **kw: d.LFOGate(
        d.EMA(WIDTH, **kw), 1, num_lfos=1, residual_mix=0.0, gate_temperature=0.5, **_device(**kw)
    ),
    "ModulatedDelay": lambda **kw: d.ModulatedDelay(WIDTH, 3, _lfo(2, **kw), min_delay=2.1, **kw),
    "ModulatedDelay allpass": lambda **kw: d.ModulatedDelay(
        WIDTH, 4, _lfo(WIDTH, "triangle", **kw), interpolation="allpass", **kw
    ),
    "Tremolo": lambda **kw: d.Tremolo(WIDTH, _lfo(2, **kw), **kw),
    "Tremolo square": lambda **kw: d.Tremolo(WIDTH, _lfo(1, "square", **kw), init="half", **kw),
}
"""Causal layers of rate 1, by name: builders that take `device` and `dtype`."""

CENTRED: dict[str, Callable[..., d.Layer]] = {
    "FIR centred": lambda **kw: d.FIR(WIDTH, 5, init="lowpass", causal=False, **kw),
    "FIR centred even": lambda **kw: d.FIR(WIDTH, 4, causal=False, **kw),
    "Multirate centred": lambda **kw: d.Multirate(WIDTH, kernel_size=3, causal=False, **kw),
    "Multirate centred levels": lambda **kw: d.Multirate(
        WIDTH, 3, kernel_size=3, levels=2, causal=False, **kw
    ),
    "Multirate centred learned": lambda **kw: d.Multirate(
        WIDTH, _factor(2.4, 1, 3, **kw), kernel_size=3, causal=False, **kw
    ),
    "LFORouting centred": lambda **kw: d.LFORouting(WIDTH, 2, causal=False, **kw),
    "LFORouting centred depthwise": lambda **kw: d.LFORouting(WIDTH, 2, causal=False, depthwise=True, **kw),
    "Chain centred": lambda **kw: d.Chain(d.FIR(WIDTH, 3, causal=False, **kw), d.FIR(WIDTH, 2, **kw)),
    "Parallel centred": lambda **kw: d.Parallel(d.FIR(WIDTH, 3, causal=False, **kw), d.FIR(WIDTH, 4, **kw)),
    "Residual centred": lambda **kw: d.Residual(d.FIR(WIDTH, 3, causal=False, **kw)),
    "Blend centred": lambda **kw: d.Blend(d.FIR(WIDTH, 3, causal=False, **kw), **kw),
    "Chain down and up centred": lambda **kw: d.Chain(
        d.Decimate(WIDTH, 3, **kw), d.FIR(WIDTH, 3, causal=False, **kw), d.Upsample(WIDTH, 3, **kw)
    ),
}
"""Layers that look ahead."""

LAYERS = CAUSAL | CENTRED
"""Layers of rate 1."""

RATES: dict[str, Callable[..., d.Layer]] = {
    "Decimate": lambda **kw: d.Decimate(WIDTH, 3, 5, **kw),
    "Decimate mean": lambda **kw: d.Decimate(WIDTH, 4, init="mean", **kw),
    "Upsample": lambda **kw: d.Upsample(WIDTH, 2, **kw),
    "Upsample linear": lambda **kw: d.Upsample(WIDTH, 3, init="linear", **kw),
    "ResamplePoly": lambda **kw: d.ResamplePoly(WIDTH, 3, 2, **kw),
    "ResamplePoly down": lambda **kw: d.ResamplePoly(WIDTH, 2, 3, window="hann", **kw),
    "Chain to 2/3": lambda **kw: d.Chain(
        d.Upsample(WIDTH, 2, init="linear", **kw), d.Decimate(WIDTH, 3, 4, **kw)
    ),
    "Chain to 1/3": lambda **kw: d.Chain(
        d.ResamplePoly(WIDTH, 2, 3, window="boxcar", **kw), d.Decimate(WIDTH, 2, 3, **kw)
    ),
    "Parallel of decimators": lambda **kw: d.Parallel(
        d.Decimate(WIDTH, 2, delay=2, **kw), d.Decimate(WIDTH, 2, init="first", **kw)
    ),
    "Split of decimators": lambda **kw: d.Split(
        d.Decimate(1, 2, **kw), d.Chain(d.FIR(WIDTH - 1, 2, **kw), d.Decimate(WIDTH - 1, 2, **kw))
    ),
    "FilterBank": lambda **kw: d.FilterBank(WIDTH, 4, **kw),
    "FilterBank odd": lambda **kw: d.FilterBank(WIDTH, 3, overlap=3, **kw),
    "FilterBank lattice": lambda **kw: d.FilterBank(WIDTH, 2, "lattice", **kw),
    "FilterBank paraunitary": lambda **kw: d.FilterBank(WIDTH, 4, "paraunitary", overlap=1.5, **kw),
    "FilterBank DFT": lambda **kw: d.FilterBank(WIDTH, 5, "dft", overlap=1, **kw),
    "Synthesis": lambda **kw: d.FilterBank(1, 4, overlap=1, **kw).synthesis(),
    "Synthesis lattice": lambda **kw: d.FilterBank(2, 2, "lattice", overlap=1.5, **kw).synthesis(),
    "Wavelet": lambda **kw: d.Wavelet(WIDTH, "db2", 2, **kw),
    "WaveletPacket": lambda **kw: d.WaveletPacket(WIDTH, "db3", 2, order="freq", **kw),
    "WaveletSynthesis": lambda **kw: d.WaveletSynthesis(d.Wavelet(1, "db2", 2, **kw)),
    "WaveletSynthesis of packets": lambda **kw: d.WaveletSynthesis(d.WaveletPacket(1, "db2", 2, **kw)),
    "Lifting": lambda **kw: _lifting(WIDTH, **kw),
    "InverseLifting": lambda **kw: d.InverseLifting(_lifting(WIDTH // 2, **kw)),
}
"""Causal layers of another rate or width."""

WITHOUT_STEP: dict[str, Callable[..., d.Layer]] = {
    "AtRate of a module": lambda **kw: d.AtRate(
        nn.Sequential(nn.Linear(WIDTH, WIDTH, **kw), nn.GELU()), 3, d_model=WIDTH, **kw
    ),
}
"""Causal layers of rate 1 around a module that does not stream."""

WIDER: dict[str, Callable[..., d.Layer]] = {
    "EMABank": lambda **kw: d.EMABank(WIDTH, 3, **kw),
    "EMABank warm": lambda **kw: d.EMABank(WIDTH, 2, warm=True, **kw),
    "Resonator both": lambda **kw: d.Resonator(WIDTH, (0.05, 0.2), 8.0, output="both", **kw),
    "UndecimatedBands": lambda **kw: d.UndecimatedBands(WIDTH, 2, 3, **kw),
}
"""Causal layers of rate 1 whose output is wider than the input."""

EVERY = LAYERS | RATES | WIDER | WITHOUT_STEP
STREAMING = CAUSAL | RATES | WIDER

ONE_OF_EACH_KIND = [
    "FIR identity",
    "Delay",
    "Multirate",
    "LFORouting",
    "ChannelBottleneck",
    "Pointwise",
    "Chain",
    "Parallel",
    "Residual",
    "Blend",
    "Split",
    "EMA",
    "EMABank",
    "Resonator",
    "Biquad",
    "SOS",
    "AtRate",
    "Decimate",
    "Upsample",
    "ResamplePoly",
    "FilterBank",
    "Synthesis",
    "Subbands",
    "Wavelet",
    "WaveletPacket",
    "WaveletSynthesis",
    "Lifting",
    "InverseLifting",
    "UndecimatedBank",
    "UndecimatedBands",
    "LFOGate",
    "ModulatedDelay",
    "Tremolo",
]
"""For what costs more than the contract: compilation, export, checkpoints."""

ALIKE = {
    "FilterBank odd",
    "FilterBank lattice",
    "FilterBank paraunitary",
    "FilterBank DFT",
    "Synthesis lattice",
    "WaveletSynthesis of packets",
    "Subbands in subbands",
    "Multirate 3",
    "Multirate learned levels",
    "Multirate centred levels",
    "Multirate centred learned",
    "LFORouting centred depthwise",
    "LFOGate of a recurrence",
    "Split of decimators",
}
"""Layers that differ from those beside them in a number or a matrix, or are made of them: the slow suite has them."""


def build(name: str, dtype: torch.dtype = torch.float64, scatter: bool = True) -> d.Layer:
    """Build a layer; scattered, every parameter is moved away from its tidy first value."""
    torch.manual_seed(0)
    layer = EVERY[name]().to(dtype)
    if scatter:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator).to(parameter))
    return layer.requires_grad_()


def signal(
    batch: int = 2, time: int = 19, dtype: torch.dtype = torch.float64, seed: int = 0, width: int = WIDTH
) -> torch.Tensor:
    """A signal, of the table's width or another one."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, time, width, dtype=torch.float64, generator=generator).to(dtype)


def scattered(layer: d.Layer, seed: int = 0) -> d.Layer:
    """The layer in float64 with every parameter moved."""
    generator = torch.Generator().manual_seed(seed)
    layer = layer.double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return layer


def ranges(layer: d.Layer) -> dict[str, tuple[float, float, float, bool]]:
    """The first value, the bounds and the scale of each hyperparameter."""
    return {
        name: (h.value.flatten()[0].item(), h.low, h.high, h.log) for name, h in d.named_hyperparams(layer)
    }
