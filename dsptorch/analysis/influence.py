"""A plot of the inputs that each output depends on."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dsptorch.analysis.axes import INK, axes_or_new, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_influence"]


def plot_influence(
    matrix: Tensor, *, ax: Axes | None = None, decades: float = 8.0, rate: Fraction | int = 1
) -> Axes:
    """Plot an influence matrix on a logarithmic scale; entries above the diagonal are the future.

    Args:
        matrix: (output time, input time), as returned by `dsptorch.testing.influence_matrix`.
        ax: The matplotlib axes to draw on; None for a new figure with a colour bar. On your own axes,
            ``ax.figure.colorbar(ax.images[0], ax=ax)`` adds a colour bar.
        decades: The range of the colours below the greatest value, in decades. Entries that are exactly 0 stay empty.
        rate: Output samples per input sample.

    Returns:
        The axes. Their title gives the number of outputs that see the future.

    Raises:
        ImportError: If matplotlib is missing (the extra `plots` installs it).
        ValueError: If ``matrix`` is not a matrix, or the rate is not positive.

    Example:
        >>> ax = plot_influence(torch.ones(8, 8).tril())
        >>> ax.get_title(loc="left"), ax.get_xlabel()
        ('causal', 'input time (samples)')
    """
    if matrix.dim() != 2:
        raise ValueError(
            f"expected an (output time, input time) matrix, got shape {tuple(matrix.shape)}; "
            "pass what influence_matrix gives"
        )
    if rate <= 0:
        raise ValueError(f"rate must be positive, got {rate}")
    alone = ax is None
    ax = axes_or_new(ax, "plot_influence", 5.0, 4.2)
    from matplotlib.colors import LogNorm  # noqa: PLC0415, an extra

    values = matrix.detach().double().cpu()
    top = values.where(values.isfinite(), 0).abs().max().item() or 1.0
    shown = values.nan_to_num(nan=top, posinf=top).where(values != 0, torch.nan)
    image = ax.imshow(shown.numpy(), norm=LogNorm(top * 10.0**-decades, top), cmap="viridis")
    stands = torch.tensor([int(n / Fraction(rate)) for n in range(matrix.shape[0])])
    ax.plot([-0.5, matrix.shape[1] - 0.5], [-0.5, matrix.shape[0] - 0.5], color="#d1602d", linewidth=0.8)
    ahead = torch.arange(matrix.shape[1]) > stands.unsqueeze(1)
    future = int((values.where(ahead, 0) != 0).any(1).sum())
    title = f"{future} of {matrix.shape[0]} outputs see the future" if future else "causal"
    if alone:
        bar = ax.figure.colorbar(image, ax=ax)
        bar.set_label("influence", color=INK)
        bar.ax.tick_params(colors=INK, which="both")
    return style(ax, "input time (samples)", "output time (samples)", title)
