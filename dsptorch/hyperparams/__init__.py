"""Hyperparameters that learn inside their bounds, and the parameter groups that an optimizer needs."""

from dsptorch.hyperparams.arguments import (
    Hyperparam,
    check_factor,
    check_hyperparam,
    current,
    fixed_repr,
    made_of,
    named_hyperparams,
)
from dsptorch.hyperparams.bounded import BoundedHyperparam, at_least_float32
from dsptorch.hyperparams.groups import param_groups
from dsptorch.hyperparams.spread import Spread, check_spread

__all__ = [
    "BoundedHyperparam",
    "Hyperparam",
    "Spread",
    "at_least_float32",
    "check_factor",
    "check_hyperparam",
    "check_spread",
    "current",
    "fixed_repr",
    "made_of",
    "named_hyperparams",
    "param_groups",
]
