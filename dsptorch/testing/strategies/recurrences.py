"""Recursive filters with poles inside the unit circle, and layers of such filters."""

import math

import torch
from hypothesis import strategies as st
from torch import Tensor

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.layers import EMA, SOS, Biquad, Layer, Resonator

RECURSIVE: tuple[type[Layer], ...] = (EMA, Resonator, Biquad, SOS)
"""The kinds that `recursive_layers` draws, of those that keep width and rate."""


@st.composite
def stable_poles(draw: st.DrawFn, max_radius: float = 0.9) -> complex:
    """Poles inside the unit circle: a radius and an angle in eighths; the simplest is 0.

    Args:
        max_radius: The greatest radius, under 1.

    Example:
        >>> from hypothesis import find
        >>> find(stable_poles(), lambda p: abs(p) > 0.8)
        (0.9+0j)
    """
    if not 0 < max_radius < 1:
        raise ValueError(f"max_radius must be in (0, 1) for a stable filter, got {max_radius}")
    radius = max_radius * draw(st.integers(0, 8)) / 8
    angle = math.pi * draw(st.integers(0, 8)) / 8
    return complex(radius * math.cos(angle), radius * math.sin(angle))


@st.composite
def stable_sections(draw: st.DrawFn, max_sections: int = 2, max_radius: float = 0.9) -> Tensor:
    """Second-order sections as in `scipy.signal.sosfilt`, (sections, 6), float64; the simplest is the identity.

    Each has a pair of poles as in `stable_poles`, and two zeros anywhere:

        1 - 2 r cos(theta) z^-1 + r^2 z^-2

    Args:
        max_sections: The most sections, at least 1.
        max_radius: The greatest radius of the poles, under 1.

    Example:
        >>> from hypothesis import find
        >>> find(stable_sections(), lambda sos: True)
        tensor([[1., 0., 0., 1., -0., 0.]], dtype=torch.float64)
    """
    sections = []
    for _ in range(draw(st.integers(1, max_sections))):
        pole = draw(stable_poles(max_radius))
        zeros = [draw(st.integers(-8, 8)) / 4 for _ in range(2)]
        sections.append([1.0, *zeros, 1.0, -2 * pole.real, abs(pole) ** 2])
    return torch.tensor(sections, dtype=torch.float64)


@st.composite
def recursive_layers(draw: st.DrawFn, d_model: int = 4, kind: type[Layer] | None = None) -> Layer:
    """EMA, Resonator, Biquad and SOS with any arguments; the simplest is an EMA with a half-life of 1.

    Args:
        d_model: The width, at least 1.
        kind: One of these; None: any.

    Example:
        >>> from hypothesis import find
        >>> find(recursive_layers(), lambda layer: True)
        EMA(4, half_life=1)
        >>> find(recursive_layers(), lambda layer: layer.period is None)
        EMA(4, half_life=1, warm=True)
    """
    kind = draw(st.sampled_from(RECURSIVE)) if kind is None else kind
    if kind is EMA:
        warm, start = draw(st.sampled_from(((False, "zero"), (True, "zero"), (False, "first"))))
        return EMA(d_model, draw(_values(1.0, 16.0)), warm=warm, start=start)
    if kind is Resonator:
        gain = draw(st.sampled_from(("peak", "noise")))
        return Resonator(d_model, draw(_values(0.05, 0.4)), draw(_values(1.0, 16.0)), gain=gain)
    if kind is SOS:
        return SOS(d_model, draw(stable_sections(max_radius=0.8)), max_half_life=8.0)
    name = draw(st.sampled_from(("lowpass", "highpass", "bandpass", "notch", "allpass", "free")))
    if name == "free":
        return Biquad(d_model, "free")
    return Biquad(d_model, name, draw(_values(0.05, 0.4)), draw(_values(0.5, 4.0)))


def _values(low: float, high: float) -> st.SearchStrategy[float | tuple[float, float] | BoundedHyperparam]:
    """A number, a pair, or a hyperparameter, made anew for each layer."""
    learned = st.builds(lambda: BoundedHyperparam(math.sqrt(low * high), low, high, log=True))
    return st.one_of(st.just(low), st.just((low, high)), learned)
