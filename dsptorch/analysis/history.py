"""The history of a MetaController, as a figure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_history"]

_COLUMNS = 3


def plot_history(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw what a MetaController did: the meta-loss, and every value and hypergradient, over steps.

    Hyperparameters whose names differ in numbers alone (the same argument in every block of a model) share a panel,
    from light (the first) to dark. One of several elements is drawn as the mean of them.

    Args:
        history: `MetaController.history`, of at least one update.

    Returns:
        A figure; `figure.savefig("hyperparams.png")` writes it.

    Raises:
        ImportError: If matplotlib is not there.
        ValueError: If there is no update in the history.

    Example:
        >>> import torch
        >>> from dsptorch import MetaController, Multirate
        >>> layer = Multirate(4)
        >>> controller = MetaController(layer, every=1)
        >>> for _ in range(3):
        ...     record = controller.step(0.0, val_loss=lambda m: m(torch.randn(1, 9, 4)).square().mean())
        >>> figure = plot_history(controller.history)
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['meta-loss', 'mix_ratio', 'detail_strength', 'hypergradient', 'hypergradient']
    """
    if not history:
        raise ValueError(
            "expected a history of at least one update, got none; the controller has not moved yet"
        )
    try:
        from matplotlib import colormaps  # noqa: PLC0415  (optional)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("plot_history needs matplotlib; pip install matplotlib") from error
    panels = _panels(dict.fromkeys(name for record in history for name in record["value"]))
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4 * columns, 2.2 + 3.2 * rows), layout="constrained", dpi=120)
    grid = figure.add_gridspec(1 + 2 * rows, columns, height_ratios=[1.4] + [1.4, 0.9] * rows)
    steps = [record["step"] for record in history]

    loss = figure.add_subplot(grid[0, :])
    loss.plot(steps, [record["meta_loss"] for record in history], color="#4c566a")
    _finish(loss, "meta-loss", "")
    places = [(1 + 2 * (i // columns), i % columns) for i in range(len(panels))]
    for offset, kind in enumerate(("value", "hypergradient")):
        for (key, names), (row, column) in zip(panels.items(), places, strict=True):
            axes = figure.add_subplot(grid[row + offset, column])
            for i, name in enumerate(names):
                colour = colormaps["viridis_r"](0.15 + 0.85 * (i + 1) / len(names))
                curve = [_mean(record[kind].get(name)) for record in history]
                axes.plot(steps, curve, color=colour, linewidth=1.3, label=name)
            title = key.rpartition(".")[0] if offset == 0 else ""
            _finish(axes, key.rpartition(".")[2] if offset == 0 else kind, title)
            if offset:
                axes.axhline(0.0, color="#bbbbbb", linewidth=0.6)
                axes.set_xlabel("step")
                axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    return figure


def _panels(names: Iterable[str]) -> dict[str, list[str]]:
    """Names that differ in numbers alone, together."""
    panels: dict[str, list[str]] = {}
    for name in names:
        panels.setdefault(re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", name), []).append(name)
    return panels


def _mean(value: float | Sequence[float] | None) -> float:
    """One number for a value of any size; not a number where there is none, since it was frozen then."""
    if value is None:
        return float("nan")
    return sum(value) / len(value) if isinstance(value, Sequence) else value


def _finish(axes: Axes, label: str, title: str) -> None:
    axes.set_ylabel(label)
    axes.set_title(title, loc="left", fontsize="small", color="#666666")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
