"""The pictures of a history show every hyperparameter that ever learned."""

import math

import pytest

from dsptorch.analysis import history_figure, plot_history


def record(step, **values):
    return {"step": step, "meta_loss": 1.0, "value": values, "hypergradient": values}


FROZEN = [record(10, a=1.0, b=[2.0, 4.0]), record(20, a=2.0)]


def test_one_that_was_frozen_on_the_way_is_drawn_as_far_as_it_learned():
    figure = history_figure(FROZEN)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["meta-loss", "a", "b", "hypergradient", "hypergradient"]
    for axes in (figure.axes[2], plot_history(FROZEN, names=["b"])):
        first, second = axes.lines[0].get_ydata()
        assert first == 3.0
        assert math.isnan(second)


def test_names_that_differ_in_numbers_alone_share_a_panel():
    figure = history_figure([record(1, **{"blocks.0.mix": 1.0, "blocks.1.mix": 2.0, "mix2": 3.0})])
    assert [axes.get_ylabel() for axes in figure.axes[1:3]] == ["mix", "mix2"]
    assert len(figure.axes[1].lines) == 2


@pytest.mark.parametrize("kind", ["value", "hypergradient", "meta_loss"])
def test_one_axes_shows_one_kind(kind):
    axes = plot_history(FROZEN, kind)
    assert plot_history(FROZEN, kind, ax=axes) is axes
    assert axes.get_xlabel() == "step"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"history": []}, "at least one update, got none"),
        (
            {"history": FROZEN, "kind": "loss"},
            "kind: expected one of meta_loss, value, hypergradient, got 'loss'",
        ),
        ({"history": FROZEN, "names": ["c"]}, "names: expected some of a, b, got c too"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_history(**arguments)


def test_an_empty_history_has_no_figure():
    with pytest.raises(ValueError, match="at least one update, got none"):
        history_figure([])
