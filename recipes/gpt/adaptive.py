"""The knobs of the seed's blocks, and who moves them: nobody, the weights' own optimizer, or a MetaController."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from dsptorch import BoundedHyperparam, ChannelBottleneck, LFORouting, Multirate, find, param_groups

BLOCKS = {"multirate": Multirate, "lfo_routing": LFORouting, "bottleneck_channel": ChannelBottleneck}


def _seeds_knobs() -> dict[str, list[str]]:
    return {
        "multirate": ["mix_ratio", "detail_strength"],
        "lfo_routing": ["residual_mix", "gate_temperature"],
        "bottleneck_channel": ["bottleneck_ratio", "residual_mix"],
    }


@dataclass
class AdaptiveDSP:
    """The section `adaptive_dsp` of a configuration, under the seed's names.

    Args:
        enabled: whether a MetaController moves the knobs.
        meta_lr: its learning rate, on the unbounded scale of the knobs.
        meta_update_every: steps between two of its updates.
        meta_objective: "smoothed_loss", "convergence_rate" or "composite", corrected;
            "literal_convergence_rate" and "literal_composite" as the seed has them.
        ema_decay: decay of the moving averages, of losses and hypergradients.
        estimator: "direct", or "random_sign": the control, whose hypergradients have random signs.
        learnable_params: which arguments of which blocks are knobs.
    """

    enabled: bool = False
    meta_lr: float = 0.05
    meta_update_every: int = 20
    meta_objective: str = "smoothed_loss"
    ema_decay: float = 0.9
    estimator: str = "direct"
    learnable_params: dict[str, list[str]] = field(default_factory=_seeds_knobs)


def find_knobs(model: nn.Module, learnable_params: dict[str, list[str]]) -> dict[str, BoundedHyperparam]:
    """Return the knobs that are in a model, by name; blocks that are not in it have none.

    Raises:
        ValueError: A block or an argument is unknown, or fixed.
    """
    knobs = {}
    for block, arguments in learnable_params.items():
        if block not in BLOCKS:
            raise ValueError(
                f"adaptive_dsp.learnable_params: expected {', '.join(BLOCKS)}, got {block!r}; take it out"
            )
        if not any(isinstance(module, BLOCKS[block]) for module in model.modules()):
            continue
        for name, layer in find(model, BLOCKS[block]).items():
            for argument in arguments:
                knob = getattr(layer, argument, None)
                if not isinstance(knob, BoundedHyperparam):
                    raise ValueError(
                        f"adaptive_dsp.learnable_params.{block}: expected learned arguments of it, got {argument!r}, "
                        f"which is {'a fixed number' if isinstance(knob, float) else 'none'}; "
                        "take it out, or leave the number out of the arm"
                    )
                knobs[f"{name}.{argument}"] = knob
    return knobs


def optimizer_groups(
    model: nn.Module,
    knobs: dict[str, BoundedHyperparam],
    *,
    lr: float,
    knob_lr: float | None,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Return the parameter groups of the weights' optimizer; `lr_scale` is the rate over that of the weights.

    Args:
        model: the model.
        knobs: of `find_knobs`.
        lr: the peak rate of the weights.
        knob_lr: that of the knobs; None treats them as weights, 0 leaves them out.
        weight_decay: of the weights that decay.
    """
    groups = param_groups(model, weight_decay=weight_decay)
    if knob_lr is None or not knobs:
        return groups
    raws = [knob.raw for knob in knobs.values()]
    apart = {id(raw) for raw in raws}
    for group in groups:
        group["params"] = [p for p in group["params"] if id(p) not in apart]
    if knob_lr:
        groups.append({"params": raws, "weight_decay": 0.0, "lr_scale": knob_lr / lr})
    return groups
