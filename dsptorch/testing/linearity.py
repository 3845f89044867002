"""Is it linear, and how loud can it become?"""

import torch
from torch import Tensor

from dsptorch.testing._engine.examples import check_example, examined, greatest, noise
from dsptorch.testing._engine.run import Model, output_of
from dsptorch.testing.tolerances import difference, site

_ROWS = 256  # impulses in a pass
_GROWS = 1 - 1e-3  # a gain that doubles, to this, as the length does, has no bound


def assert_linear(model: Model, example: Tensor, *, seed: int = 0) -> None:
    """Assert that a model is linear.

        f(a x + b u) = a f(x) + b f(u)

    for noise u and pairs (a, b) that are quiet, even and loud, and f(0) = 0: a threshold, a dead zone and a bias
    are all seen.

    Args:
        model: A module, or any function.
        example: A signal, (batch, time, channels).
        seed: Of the noise.

    Raises:
        AssertionError: If it is not: it says for which gains, where, and by how much.

    Example:
        >>> from dsptorch import Multirate
        >>> assert_linear(Multirate(4), torch.randn(1, 12, 4))
        >>> assert_linear(torch.nn.ReLU(), torch.randn(1, 12, 4))
        Traceback (most recent call last):
        AssertionError: not linear: f(a x + b u) is not a f(x) + b f(u) for a = ...
    """
    x = check_example(example)
    u = noise(x, seed)
    loud = 30.0 if x.dtype == torch.float16 else 1e3
    with examined(model, x):
        silent = output_of(model, torch.zeros_like(x))
        if silent.abs().max() > 0:
            at = site(tuple(int(i) for i in silent.abs().eq(silent.abs().max()).nonzero()[0]))
            raise AssertionError(
                f"not linear: the output of silence is {greatest(silent):.3g} at {at}, not 0. Look for a bias"
            )
        of_x, of_u = output_of(model, x), output_of(model, u)
        for a, b in ((1.0, 1.0), (-1.0, 0.0), (-0.7, 2.3), (loud, -loud / 2), (1 / loud, 0.5 / loud)):
            expected = a * of_x + b * of_u
            found = difference(output_of(model, a * x + b * u), expected, scale=greatest(a * of_x, b * of_u))
            if found is not None:
                raise AssertionError(
                    f"not linear: f(a x + b u) is not a f(x) + b f(u) for a = {a:g} and b = {b:g}, the most at {found}"
                )


def assert_bounded(
    model: Model, example: Tensor, bound: float | None = None, *, receptive_field: int | None = None
) -> float:
    """Assert that a linear model makes no signal louder than a bound: stability, in the sense of BIBO.

        |y[t, c]| <= G max |x|,   G = max_{t, c} sum_{s, i} |h[t, c; s, i]|

    h is measured by impulses at every time step s and channel i. The gain G is attained: the input
    x[s, i] = sign h[t, c; s, i], the impulse response turned round with its signs, gives y[t, c] = G, and must
    do so here, or the model is not linear. Cost: time * channels rows of the example.

    Args:
        model: A linear module or function; each row by itself.
        example: Its first row's shape, dtype and device count: (batch, time, channels), some times as long as the
            model remembers.
        bound: The greatest gain allowed, above 0. None: any, but it must not grow with the length as that of
            an accumulator or of an unstable filter does.
        receptive_field: If the model remembers no longer than this, its gain cannot grow; it is then only
            measured. By default the model's own attribute, if it has one.

    Returns:
        G.

    Raises:
        AssertionError: If the gain is above the bound or grows without one: it says which output attains it.

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
    if bound is not None and not bound > 0:
        raise ValueError(f"bound must be above 0, got {bound}")
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
