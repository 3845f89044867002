"""A mixture of logistic distributions as probabilities of codes.

    P(code) = sum_k w_k (S((high - m_k) / s_k) - S((low - m_k) / s_k)),    S the logistic function

where low and high are the values at which the code ends. The sum over all codes is 1, so the mean of -log2 P is the
length of a message from which a decoder with the same model gets every code back.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .codes import edges

FAR = 1e4  # in place of infinity, which has no gradient
LEAST = -12.0  # of the logarithm of a width: a twentieth of the finest code


def bits(mixture: Tensor, codes: Tensor) -> Tensor:
    """Return -log2 P of codes.

    Args:
        mixture: Of each code the logits of the weights, the means, and the logarithms of the widths, side by side.
        codes: Integers in [0, 256).

    Shape:
        (..., 3 * components) and (...) -> (...).
    """
    weights, means, widths = mixture.chunk(3, -1)
    ends = edges().clamp(-FAR, FAR).to(mixture)
    low, high = ends[codes].unsqueeze(-1), ends[codes + 1].unsqueeze(-1)
    narrow = torch.exp(-widths.clamp_min(LEAST))
    # S(b) - S(a) = S(b) S(-a) (1 - exp(a - b)), without a difference of numbers that are nearly equal
    inside = torch.log(-torch.expm1((low - high) * narrow))
    share = F.logsigmoid((high - means) * narrow) + F.logsigmoid((means - low) * narrow) + inside
    return -torch.logsumexp(F.log_softmax(weights, -1) + share, -1) / math.log(2)


def draw(mixture: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
    """Return a code drawn from each mixture: (..., 3 * components) -> (...).

    Args:
        mixture: As of `bits`.
        generator: Of random numbers.
        temperature: Multiplies the widths; 0 takes the mean of the component that was drawn.
    """
    weights, means, widths = mixture.double().chunk(3, -1)
    shares = weights.softmax(-1).reshape(-1, weights.shape[-1])
    chosen = torch.multinomial(shares, 1, generator=generator).view(*weights.shape[:-1], 1)
    uniform = torch.rand(chosen.shape, generator=generator, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    value = means.gather(-1, chosen) + temperature * widths.gather(-1, chosen).exp() * uniform.logit()
    return torch.bucketize(value.squeeze(-1), edges()[1:-1], right=True)
