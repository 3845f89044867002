"""Axes of all plots: their style, and the import of matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "DASHES", "INK", "axes_or_new", "look", "new_figure", "style"]

INK = "#7d7d7d"
"""The colour of text and lines: readable on white and on black alike."""

COLOURS = ("#1f77b4", "#d1602d", "#2a9d5c", "#b65fa5", "#a08319", "#7d7d7d")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Curve n of a picture has COLOURS[n] and DASHES[n], so that curves can be told apart without colours too."""


def look(n: int) -> dict[str, Any]:
    """The colour and the line style of curve n."""
    return {"color": COLOURS[n % len(COLOURS)], "linestyle": DASHES[n % len(DASHES)]}


def new_figure(caller: str, width: float, height: float) -> Figure:
    """Make a figure with a transparent background, for light and dark pages.

    Args:
        caller: The name of the calling function, for the error if matplotlib is missing.
        width: Width in inches.
        height: Height in inches.
    """
    try:
        from matplotlib.figure import Figure as New  # noqa: PLC0415, an extra
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed; pip install 'dsptorch[plots]'"
        ) from error
    return New(figsize=(width, height), layout="constrained", facecolor="none", dpi=120)


def axes_or_new(ax: Axes | None, caller: str, width: float = 6.0, height: float = 3.4) -> Axes:
    """Return the given axes, or the axes of a new figure."""
    return new_figure(caller, width, height).add_subplot() if ax is None else ax


def style(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> Axes:
    """Label axes, and apply the common style."""
    ax.set_facecolor("none")
    ax.set_xlabel(xlabel, color=INK)
    ax.set_ylabel(ylabel, color=INK)
    if title:
        ax.set_title(title, loc="left", fontsize="medium", color=INK)
    ax.tick_params(colors=INK, which="both")
    ax.grid(axis="y", color=INK, alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(INK)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, labelcolor=INK, fontsize="small")
    return ax
