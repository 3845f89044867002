"""The figure of a history shows every hyperparameter that ever learned."""

import math

import pytest

from dsptorch.analysis import plot_history


def record(step, **values):
    return {"step": step, "meta_loss": 1.0, "value": values, "hypergradient": values}


def test_one_that_was_frozen_on_the_way_is_drawn_as_far_as_it_learned():
    figure = plot_history([record(10, a=1.0, b=[2.0, 4.0]), record(20, a=2.0)])
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["meta-loss", "a", "b", "hypergradient", "hypergradient"]
    first, second = figure.axes[2].lines[0].get_ydata()
    assert first == 3.0
    assert math.isnan(second)


def test_names_that_differ_in_numbers_alone_share_a_panel():
    figure = plot_history([record(1, **{"blocks.0.mix": 1.0, "blocks.1.mix": 2.0, "mix2": 3.0})])
    assert [axes.get_ylabel() for axes in figure.axes[1:3]] == ["mix", "mix2"]
    assert len(figure.axes[1].lines) == 2


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="at least one update, got none"):
        plot_history([])
