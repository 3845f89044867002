"""Hyperparameters that learn beside the weights: a controller, objectives, and estimators of the hypergradient."""

from dsptorch.meta.controller import YIFEE_2025, MetaController
from dsptorch.meta.direct import Direct
from dsptorch.meta.evolution import EvolutionStrategy
from dsptorch.meta.implicit import Implicit
from dsptorch.meta.objectives import OBJECTIVES, Losses
from dsptorch.meta.problem import Estimate, Estimator, Problem
from dsptorch.meta.replay import Replay
from dsptorch.meta.rules import AdamRule, Rule, SGDRule
from dsptorch.meta.unroll import Unroll

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
