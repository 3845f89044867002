"""Learn hyperparameters beside the weights: a controller, objectives, and estimators of the hypergradient."""

from dsptorch.meta.controller import STUDY_SETTINGS, MetaController
from dsptorch.meta.estimators.base import Estimate, Estimator, MetaStep
from dsptorch.meta.estimators.direct import Direct
from dsptorch.meta.estimators.evolution import EvolutionStrategy
from dsptorch.meta.estimators.implicit import Implicit
from dsptorch.meta.estimators.replay import Replay
from dsptorch.meta.estimators.rules import AdamRule, Rule, SGDRule
from dsptorch.meta.estimators.unroll import Unroll
from dsptorch.meta.objectives import OBJECTIVES, Losses

__all__ = [
    "OBJECTIVES",
    "STUDY_SETTINGS",
    "AdamRule",
    "Direct",
    "Estimate",
    "Estimator",
    "EvolutionStrategy",
    "Implicit",
    "Losses",
    "MetaController",
    "MetaStep",
    "Replay",
    "Rule",
    "SGDRule",
    "Unroll",
]
