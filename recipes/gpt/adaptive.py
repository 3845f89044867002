"""The knobs of the study's blocks, and who moves them: nobody, the weights' own optimizer, or a MetaController."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from dsptorch import (
    BoundedHyperparam,
    ChannelBottleneck,
    LFORouting,
    MetaController,
    Multirate,
    find,
    param_groups,
)
from dsptorch.meta import Direct, Estimate, MetaStep

BLOCKS = {"multirate": Multirate, "lfo_routing": LFORouting, "bottleneck_channel": ChannelBottleneck}


def _seeds_knobs() -> dict[str, list[str]]:
    return {
        "multirate": ["mix_ratio", "detail_strength"],
        "lfo_routing": ["residual_mix", "gate_temperature"],
        "bottleneck_channel": ["bottleneck_ratio", "residual_mix"],
    }


@dataclass
class AdaptiveDSP:
    """The section `adaptive_dsp` of a configuration, under the study's names.

    Args:
        enabled: whether a MetaController moves the knobs.
        meta_lr: its learning rate, on the unbounded scale of the knobs.
        meta_update_every: steps between two of its updates.
        meta_objective: "smoothed_loss", "convergence_rate" or "composite", corrected;
            "literal_convergence_rate" and "literal_composite" as the study has them.
        ema_decay: decay of the moving averages, of losses and hypergradients.
        estimator: "direct", or "random_sign": the control, whose hypergradients have random signs.
        learnable_params: which arguments of which blocks are knobs.
    """

    enabled: bool = False
    meta_lr: float = 0.1
    meta_update_every: int = 20
    meta_objective: str = "smoothed_loss"
    ema_decay: float = 0.9
    estimator: str = "direct"
    learnable_params: dict[str, list[str]] = field(default_factory=_seeds_knobs)

    def __post_init__(self) -> None:
        """Refuse an estimator that is none; the controller checks the rest."""
        if self.estimator not in ESTIMATORS:
            raise ValueError(
                f"adaptive_dsp.estimator: expected {' or '.join(ESTIMATORS)}, got {self.estimator!r}; change it"
            )


class RandomSign(Direct):
    """A control: the estimates of `Direct`, each with a random sign."""

    def estimate(self, meta_step: MetaStep) -> Estimate:
        """Estimate, and draw the signs from the meta_step's seed."""
        loss, found = super().estimate(meta_step)
        generator = torch.Generator().manual_seed(meta_step.seed)
        signs = {name: 1 - 2 * torch.randint(2, (), generator=generator).item() for name in found}
        return Estimate(loss, {name: None if g is None else signs[name] * g for name, g in found.items()})


ESTIMATORS = {"direct": Direct(), "random_sign": RandomSign()}


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


def make_controller(
    model: nn.Module, knobs: dict[str, BoundedHyperparam], section: AdaptiveDSP, *, steps: int, seed: int
) -> MetaController:
    """Return the controller that a section asks for.

    Args:
        model: the model, not wrapped.
        knobs: of `find_knobs`; there must be one.
        section: the section.
        steps: how many steps the run has.
        seed: of the run.
    """
    if not knobs:
        raise ValueError(
            "adaptive_dsp.enabled: expected an arm with blocks of learnable_params, got none; give it blocks, or "
            "disable it"
        )
    parallel = torch.distributed.is_available() and torch.distributed.is_initialized()
    return MetaController(
        model,
        lr=section.meta_lr,
        every=section.meta_update_every,
        objective=section.meta_objective,
        estimator=ESTIMATORS[section.estimator],
        ema_decay=section.ema_decay,
        hyperparams=knobs,
        total_steps=steps,
        process_group=torch.distributed.group.WORLD if parallel else None,
        seed=seed,
    )
