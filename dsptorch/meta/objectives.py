"""Objectives that the hyperparameters minimise: functions of the loss and its past."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

__all__ = ["OBJECTIVES", "Losses", "Objective", "composite", "convergence_rate", "smoothed_loss"]


class Losses(NamedTuple):
    """The current loss, which carries the gradient, and its past.

    Attributes:
        loss: The loss L(t) of this update, a scalar: the validation loss if given, otherwise the training loss.
        ema: The previous exponential moving average: of the validation loss up to the last update, or of the training
            loss up to the last step; initially L(t).
        past: L(t - K), the loss at the previous update; at the first update L(t).
        window: K, the number of steps between the two.
        decay: The share of the past in the average, in [0, 1).
    """

    loss: Tensor
    ema: Tensor
    past: Tensor
    window: int
    decay: float


Objective = Callable[[Losses], Tensor]
"""A function from losses to the meta-loss, a differentiable scalar."""


def smoothed_loss(losses: Losses) -> Tensor:
    """Return the exponential moving average of the loss.

        L_meta = ema(t) = decay * ema(t - K) + (1 - decay) * L(t)

    The past has no gradient, so the gradient is that of the loss times (1 - decay), and Adam cancels the factor. Only
    the reported number is smoothed.

    Example:
        >>> import torch
        >>> smoothed_loss(Losses(torch.tensor(2.0), torch.tensor(4.0), torch.tensor(4.0), 20, 0.9))
        tensor(3.8000)

    References:
        E. Yifee, Adaptive Frequency-Domain DSP for Language Model Training, 2025, Option 1.
    """
    return losses.decay * losses.ema + (1 - losses.decay) * losses.loss


def convergence_rate(losses: Losses) -> Tensor:
    """Return the change of the loss per step, which is negative while it falls.

        L_meta = r = (L(t) - L(t - K)) / K

    The study has -r, which increases the loss; it is kept for audits as `literal_convergence_rate`.

    Example:
        >>> import torch
        >>> convergence_rate(Losses(torch.tensor(2.0), torch.tensor(4.0), torch.tensor(4.0), 20, 0.9))
        tensor(-0.1000)

    References:
        E. Yifee, Adaptive Frequency-Domain DSP for Language Model Training, 2025, Option 2.
    """
    return (losses.loss - losses.past) / losses.window


def composite(losses: Losses) -> Tensor:
    """Return a weighted sum of the average and the rate.

        L_meta = 0.7 ema(t) + 0.3 r

    The study has -0.3 r, whose gradient opposes the other part and dominates for a short window
    (K < 0.3 / (0.7 (1 - decay))); it is kept for audits as `literal_composite`.

    References:
        E. Yifee, Adaptive Frequency-Domain DSP for Language Model Training, 2025, Option 3.
    """
    return 0.7 * smoothed_loss(losses) + 0.3 * convergence_rate(losses)


def literal_convergence_rate(losses: Losses) -> Tensor:
    """Return -r, as in the study, which increases the loss."""
    return -convergence_rate(losses)


def literal_composite(losses: Losses) -> Tensor:
    """Return 0.7 ema(t) - 0.3 r, as in the study."""
    return 0.7 * smoothed_loss(losses) - 0.3 * convergence_rate(losses)


OBJECTIVES: dict[str, Objective] = {
    function.__name__: function
    for function in (smoothed_loss, convergence_rate, composite, literal_convergence_rate, literal_composite)
}
"""The objectives that have a name."""
