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

__all__ = [
    "BoundedHyperparam",
    "Hyperparam",
    "at_least_float32",
    "check_factor",
    "check_hyperparam",
    "current",
    "fixed_repr",
    "made_of",
    "named_hyperparams",
    "param_groups",
]
