"""The hyperparameters of the study's blocks: held fixed, or moved by the weights' optimizer or a MetaController."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

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

from .errors import UsageError, blame
from .ranges import BelowOne, Count, NotNegative, check

BLOCKS = {"multirate": Multirate, "lfo_routing": LFORouting, "bottleneck_channel": ChannelBottleneck}


def _hyperparams_of_the_study() -> dict[str, list[str]]:
    return {
        "multirate": ["mix_ratio", "detail_strength"],
        "lfo_routing": ["residual_mix", "gate_temperature"],
        "bottleneck_channel": ["bottleneck_ratio", "residual_mix"],
    }


@dataclass
class AdaptiveDSP:
    """The section `adaptive_dsp` of a configuration, under the study's names.

    Args:
        enabled: whether a MetaController moves the hyperparameters.
        meta_lr: its learning rate, on the unbounded scale of the hyperparameters.
        meta_update_every: steps between two of its updates.
        meta_objective: "smoothed_loss", "convergence_rate" or "composite", corrected;
            "literal_convergence_rate" and "literal_composite" as the study has them.
        ema_decay: decay of the moving averages, of losses and hypergradients.
        estimator: "direct", or "random_sign": the control, whose hypergradients have random signs.
        learnable_params: which arguments of which blocks are hyperparameters.
    """

    enabled: bool = False
    meta_lr: NotNegative = 0.1
    meta_update_every: Count = 20
    meta_objective: str = "smoothed_loss"
    ema_decay: BelowOne = 0.9
    estimator: Literal["direct", "random_sign"] = "direct"
    learnable_params: dict[str, list[str]] = field(default_factory=_hyperparams_of_the_study)

    def __post_init__(self) -> None:
        """Refuse what no controller takes."""
        check(AdaptiveDSP, vars(self), "adaptive_dsp.")


class RandomSign(Direct):
    """A control: the estimates of `Direct`, each with a random sign."""

    def estimate(self, meta_step: MetaStep) -> Estimate:
        """Estimate, and draw the signs from the meta_step's seed."""
        loss, found = super().estimate(meta_step)
        generator = torch.Generator().manual_seed(meta_step.seed)
        signs = {name: 1 - 2 * torch.randint(2, (), generator=generator).item() for name in found}
        return Estimate(loss, {name: None if g is None else signs[name] * g for name, g in found.items()})


ESTIMATORS = {"direct": Direct(), "random_sign": RandomSign()}


def find_hyperparams(
    model: nn.Module, learnable_params: dict[str, list[str]]
) -> dict[str, BoundedHyperparam]:
    """Return the hyperparameters that are in a model, by name; blocks that are not in it have none.

    Raises:
        UsageError: A block or an argument is unknown, or fixed.
    """
    hyperparams = {}
    for block, arguments in learnable_params.items():
        if block not in BLOCKS:
            raise UsageError(
                f"adaptive_dsp.learnable_params: expected {', '.join(BLOCKS)}, got {block!r}; take it out"
            )
        if not any(isinstance(module, BLOCKS[block]) for module in model.modules()):
            continue
        for name, layer in find(model, BLOCKS[block]).items():
            for argument in arguments:
                hyperparam = getattr(layer, argument, None)
                if not isinstance(hyperparam, BoundedHyperparam):
                    raise UsageError(
                        f"adaptive_dsp.learnable_params.{block}: expected learned arguments of it, got {argument!r}, "
                        f"which is {'a fixed number' if isinstance(hyperparam, float) else 'none'}; "
                        "take it out, or leave the number out of the arm"
                    )
                hyperparams[f"{name}.{argument}"] = hyperparam
    return hyperparams


def optimizer_groups(
    model: nn.Module,
    hyperparams: dict[str, BoundedHyperparam],
    *,
    lr: float,
    hyperparam_lr: float | None,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Return the parameter groups of the weights' optimizer; `lr_scale` is the rate over that of the weights.

    Args:
        model: the model.
        hyperparams: of `find_hyperparams`.
        lr: the peak rate of the weights.
        hyperparam_lr: that of the hyperparameters; None treats them as weights, 0 leaves them out.
        weight_decay: of the weights that decay.
    """
    groups = param_groups(model, weight_decay=weight_decay)
    if hyperparam_lr is None or not hyperparams:
        return groups
    raws = [hyperparam.raw for hyperparam in hyperparams.values()]
    apart = {id(raw) for raw in raws}
    for group in groups:
        group["params"] = [p for p in group["params"] if id(p) not in apart]
    if hyperparam_lr:
        groups.append({"params": raws, "weight_decay": 0.0, "lr_scale": hyperparam_lr / lr})
    return groups


def make_controller(
    model: nn.Module,
    hyperparams: dict[str, BoundedHyperparam],
    section: AdaptiveDSP,
    *,
    steps: int,
    seed: int,
) -> MetaController:
    """Return the controller that a section asks for.

    Args:
        model: the model, not wrapped.
        hyperparams: of `find_hyperparams`; there must be one.
        section: the section.
        steps: how many steps the run has.
        seed: of the run.
    """
    if not hyperparams:
        raise UsageError(
            "adaptive_dsp.enabled: expected an arm with blocks of learnable_params, got none; give it blocks, or "
            "disable it"
        )
    parallel = torch.distributed.is_available() and torch.distributed.is_initialized()
    with blame("adaptive_dsp"):
        return MetaController(
            model,
            lr=section.meta_lr,
            every=section.meta_update_every,
            objective=section.meta_objective,
            estimator=ESTIMATORS[section.estimator],
            ema_decay=section.ema_decay,
            hyperparams=hyperparams,
            total_steps=steps,
            process_group=torch.distributed.group.WORLD if parallel else None,
            seed=seed,
        )
