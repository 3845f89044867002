"""Every picture takes axes and returns them, shows the numbers that there are, and can be read in grey and at night."""

import sys
from copy import deepcopy

import pytest
import torch
from torch import nn

from dsptorch import EMA, FIR, Chain, FilterBank, Multirate, PeriodicFIR, Subbands, Tremolo, UndecimatedBands
from dsptorch.analysis import (
    band_centres,
    plot_bands,
    plot_filters,
    plot_history,
    plot_impulse,
    plot_influence,
    plot_response,
)
from dsptorch.analysis.axes import COLOURS, DASHES, INK, new_figure
from dsptorch.audio import GaborFilters
from dsptorch.testing import assert_close, influence_matrix
from tests.testing.gallery import one_phase_of_sixteen

HISTORY = [{"step": 1, "meta_loss": 1.0, "value": {"a": 1.0}, "hypergradient": {"a": 1.0}}]
PICTURES = {
    "response": lambda ax: plot_response(Multirate(2), ax=ax),
    "impulse": lambda ax: plot_impulse(Multirate(2), ax=ax),
    "bands": lambda ax: plot_bands(FilterBank(1, num_bands=4), ax=ax),
    "filters": lambda ax: plot_filters(torch.eye(2, 4), torch.ones(2, 4), ax=ax),
    "influence": lambda ax: plot_influence(torch.ones(3, 3).tril(), ax=ax),
    "history": lambda ax: plot_history(HISTORY, ax=ax),
}


@pytest.mark.parametrize("name", PICTURES)
def test_takes_axes_and_returns_them(name):
    ax = new_figure("test", 4, 3).add_subplot()
    assert PICTURES[name](ax) is ax
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert PICTURES[name](None) is not ax
    ax.figure.canvas.draw()


@pytest.mark.parametrize("name", PICTURES)
def test_without_matplotlib_the_error_names_the_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=rf"plot_{name} needs matplotlib.*pip install 'dsptorch\[plots\]'"):
        PICTURES[name](None)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def check_readable(colours):
    for colour in colours:
        for ground in ("#ffffff", "#131416"):
            assert contrast(colour, ground) >= 3, f"{colour} on {ground}"


def test_colours_can_be_read_by_day_and_by_night():
    check_readable([*COLOURS, INK])
    assert len(set(DASHES)) == len(COLOURS)  # in grey, curves differ in their dashes
    assert plot_response(Multirate(2)).figure.get_facecolor()[3] == 0


@pytest.mark.parametrize("colour", ["#ffee55", "#222266"])
def test_a_colour_that_cannot_be_read_is_caught(colour):
    with pytest.raises(AssertionError, match=colour):
        check_readable([colour])


def test_a_response_has_the_filter_s_numbers_and_aliases():
    filter_ = PeriodicFIR.hold(3)
    ax = plot_response(filter_, num=16, decibels=False)
    expected = filter_.frequency_response(16).response[..., 0].abs()
    assert_close(torch.stack([torch.as_tensor(line.get_ydata()) for line in ax.lines]), expected)
    assert [line.get_label() for line in ax.lines] == ["response", "alias 1 of 2", "alias 2 of 2"]


@pytest.mark.parametrize("layer", [Chain(FIR(2, 3), Multirate(2)), FIR(2, 5, causal=False)])
def test_a_layer_is_measured_as_the_filter_that_it_is(layer):
    """A chain is not a filter to look at, but answers impulses as one."""
    nn.init.normal_(next(layer.parameters()))
    x = torch.randn(2, 40, 2)
    measured = _measured(layer)
    assert_close(measured(x), layer(x))


def _measured(layer):
    from dsptorch.analysis.filters import _by_impulses

    return _by_impulses(layer, layer.period)


def test_a_filter_measured_at_one_phase_only_is_caught():
    layer = Multirate(2)
    x = torch.randn(1, 20, 2)
    one_phase = PeriodicFIR.fir(_measured(layer).folded().weights[0][0])
    with pytest.raises(AssertionError):
        assert_close(one_phase(x), layer(x))


def test_an_average_answers_an_impulse_by_halving():
    answer = plot_impulse(EMA(1, half_life=1.0)).lines[0].get_ydata()
    assert_close(torch.as_tensor(answer[:4]), torch.tensor([0.5, 0.25, 0.125, 0.0625]))


def test_bands_come_from_banks_layers_and_matrices():
    bank = FilterBank(2, num_bands=3)
    for what in (bank, bank.matrix(), Subbands(bank)):
        assert len(plot_bands(what).lines) == 3
    assert len(plot_bands(GaborFilters(5, 16000), sample_rate=16000).lines) == 5
    centres, widths = band_centres(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), sample_rate=2.0)
    assert centres[0] < 0.5 < centres[1] <= 1.0
    assert (widths > 0).all()


def test_filters_show_a_bank_that_moved():
    bank = FilterBank(1, num_bands=4)
    old = deepcopy(bank)
    nn.init.normal_(bank.filters.angles)
    lines = plot_filters(old, bank).lines
    assert not torch.equal(torch.as_tensor(lines[-2].get_xdata()), torch.as_tensor(lines[-1].get_xdata()))
    with pytest.raises(ValueError, match="got 4 and 8"):
        plot_filters(old, FilterBank(1, num_bands=8))


def test_influence_says_how_many_outputs_see_the_future():
    x = torch.randn(1, 40, 4, generator=torch.Generator().manual_seed(0))
    title = plot_influence(influence_matrix(one_phase_of_sixteen, x)).get_title(loc="left")
    assert title == "2 of 40 outputs see the future"
    for matrix in (torch.ones(3, 3).tril(), torch.zeros(3, 3)):
        assert plot_influence(matrix).get_title(loc="left") == "causal"
    assert (
        plot_influence(torch.ones(4, 2).tril(), rate=2).get_title(loc="left")
        == "1 of 4 outputs see the future"
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot_influence(torch.ones(3)), ValueError, r"matrix, got shape \(3,\)"),
        (lambda: plot_influence(torch.ones(3, 3), rate=0), ValueError, "rate must be positive"),
        (lambda: plot_response(Tremolo(2)), ValueError, "period None"),
        (lambda: plot_response(UndecimatedBands(2)), ValueError, "2 channels in"),
        (lambda: plot_response(nn.Linear(2, 2)), TypeError, "got Linear"),
        (lambda: plot_response(FIR(2), channel=2), ValueError, "expected one of 2, got 2"),
        (lambda: plot_bands(nn.Linear(2, 2)), TypeError, "bank with filters, got Linear"),
        (lambda: plot_bands(torch.ones(3)), ValueError, r"\(bands, taps\), got \(3,\)"),
    ],
)
def test_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()
