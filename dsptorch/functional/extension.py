"""Extension of a signal beyond its ends, with PyWavelets' modes."""

from difflib import get_close_matches

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["MODES", "check_mode", "extend"]

MODES = (
    "zero",
    "constant",
    "symmetric",
    "periodic",
    "smooth",
    "periodization",
    "reflect",
    "antisymmetric",
    "antireflect",
)


def check_mode(mode: str) -> str:
    """Return a mode's name if it is known; otherwise raise an error with the nearest names."""
    if mode in MODES:
        return mode
    near = get_close_matches(str(mode), MODES, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"take one of {', '.join(MODES)}"
    raise ValueError(f"unknown mode {mode!r}; {hint}")


def extend(x: Tensor, before: int, after: int, mode: str) -> Tensor:
    """Extend a signal before its start and after its end.

    For the signal a b c::

        zero            0 0 0 | a b c | 0 0 0
        constant        a a a | a b c | c c c
        symmetric       c b a | a b c | c b a
        periodic        a b c | a b c | a b c       also "periodization"
        reflect         b c b | a b c | b a b
        antisymmetric  -c -b -a | a b c | -c -b -a
        antireflect     point symmetric about a, and about c
        smooth          the lines through a and b, and through b and c

    Args:
        x: The signal.
        before: Number of samples to add before the signal.
        after: Number of samples to add after the signal.
        mode: One of the names above.

    Shape:
        (batch, time >= 1, channels) -> (batch, before + time + after, channels), in the same dtype.

    Raises:
        ValueError: If the mode is unknown, the signal is empty, or the mode needs two samples and there is one.
    """
    time = x.shape[1]
    if time == 0 or (time == 1 and check_mode(mode) in ("reflect", "antireflect")):
        raise ValueError(
            f"mode={mode!r} goes on from {1 if time == 0 else 2} samples at least, got {time}; take mode='zero'"
        )
    if check_mode(mode) == "zero":
        return F.pad(x, (0, 0, before, after))
    at = torch.arange(-before, time + after, device=x.device)
    if mode == "smooth":
        return _smooth(x, at)
    if mode in ("periodic", "periodization", "constant"):
        return x.index_select(1, at.clamp(0, time - 1) if mode == "constant" else at % time)
    return _mirrored(x, at, edge_twice="symmetric" in mode, negated=mode.startswith("anti"))


def _mirrored(x: Tensor, at: Tensor, *, edge_twice: bool, negated: bool) -> Tensor:
    """The signal and its mirror image in turn; the sample at an edge occurs in both, or in one."""
    time = x.shape[1]
    period = 2 * time if edge_twice else 2 * time - 2
    turn, cycle = at % period, (at // period).unsqueeze(1).to(x.dtype)
    met = x.index_select(1, torch.minimum(turn, period - int(edge_twice) - turn))
    if not negated:
        return met
    is_image = (turn >= time).unsqueeze(1)
    met = torch.where(is_image, -met, met)
    if edge_twice:
        return met
    # Mirrored about an edge a, b becomes 2 a - b. Each cycle climbs by twice the difference of the edges.
    return met + 2 * (torch.where(is_image, cycle + 1, cycle) * x[:, -1:] - cycle * x[:, :1])


def _smooth(x: Tensor, at: Tensor) -> Tensor:
    time = x.shape[1]
    edge = x.index_select(1, at.clamp(0, time - 1))
    if time == 1:
        return edge
    early = at.clamp(max=0).unsqueeze(1).to(x.dtype)
    late = (at - (time - 1)).clamp(min=0).unsqueeze(1).to(x.dtype)
    return edge + early * (x[:, 1:2] - x[:, :1]) + late * (x[:, -1:] - x[:, -2:-1])
