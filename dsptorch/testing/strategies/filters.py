"""Coefficients of filters that have a property by construction."""

import torch
from hypothesis import strategies as st
from torch import Tensor

from dsptorch.testing.strategies.recurrences import stable_sections


@st.composite
def fir_taps(draw: st.DrawFn, max_taps: int = 6, width: int = 1) -> Tensor:
    """Taps of FIR filters, (taps, width), float64, in eighths between -2 and 2; the simplest is [[0]].

    Args:
        max_taps: The most taps.
        width: Channels.

    Example:
        >>> from hypothesis import find
        >>> find(fir_taps(), lambda h: h.abs().sum() > 1).flatten()
        tensor([1.1250], dtype=torch.float64)
    """
    count = draw(st.integers(1, max_taps))
    eighths = st.lists(st.integers(-16, 16), min_size=count * width, max_size=count * width)
    return torch.tensor(draw(eighths), dtype=torch.float64).reshape(count, width) / 8


@st.composite
def unit_dc_taps(draw: st.DrawFn, max_taps: int = 6, width: int = 1) -> Tensor:
    """Taps of FIR filters whose sum is exactly 1, (taps, width), float64, in eighths; the simplest is [[1]].

    Args:
        max_taps: The most taps.
        width: Channels.

    Example:
        >>> from hypothesis import find
        >>> find(unit_dc_taps(), lambda h: len(h) == 3).flatten()
        tensor([1., 0., 0.], dtype=torch.float64)
    """
    taps = draw(fir_taps(max_taps, width))
    taps[0] = 0
    taps[0] = 1 - taps.sum(0)
    return taps


@st.composite
def stable_filters(draw: st.DrawFn, max_sections: int = 2, max_radius: float = 0.9) -> tuple[Tensor, Tensor]:
    """Coefficients (b, a) of stable recursive filters, as in `scipy.signal.lfilter`: all poles inside the circle.

    Each section is a pair of poles at radius r and angle theta, and two zeros anywhere:

        a(z) = prod (1 - 2 r cos(theta) z^-1 + r^2 z^-2)

    The simplest is the identity, b = a = [1].

    Args:
        max_sections: The most pairs of poles.
        max_radius: The greatest radius of the poles, under 1.

    Example:
        >>> from hypothesis import find
        >>> b, a = find(stable_filters(), lambda f: f[1].abs().sum() > 1.5)
        >>> bool((a[1:].abs().sum() > 0.5))
        True
    """
    b = a = torch.ones(1, dtype=torch.float64)
    for _ in range(draw(st.integers(0, max_sections))):
        section = draw(stable_sections(1, max_radius))[0]
        b, a = _product(b, section[:3]), _product(a, section[3:])
    return b, a


@st.composite
def paraunitary_filters(draw: st.DrawFn, max_bands: int = 3, max_degree: int = 2) -> Tensor:
    """Analysis filters of paraunitary FIR filterbanks, (bands, taps), float64, one band a decimation factor.

    The polyphase matrix is a product of delays and of reflections along small whole vectors v:

        E(z) = D(z) R_n ... D(z) R_0,   R = I - 2 v v^T / (v^T v),   D(z) = diag(1, ..., 1, z^-1)
        h[band, M n + i] = E_n[band, i],   M bands

    so sum_band |h_band(x), decimated by M|^2 = |x|^2, and the time-reversed filters reconstruct. The simplest is
    one that hands the samples round.

    Args:
        max_bands: The most bands, at least 2.
        max_degree: The most factors after the first.

    Example:
        >>> from hypothesis import find
        >>> h = find(paraunitary_filters(2), lambda h: (h != 0).all())
        >>> h, torch.allclose(h @ h.T, torch.eye(2, dtype=torch.float64))
        (tensor(...), True)

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, sec. 14.3 (FIR paraunitary systems).
    """
    bands = draw(st.integers(2, max_bands))
    blocks = [draw(_reflections(bands))]  # E_0, E_1, ...
    for _ in range(draw(st.integers(0, max_degree))):
        reflection = draw(_reflections(bands))
        late = [torch.zeros_like(blocks[0]), *(reflection @ block for block in blocks)]
        early = [*(reflection @ block for block in blocks), torch.zeros_like(blocks[0])]
        blocks = [torch.cat([e[:-1], d[-1:]]) for e, d in zip(early, late, strict=True)]
    return torch.cat(blocks, 1)


@st.composite
def _reflections(draw: st.DrawFn, size: int) -> Tensor:
    vector = draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size).filter(any))
    v = torch.tensor(vector, dtype=torch.float64)
    return torch.eye(size, dtype=torch.float64) - 2 * torch.outer(v, v) / (v @ v)


def _product(p: Tensor, q: Tensor) -> Tensor:
    """The coefficients of a product of polynomials."""
    result = torch.zeros(len(p) + len(q) - 1, dtype=p.dtype)
    for i, value in enumerate(p):
        result[i : i + len(q)] += value * q
    return result
