"""Values of hyperparameters for a logger."""

from collections.abc import Mapping

from dsptorch.hyperparams import BoundedHyperparam

__all__ = ["hyperparam_metrics"]


def hyperparam_metrics(hyperparams: Mapping[str, BoundedHyperparam]) -> dict[str, float]:
    """Return value and saturation of each hyperparameter under names for a logger.

    For a hyperparameter of several elements, return the mean of its values and the greatest saturation.

    Args:
        hyperparams: The hyperparameters, by name.

    Example:
        >>> hyperparam_metrics({"mix": BoundedHyperparam(0.5, 0.0, 1.0)})
        {'hyperparams/mix': 0.5, 'saturation/mix': 0.0}
    """
    values = {f"hyperparams/{name}": h.value.mean().item() for name, h in hyperparams.items()}
    return values | {f"saturation/{name}": h.saturation().max().item() for name, h in hyperparams.items()}
