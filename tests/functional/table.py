"""One table of every public functional operation: how it is called, on what, and what it is by definition."""

import math
from fractions import Fraction

import numpy as np
import scipy.signal
import torch
from hypothesis import strategies as st
from torch import Tensor

import dsptorch.functional as f
from tests.functional.operation import F64, SIGNAL, Operation, designed, numbers, shaped
from tests.functional.table_banks import BANKS
from tests.functional.table_modulation import MODULATION
from tests.functional.table_recurrences import RECURRENCES
from tests.functional.table_wavelets import WAVELETS
from tests.oracles import literal_multirate, lptv_loop, runs, segmented_loop, upfirdn


def off_grid(count: int) -> st.SearchStrategy[tuple[Tensor]]:
    """Phases, in cycles, a sixteenth away from every corner and jump of a waveform."""
    return numbers(count).map(lambda v: (v + 1 / 16,))


LAGS = (-1, 0, 2)
IDS = st.lists(st.integers(-1, 1), min_size=14, max_size=14).map(lambda ids: torch.tensor(ids).reshape(2, 7))


def lfilter(x: Tensor, taps: Tensor) -> np.ndarray:
    channels = [
        scipy.signal.lfilter(h.numpy(), 1, s.numpy()) for h, s in zip(taps.T, x.unbind(-1), strict=True)
    ]
    return np.stack(channels, -1)


def sampled_and_held(x: Tensor, factor: int) -> np.ndarray:
    return x.numpy()[:, np.arange(x.shape[1]) // factor * factor]


def segments_oracle(ids: Tensor) -> tuple[np.ndarray, ...]:
    position, following = np.zeros(ids.shape, int), np.zeros(ids.shape, int)
    for row, start, stop in runs(ids):
        position[row, start:stop] = np.arange(stop - start)
        following[row, start:stop] = np.arange(stop - start)[::-1]
    return position, following, ids.numpy() < 0, position[:, -1] + 1, ids.numpy()[:, -1]


def by_timeline(ids: Tensor, cut: int) -> tuple[Tensor, ...]:
    """At half the rate, in two pieces: the first sample of each pair."""
    first = f.find_segments(ids[:, :cut])
    second = f.find_segments(ids[:, cut:], first.next_position, first.last)
    pieces = f.Timeline(None, 0, first), f.Timeline(torch.tensor([cut, cut]), cut, second)
    halves = [piece.resampled(Fraction(1, 2)).segments for piece in pieces]
    return torch.cat([half.position for half in halves], 1), torch.cat([half.padding for half in halves], 1)


def by_timeline_oracle(ids: Tensor, _: int) -> tuple[np.ndarray, ...]:
    position, _, padding, *_ = segments_oracle(ids)
    return position[:, ::2] // 2, padding[:, ::2]


def by_step(x: Tensor, taps: Tensor, cut: int) -> tuple[Tensor, ...]:
    """Two chunks, and the state between them."""
    filter_ = f.PeriodicFIR.fir(taps)
    first, state = filter_.step(x[:, :cut])
    assert isinstance(state, f.State)
    second, state = filter_.step(x[:, cut:], state)
    return torch.cat([first, second], 1), state.memory


def by_step_oracle(x: Tensor, taps: Tensor, cut: int) -> tuple[np.ndarray, np.ndarray]:
    silence = np.zeros((len(x), len(taps) - 1, x.shape[2]))
    return lfilter(x, taps), np.concatenate([silence, x.numpy()], 1)[:, x.shape[1] :]


def gate_oracle(position: Tensor, *args: Tensor) -> np.ndarray:
    freq, phase, amplitude, bias = (a.numpy() for a in args)
    t = position.numpy()[:, None, None]
    logit = (amplitude * np.sin(2 * np.pi * (freq * t + phase))).sum(-1) + bias
    return 1 / (1 + np.exp(-logit / 0.7))


def grouped_oracle(x: Tensor, weight: Tensor) -> np.ndarray:
    groups, taps, width, _ = weight.shape
    y = np.zeros((x.shape[0], x.shape[1] - taps + 1, x.shape[2]))
    for g in range(groups):
        s = slice(g * width, (g + 1) * width)
        for t in range(y.shape[1]):
            for k in range(taps):
                y[:, t, s] += x[:, t + taps - 1 - k, s].numpy() @ weight[g, k].numpy()
    return y


def block(x: Tensor, low: Tensor, recon: Tensor, detail: Tensor) -> Tensor:
    return f.multirate(low, recon, detail, downsample=2, mix_ratio=0.25, detail_strength=0.5)(x)


PAIRS = st.lists(st.integers(-1, 1), min_size=8, max_size=8).map(
    lambda ids: torch.tensor(ids).reshape(2, 4).repeat_interleave(2, 1)[:, :7]
)
TAPS = (1, 3, 2)
GATES = ((2, 3), (2, 3), (2, 3), (2,))
POSITIONS = st.lists(st.integers(0, 2000), min_size=4, max_size=4).map(torch.tensor)
SMOOTH = shaped((6,), low=-12, high=12)
AWAY_FROM_INTEGERS = shaped((3,), low=0, high=11).map(lambda case: (case[0] + 0.125,))


def centre(taps: np.ndarray) -> float:
    """Where the taps balance."""
    return (np.arange(len(taps)) * taps).sum() / taps.sum()


OPERATIONS: dict[str, Operation] = (
    {
        "FrequencyResponse": Operation(
            lambda taps: torch.view_as_real(f.PeriodicFIR.fir(taps).frequency_response(16).response[0, :, 0]),
            shaped((5,)),
            lambda taps: scipy.signal.freqz(taps.numpy(), worN=16)[1].view(float).reshape(-1, 2),
            compiles=False,
        ),
        "Segments": Operation(
            lambda ids: tuple(f.Segments(*f.find_segments(ids))),
            IDS.map(lambda ids: (ids,)),
            segments_oracle,
            differentiable=False,
        ),
        "PeriodicFIR": Operation(
            lambda x, taps: f.PeriodicFIR.compose(f.PeriodicFIR.hold(3), f.PeriodicFIR.fir(taps))(x),
            st.tuples(SIGNAL, numbers(4, 2)),
            lambda x, taps: sampled_and_held(torch.from_numpy(lfilter(x, taps)), 3),
        ),
        "State": Operation(by_step, st.tuples(SIGNAL, numbers(3, 2), st.integers(0, 7)), by_step_oracle),
        "Timeline": Operation(
            by_timeline,
            st.tuples(PAIRS, st.integers(0, 7)),
            by_timeline_oracle,
            differentiable=False,
            compiles=False,  # on two pieces of any length
        ),
        "decimate_taps": designed(
            lambda factor: f.decimate_taps("lowpass", factor, dtype=F64),
            lambda factor: scipy.signal.firwin(4 * factor, 1 / factor),
        ),
        "find_segments": Operation(
            lambda ids: f.find_segments(ids).following,
            IDS.map(lambda ids: (ids,)),
            lambda ids: segments_oracle(ids)[1],
            differentiable=False,
        ),
        "firwin": Operation(
            lambda cutoff: f.firwin(9, cutoff.item(), window="hann", dtype=F64),
            numbers(1, low=1, high=3).map(lambda c: (c,)),
            lambda cutoff: scipy.signal.firwin(9, cutoff.item(), window="hann"),
            differentiable=False,
            compiles=False,
        ),
        "from_bounded": Operation(
            lambda v: f.from_bounded(v, -3.0, 4.0),
            shaped((5,)),
            lambda v: -np.log(7 / (v.numpy() + 3) - 1),
            differentiable=False,
            compiles=False,
        ),
        "grouped_conv": Operation(f.grouped_conv, shaped((2, 6, 4), (2, 3, 2, 2)), grouped_oracle),
        "halfband": Operation(
            lambda k: f.halfband(4 * int(k) + 3, window="boxcar", dtype=F64),
            st.tuples(st.integers(0, 5)),
            lambda k: halfband_oracle(4 * k + 3),
            differentiable=False,
            compiles=False,
        ),
        "hat_weights": Operation(
            lambda v: f.hat_weights(v, 0, 3),
            AWAY_FROM_INTEGERS,
            lambda v: np.maximum(0, 1 - np.abs(v.numpy()[..., None] - np.arange(4))),
        ),
        "lfo_gate": Operation(
            lambda position, *args: f.lfo_gate(position, *args, 0.7),
            st.tuples(POSITIONS, shaped(*GATES)).map(lambda case: (case[0], *case[1])),
            gate_oracle,
        ),
        "lfo_phase": Operation(
            lambda position, freq, phase: circle(f.lfo_phase(freq, position, phase)),
            st.tuples(POSITIONS, numbers(4), numbers(4)),
            lambda position, freq, phase: circle(
                torch.from_numpy(freq.numpy() * position.numpy() + phase.numpy())
            ),
        ),
        "linear_phase_delay": designed(
            lambda factor: torch.tensor(float(f.linear_phase_delay(9, factor)), dtype=F64),
            lambda factor: centre(scipy.signal.firwin(9, 0.5)) / factor,
        ),
        "lptv_filter": Operation(
            lambda x, weight: f.lptv_filter(x, weight, LAGS),
            st.tuples(SIGNAL, numbers(2, 3, 2)),
            lambda x, weight: lptv_loop(x, weight, LAGS),
        ),
        "lptv_filter, segments": Operation(
            lambda ids, x, weight: f.lptv_filter(x, weight, LAGS, segments=f.find_segments(ids)),
            st.tuples(IDS, SIGNAL, numbers(2, 3, 2)),
            lambda ids, x, weight: segmented_loop(x, weight, LAGS, ids),
        ),
        "minimum_phase": Operation(
            lambda taps: f.minimum_phase(taps, 256),
            shaped((4,), low=1).map(lambda case: (case[0] + torch.tensor([9.0, 0, 0, 0], dtype=F64),)),
            lambda taps: scipy.signal.minimum_phase(taps.numpy(), n_fft=256, half=False),
            differentiable=False,
            compiles=False,
        ),
        "multirate": Operation(
            block,
            st.tuples(SIGNAL, *(numbers(*TAPS) for _ in range(3))),
            lambda x, *taps: literal_multirate(x, *taps, 2, 0.25, 0.5),
            compiles=False,  # the layer wraps it: see Multirate.process
        ),
        "resample": Operation(
            lambda x, taps: f.resample(x, taps, 3, 2),
            st.tuples(SIGNAL, numbers(5, 2)),
            lambda x, taps: upfirdn(x, taps, 3, 2),
        ),
        "resample_taps": designed(
            lambda factor: f.resample_taps(2 * factor, 2, dtype=F64),
            lambda factor: factor * scipy.signal.firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0)),
        ),
        "saw": Operation(f.saw, off_grid(6), lambda p: scipy.signal.sawtooth(2 * np.pi * (p.numpy() + 0.5))),
        "sine": Operation(f.sine, off_grid(6), lambda p: np.sin(2 * np.pi * p.numpy())),
        "square": Operation(f.square, off_grid(6), lambda p: scipy.signal.square(2 * np.pi * p.numpy())),
        "to_bounded": Operation(
            lambda raw: f.to_bounded(raw, 0.5, 8.0, log=True),
            SMOOTH,
            lambda raw: 0.5 * 16 ** (1 / (1 + np.exp(-raw.numpy()))),
        ),
        "triangle": Operation(
            f.triangle,
            off_grid(6),
            lambda p: scipy.signal.sawtooth(2 * np.pi * (p.numpy() + 0.25), width=0.5),
        ),
        "unit_dc": Operation(
            f.unit_dc, shaped((4, 2), low=1), lambda taps: taps.numpy() / taps.numpy().sum(0), compiles=False
        ),
        "upsample_taps": designed(
            lambda factor: f.upsample_taps("linear", factor, dtype=F64),
            lambda factor: np.append(0, scipy.signal.windows.triang(2 * factor - 1)),
        ),
        "width_mask": Operation(
            lambda width: f.width_mask(width, 5, width),
            shaped((1,), low=0, high=20),
            lambda width: 1 / (1 + np.exp(-4 * (width.numpy() - np.arange(5) - 0.5))),
        ),
    }
    | RECURRENCES
    | BANKS
    | MODULATION
    | WAVELETS
)


def circle(cycles: Tensor) -> Tensor:
    """Phases as points, for -1/2 and 1/2 are one."""
    angle = 2 * math.pi * cycles
    return torch.stack([torch.cos(angle), torch.sin(angle)])


def halfband_oracle(numtaps: int) -> np.ndarray:
    m = np.arange(numtaps) - numtaps // 2
    taps = np.where(m % 2, np.sinc(m / 2) / 2, 0)
    return np.where(m == 0, 0.5, taps * 0.5 / taps.sum())
