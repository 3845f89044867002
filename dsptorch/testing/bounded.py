"""Check that the output of a linear model is bounded."""

import torch
from torch import Tensor

from dsptorch.testing._engine.arguments import check_positive
from dsptorch.testing._engine.examples import check_example, examined
from dsptorch.testing._engine.run import Model, output_of
from dsptorch.testing.tolerances import difference

_ROWS = 256  # impulses in a pass
_GROWS = 1 - 1e-3  # a gain that doubles, to this, as the length does, has no bound


def assert_bounded(
    model: Model, example: Tensor, bound: float | None = None, *, receptive_field: int | None = None
) -> float:
    """Assert that the gain of a linear model does not exceed a bound (BIBO stability).

        |y[t, c]| <= G max |x|,   G = max_{t, c} sum_{s, i} |h[t, c; s, i]|

    h is measured by impulses at every time step s and channel i. The gain G is attained by the input
    x[s, i] = sign h[t, c; s, i], the signs of the reversed impulse response. The check runs this input too; if the
    output is not G, the model is not linear. Cost: time * channels rows of the example.

    Args:
        model: A linear module or function that processes each row separately.
        example: Gives the shape of a row, the dtype and the device: (batch, time, channels), several times longer than
            the model's memory.
        bound: The greatest gain allowed, finite and above 0. None allows any gain that does not grow with the length,
            as that of an accumulator or an unstable filter does.
        receptive_field: The memory of the model in samples. The gain of a model with finite memory cannot grow, so it
            is only measured. The default is the model's attribute, if any.

    Returns:
        The gain G.

    Raises:
        AssertionError: If the gain exceeds the bound, or grows with the length. The message names the output.

    Example:
        >>> from dsptorch import FIR
        >>> layer = FIR(1, 3, init=torch.tensor([[1.0], [-0.5], [0.25]]))
        >>> assert_bounded(layer, torch.zeros(1, 8, 1), 2.0)
        1.75
        >>> assert_bounded(lambda x: x.cumsum(1), torch.zeros(1, 8, 1))
        Traceback (most recent call last):
        AssertionError: not bounded: the greatest gain over 4 samples is 4, over 8 it is 8...
    """
    x = check_example(example)[:1]
    if bound is not None:
        check_positive("bound", bound)
    known = receptive_field if receptive_field is not None else getattr(model, "receptive_field", None)
    with examined(model, x):
        response = _responses(model, x)  # (output time, output channel, input time, input channel)
        if not torch.isfinite(response).all():
            raise AssertionError("not bounded: the response to an impulse is not finite")
        gains = response.abs().sum((2, 3))
        gain = gains.max().item()
        at = tuple(int(i) for i in torch.unravel_index(gains.argmax(), gains.shape))
        where = f"time {at[0]}, channel {at[1]}"
        attained = output_of(model, response[at].sign().unsqueeze(0).to(x))[0, at[0], at[1]]
        found = difference(attained.reshape(1), gains[at].reshape(1), dtype=x.dtype, scale=max(gain, 1e-30))
        if found is not None:
            raise AssertionError(
                f"not linear: by its impulse responses the output at {where} attains {gain:.6g} for an input of signs, "
                f"but it is {found.actual:.6g}; the bound of such a model is not known. See assert_linear"
            )
    if (
        bound is not None
        and difference(gains, gains.clamp(max=bound), dtype=x.dtype, scale=bound) is not None
    ):
        raise AssertionError(
            f"not bounded by {bound:.6g}: for the input x = sign h, no louder than 1, the output at {where} is "
            f"{gain:.6g}. Lower the gain, or the bound is {gain:.6g}"
        )
    half = x.shape[1] // 2
    if bound is None and known is None and half:
        short = response[:half, :, :half].abs().sum((2, 3)).max().item()
        if gain - short >= _GROWS * short > 0:
            raise AssertionError(
                f"not bounded: the greatest gain over {half} samples is {short:.6g}, over {x.shape[1]} it is "
                f"{gain:.6g}, and it has no end in sight. Move the poles inside the unit circle; or, if the model "
                "remembers long but not for ever, give a longer example, its receptive_field, or a bound"
            )
    return gain


def _responses(model: Model, x: Tensor) -> Tensor:
    """The response at (t, c) to an impulse at (s, i): (T, C, T, C)."""
    _, time, channels = x.shape
    parts = []
    for index in torch.arange(time * channels, device=x.device).split(_ROWS):
        impulses = torch.zeros(len(index), time * channels, dtype=x.dtype, device=x.device)
        impulses[torch.arange(len(index), device=x.device), index] = 1
        parts.append(output_of(model, impulses.unflatten(1, (time, channels))).flatten(2))
    response: Tensor = torch.cat(parts).unflatten(0, (time, channels))
    return response.permute(2, 3, 0, 1)
