"""Plots of the history of a MetaController."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsptorch.analysis.axes import INK, axes_or_new, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["history_figure", "plot_history"]

_COLUMNS = 3
_KINDS = ("meta_loss", "value", "hypergradient")


def plot_history(
    history: Sequence[Mapping[str, Any]],
    kind: str = "value",
    *,
    names: Iterable[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot one quantity that a MetaController recorded, over the training steps.

    There is one curve for each hyperparameter, from light (the first) to dark. A hyperparameter of several elements is
    drawn as their mean. A curve ends where its hyperparameter was frozen.

    Args:
        history: `MetaController.history`, with at least one update.
        kind: "value", "hypergradient" or "meta_loss" (a single curve).
        names: The hyperparameters to draw; None for all.
        ax: The matplotlib axes to draw on; None for a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: If matplotlib is missing (the extra `plots` installs it).
        ValueError: If there is no update in the history, or no such kind or name.

    Example:
        >>> import torch
        >>> from dsptorch import MetaController, Multirate
        >>> layer = Multirate(4)
        >>> controller = MetaController(layer, every=1)
        >>> for _ in range(3):
        ...     record = controller.step(0.0, val_loss=lambda m: m(torch.randn(1, 9, 4)).square().mean())
        >>> [line.get_label() for line in plot_history(controller.history).lines]
        ['mix_ratio', 'detail_strength']
    """
    _check(history)
    if kind not in _KINDS:
        raise ValueError(f"kind: expected one of {', '.join(_KINDS)}, got {kind!r}")
    known = dict.fromkeys(name for record in history for name in record["value"])
    chosen = list(known if names is None else names)
    if unknown := set(chosen) - set(known):
        raise ValueError(f"names: expected some of {', '.join(known)}, got {', '.join(sorted(unknown))} too")
    ax = axes_or_new(ax, "plot_history")
    from matplotlib import colormaps  # noqa: PLC0415, an extra

    steps = [record["step"] for record in history]
    if kind == "meta_loss":
        ax.plot(steps, [record["meta_loss"] for record in history], color=INK, label="meta-loss")
        return style(ax, "step", "meta-loss")
    for i, name in enumerate(chosen):
        colour = colormaps["viridis_r"](0.25 + 0.5 * (i + 1) / len(chosen))
        curve = [_mean(record[kind].get(name)) for record in history]
        ax.plot(steps, curve, color=colour, linewidth=1.3, label=name)
    if kind == "hypergradient":
        ax.axhline(0.0, color=INK, linewidth=0.6)
        ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    return style(ax, "step", kind)


def history_figure(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot the whole history of a MetaController over steps: the meta-loss, and every value and hypergradient.

    Hyperparameters whose names differ only in numbers (the same argument in every block of a model) share a panel.

    Args:
        history: `MetaController.history`, of at least one update.

    Returns:
        A figure; `figure.savefig("hyperparams.png")` writes it.

    Raises:
        ImportError: If matplotlib is missing (the extra `plots` installs it).
        ValueError: If there is no update in the history.

    Example:
        >>> record = {"step": 1, "meta_loss": 1.0, "value": {"0.mix": 0.4}, "hypergradient": {"0.mix": 0.1}}
        >>> [ax.get_ylabel() for ax in history_figure([record]).axes]
        ['meta-loss', 'mix', 'hypergradient']
    """
    _check(history)
    panels = _panels(dict.fromkeys(name for record in history for name in record["value"]))
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure("history_figure", 4.0 * columns, 2.2 + 3.2 * rows)
    figure.set_facecolor("white")
    grid = figure.add_gridspec(1 + 2 * rows, columns, height_ratios=[1.4] + [1.4, 0.9] * rows)
    plot_history(history, "meta_loss", ax=figure.add_subplot(grid[0, :]))
    places = [(1 + 2 * (i // columns), i % columns) for i in range(len(panels))]
    for offset, kind in enumerate(("value", "hypergradient")):
        for (key, names), (row, column) in zip(panels.items(), places, strict=True):
            ax = plot_history(history, kind, names=names, ax=figure.add_subplot(grid[row + offset, column]))
            if offset == 0:
                style(ax, "", key.rpartition(".")[2], key.rpartition(".")[0])
    for ax in figure.axes:
        if legend := ax.get_legend():
            legend.remove()
    return figure


def _check(history: Sequence[Mapping[str, Any]]) -> None:
    if not history:
        raise ValueError(
            "expected a history of at least one update, got none; the controller has not moved yet"
        )


def _panels(names: Iterable[str]) -> dict[str, list[str]]:
    """Group names that differ only in numbers."""
    panels: dict[str, list[str]] = {}
    for name in names:
        panels.setdefault(re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", name), []).append(name)
    return panels


def _mean(value: float | Sequence[float] | None) -> float:
    """The mean of a value of any size; NaN for None, where the hyperparameter was frozen."""
    if value is None:
        return float("nan")
    return sum(value) / len(value) if isinstance(value, Sequence) else value
