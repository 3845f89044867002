"""Plots and tables of layers and of learned hyperparameters. The plots need matplotlib."""

from dsptorch.analysis.bands import band_centres, plot_bands, plot_filters
from dsptorch.analysis.history import history_figure, plot_history
from dsptorch.analysis.influence import plot_influence
from dsptorch.analysis.response import plot_impulse, plot_response
from dsptorch.analysis.summary import LayerSummary, Summary, summary

__all__ = [
    "LayerSummary",
    "Summary",
    "band_centres",
    "history_figure",
    "plot_bands",
    "plot_filters",
    "plot_history",
    "plot_impulse",
    "plot_influence",
    "plot_response",
    "summary",
]
