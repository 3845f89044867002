"""Measure how much every output time depends on every input time."""

from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from dsptorch.isolation import random_state_kept
from dsptorch.testing._engine.arguments import check_seed, check_vocab_size
from dsptorch.testing._engine.baseline import baseline_of
from dsptorch.testing._engine.lazy import initialized
from dsptorch.testing._engine.perturb import Perturber, repeated
from dsptorch.testing._engine.rates import Rate, outputs_before, rate_of
from dsptorch.testing._engine.run import Model, cuda_devices, evaluating, output_of, seed_all

_MIXED = 1e-6  # the relative change of a row that counts as none when others are replaced


def influence_matrix(
    model: Model,
    example: Tensor,
    *,
    method: Literal["replace", "gradient"] = "replace",
    vocab_size: int | None = None,
    seed: int = 0,
    rate: Rate = None,
) -> Tensor:
    """Measure how much each output time of a model depends on each input time, around an example's first row.

        replace     M[t, s] = max |y(x')[t] - y(x)[t]|, where x' is x with another sample, or token, at time s
        gradient    M[t, s] = norm of d(v . y[t]) / d x[s], with v random signs over the channels

    A causal model has zeros above the diagonal (s > t). `replace` also accepts token ids, works without gradients, and
    agrees with `assert_causal`. `gradient` is local, and exact where the model is smooth.
    `replace` uses the same outputs as `assert_causal`, `gradient` the first of them. A module runs in eval mode and is
    not changed. Cost: T rows for each scale, and the unchanged rows; with `gradient`, forward and backward of T rows.

    Args:
        model: A module, or any function; see `assert_causal`.
        example: Token ids, (batch, time), or a signal, (batch, time, channels).
        method: "replace" or "gradient" (for signals only).
        vocab_size: For token ids: replacements are drawn below it. None is the greatest id of the example plus 1.
        seed: The seed of the replacements and the signs.
        rate: Output samples per input sample; see `assert_causal`.

    Returns:
        (output time, input time), float64, on the CPU; `dsptorch.analysis.plot_influence` draws it.

    Raises:
        ValueError: If the method is unknown, or "gradient" is used without a gradient.

    Example:
        >>> influence_matrix(lambda x: x + x.roll(1, 1), torch.ones(1, 4, 1), method="gradient").int()
        tensor([[1, 0, 0, 1],
                [1, 1, 0, 0],
                [0, 1, 1, 0],
                [0, 0, 1, 1]], dtype=torch.int32)
    """
    if method not in ("replace", "gradient"):
        raise ValueError(f'method: expected "replace" or "gradient", got {method!r}; choose one of them')
    if method == "gradient" and not example.is_floating_point():
        raise ValueError(f'method="gradient" takes real signals, got {example.dtype}; use method="replace"')
    check_seed(seed)
    check_vocab_size(vocab_size, example)
    with random_state_kept(everywhere=True):
        model = initialized(model, example, seed)
        with evaluating(model):
            if method == "gradient":
                return _by_gradient(model, example[:1], seed, rate_of(model, rate))
            return _by_replacing(Perturber(model, vocab_size, seed, rate), example.detach())


@torch.no_grad()
def _by_replacing(perturber: Perturber, example: Tensor) -> Tensor:
    time = example.shape[1]
    everything = torch.ones(
        time, outputs_before(time, rate_of(perturber.model, perturber.rate)), dtype=torch.bool
    )
    where = torch.eye(time, dtype=torch.bool)
    baseline = baseline_of(perturber, example)
    mixed = baseline.mixing > _MIXED
    row, rows = (example, None) if mixed else (example[:1], baseline.rows_for(time))
    return perturber.perturb(row, where, everything, rows, None).absolute.mT.contiguous()


def _by_gradient(model: Model, row: Tensor, seed: int, rate: Fraction) -> Tensor:
    """Row t of a batch of copies looks at the output at time t: one backward for all of them."""
    time = outputs_before(row.shape[1], rate)
    x = repeated(row.detach(), time).requires_grad_()
    with torch.enable_grad():
        seed_all(seed, cuda_devices(model, x))
        y = output_of(model, x, rate).flatten(2)
        generator = torch.Generator().manual_seed(seed)
        signs = 2.0 * torch.randint(0, 2, y.shape[-1:], generator=generator) - 1
        at = torch.arange(time, device=y.device)
        total = (y[at, at] * signs.to(y)).sum()
        if not total.requires_grad:
            raise ValueError('the output has no gradient with respect to the example; use method="replace"')
        (gradient,) = torch.autograd.grad(total, x, allow_unused=True)
    if gradient is None:
        return torch.zeros(time, row.shape[1], dtype=torch.float64)
    norms: Tensor = gradient.flatten(2).norm(dim=-1).double().cpu()
    return norms
