"""Hyperparameters that are learned within bounds, and parameter groups for optimizers."""

from dsptorch.hyperparams.arguments import (
    Hyperparam,
    check_factor,
    check_hyperparam,
    current,
    fixed_repr,
    made_of,
    named_hyperparams,
)
from dsptorch.hyperparams.bounded import BoundedHyperparam
from dsptorch.hyperparams.first_values import FirstValues, real_tensors
from dsptorch.hyperparams.groups import param_groups
from dsptorch.hyperparams.guard import guard_gradients
from dsptorch.hyperparams.precision import at_least_float32
from dsptorch.hyperparams.spread import Spread, check_spread

__all__ = [
    "BoundedHyperparam",
    "FirstValues",
    "Hyperparam",
    "Spread",
    "at_least_float32",
    "check_factor",
    "check_hyperparam",
    "check_spread",
    "current",
    "fixed_repr",
    "guard_gradients",
    "made_of",
    "named_hyperparams",
    "param_groups",
    "real_tensors",
]
