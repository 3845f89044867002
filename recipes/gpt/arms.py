"""Arms: what a treatment does to a plain GPT, by `dsptorch.insert` and `dsptorch.AtRate` alone.

================  ==========================================================================
multirate         before every transformer block, on the residual stream
lfo_routing       on the residual stream after attention's addition
bottleneck        on the residual stream after the MLP's addition
fir               on what attention and the MLP read: after their norms
token_shift       there too: half of the channels come from the step before; nothing is learned
undecimated       there too: a filterbank without delay, and a gain for each band
ema, ema_bank     there too: moving averages of half of the channels; or of all, added to them
at_rate           consecutive blocks run at a lower rate, beside the residual stream
canon             the rivals of gpt/rivals.py
haar              there, after every block, on the residual stream
dilated           there, on what attention and the MLP read
ngrams            beside the embedding: tables for the last bytes together (gpt/ngrams.py)
smear, dynamic    on what attention and the MLP read: shift and taps that depend on the sample (gpt/gates.py)
kv_fir            on keys and values (gpt/gates.py)
================  ==========================================================================

The first three together are the study's blocks (https://github.com/eladwf/adaptive-multirate-transformers).

Arms combine. Blocks at a lower rate count as one block of the stream: `multirate` acts once, before all of them.
Nothing is inserted inside them; `lfo_routing`, `bottleneck` and what stands on the branches go into the blocks at the
full rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from dsptorch import (
    EMA,
    FIR,
    BoundedHyperparam,
    ChannelBottleneck,
    LFORouting,
    Multirate,
    UndecimatedBank,
    insert,
)

from .at_rate import slow_down
from .banks import ema_bank
from .errors import UsageError, blame
from .gates import Dynamic, Smear, add_kv_fir, grouped, token_shift
from .model import GPT, GPTConfig
from .ngrams import add_ngrams
from .rivals import BRANCHES, add_canon, add_dilated, haar

ONE_PLACE = (
    "fir",
    "token_shift",
    "undecimated",
    "ema",
    "ema_bank",
    "canon",
    "dilated",
    "smear",
    "dynamic",
)  # on branches


ADDED: dict[str, Callable[..., None]] = {
    "canon": add_canon,
    "dilated": add_dilated,
    "ngrams": add_ngrams,
    "kv_fir": add_kv_fir,
}


@dataclass
class Arm:
    """Which layers go into the plain model; null leaves one out, {} takes its defaults.

    A hyperparameter may be a number (fixed) or a mapping (learned), as in mix_ratio: {init: 0.9, low: 0, high: 1}.

    Args:
        multirate: keyword arguments of dsptorch.Multirate, before every block.
        lfo_routing: keyword arguments of dsptorch.LFORouting, after attention's addition.
        bottleneck: keyword arguments of dsptorch.ChannelBottleneck, after the MLP's addition.
        fir: keyword arguments of dsptorch.FIR, after the norms of attention and MLP.
        token_shift: whether half of the channels of attention's and the MLP's input come from t - 1.
        undecimated: keyword arguments of dsptorch.UndecimatedBank, after those norms.
        ema: keyword arguments of dsptorch.EMA, after those norms.
        ema_bank: keyword arguments of gpt.banks.ema_bank, after those norms.
        at_rate: which blocks run at which rate: keyword arguments of gpt.at_rate.slow_down.
        canon: keyword arguments of gpt.rivals.add_canon.
        haar: keyword arguments of gpt.rivals.haar, after every block.
        dilated: keyword arguments of gpt.rivals.add_dilated.
        ngrams: keyword arguments of gpt.ngrams.add_ngrams.
        smear: keyword arguments of gpt.gates.Smear, after the norms of attention and MLP.
        dynamic: keyword arguments of gpt.gates.Dynamic, after those norms.
        kv_fir: keyword arguments of gpt.gates.add_kv_fir.
    """

    multirate: dict[str, Any] | None = None
    lfo_routing: dict[str, Any] | None = None
    bottleneck: dict[str, Any] | None = None
    fir: dict[str, Any] | None = None
    token_shift: bool = False
    undecimated: dict[str, Any] | None = None
    ema: dict[str, Any] | None = None
    ema_bank: dict[str, Any] | None = None
    at_rate: dict[str, Any] | None = None
    canon: dict[str, Any] | None = None
    haar: dict[str, Any] | None = None
    dilated: dict[str, Any] | None = None
    ngrams: dict[str, Any] | None = None
    smear: dict[str, Any] | None = None
    dynamic: dict[str, Any] | None = None
    kv_fir: dict[str, Any] | None = None


def build(config: GPTConfig, arm: Arm) -> GPT:
    """Return the plain model of `config` with the layers of `arm` in it."""
    of_one_place = [name for name in ONE_PLACE if getattr(arm, name) not in (None, False)]
    if len(of_one_place) > 1:
        raise UsageError(
            f"arm: expected one of what has one place, got {' and '.join(of_one_place)}; leave one out"
        )
    model = GPT(config)
    if arm.at_rate is not None:
        with blame(f"arm.at_rate: got {arm.at_rate}, which gpt/at_rate.py does not take"):
            slow_down(model, **arm.at_rate)
    _insert(model, "multirate", arm.multirate, Multirate, "before", "blocks.*")
    _insert(model, "lfo_routing", arm.lfo_routing, LFORouting, "after", "blocks.*.attn")
    _insert(model, "bottleneck", arm.bottleneck, ChannelBottleneck, "after", "blocks.*.mlp")
    _insert(model, "fir", arm.fir, FIR, "after", *BRANCHES)
    _insert(model, "undecimated", arm.undecimated, UndecimatedBank, "after", *BRANCHES)
    _insert(model, "ema", arm.ema, EMA, "after", *BRANCHES)
    _insert(model, "ema_bank", arm.ema_bank, ema_bank, "after", *BRANCHES)
    if arm.token_shift:
        _insert(model, "token_shift", {}, token_shift, "after", *BRANCHES)
    _insert(model, "haar", arm.haar, haar, "after", "blocks.*")
    _insert(model, "smear", arm.smear, grouped(Smear, "smear"), "after", *BRANCHES)
    _insert(model, "dynamic", arm.dynamic, grouped(Dynamic, "dynamic"), "after", *BRANCHES)
    for name, add in ADDED.items():
        options = getattr(arm, name)
        if options is not None:
            with blame(f"arm.{name}: got {options}, which this arm does not take"):
                add(model, **options)
    return model


def _insert(
    model: GPT,
    name: str,
    options: dict[str, Any] | None,
    layer: Callable[..., nn.Module],
    position: str,
    *places: str,
) -> None:
    """Insert layer(d_model, **options) at every place; None inserts nothing."""
    if options is None:
        return
    for where in places:
        with blame(f"arm.{name}: got {options}, which dsptorch does not take"):
            insert(
                model, where, lambda _: layer(model.config.d_model, **_learned(options)), position=position
            )


def _learned(options: dict[str, Any]) -> dict[str, Any]:
    """Make a BoundedHyperparam of every mapping, a new one at each call."""
    return {
        name: BoundedHyperparam(**value) if isinstance(value, Mapping) else value
        for name, value in options.items()
    }
