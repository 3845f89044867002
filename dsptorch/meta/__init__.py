"""Hyperparameters that learn beside the weights: a controller, objectives, and estimators of the hypergradient."""

from dsptorch.meta.controller import YIFEE_2025, MetaController
from dsptorch.meta.estimators.base import Estimate, Estimator, Problem
from dsptorch.meta.estimators.direct import Direct
from dsptorch.meta.estimators.evolution import EvolutionStrategy
from dsptorch.meta.estimators.implicit import Implicit
from dsptorch.meta.estimators.replay import Replay
from dsptorch.meta.estimators.rules import AdamRule, Rule, SGDRule
from dsptorch.meta.estimators.unroll import Unroll
from dsptorch.meta.objectives import OBJECTIVES, Losses

__all__ = [
    "OBJECTIVES",
    "YIFEE_2025",
    "AdamRule",
    "Direct",
    "Estimate",
    "Estimator",
    "EvolutionStrategy",
    "Implicit",
    "Losses",
    "MetaController",
    "Problem",
    "Replay",
    "Rule",
    "SGDRule",
    "Unroll",
]
