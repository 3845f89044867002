"""Does a layer keep apart the signals that share a row?"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from dsptorch.testing._engine.examples import check_example, examined, greatest, named_leaves, noise
from dsptorch.testing._engine.run import output_of
from dsptorch.testing.streaming import random_chunks
from dsptorch.testing.tolerances import difference, site


class Packs(Protocol):
    """A layer that takes the segment ids of its input, `layer(x, segment_ids)`."""

    def __call__(self, x: Tensor, segment_ids: Tensor | None = None, /) -> Any: ...  # noqa: D102


def assert_packs(layer: Packs, example: Tensor, *, gradients: bool = True, seed: int = 0) -> None:
    """Assert that signals packed into one row give the numbers that each gives alone.

        layer(cat(x_1, ..., x_n), ids)  =  cat(layer(x_1), ..., layer(x_n))

    Each row of the example is cut into signals of random lengths, one of a single sample and padding among them: at
    the start, between signals, and at the end. Padding holds NaN, which must reach no signal and no gradient, and
    comes out as it went in. If the layer has a `step` and does not look ahead, the packed row also runs in chunks
    that are cut anywhere.

    Args:
        layer: What takes segment ids; -1 is padding.
        example: A signal, (batch, time >= 8, channels); in float64 the tolerance is the tightest.
        gradients: Whether gradients are compared.
        seed: The seed of the cuts.

    Raises:
        AssertionError: If anything differs: it says which signal, where, and by how much.

    Example:
        >>> from dsptorch import Multirate
        >>> assert_packs(Multirate(4), torch.randn(2, 20, 4))
        >>> class Mixes(Multirate):
        ...     def forward(self, x, segment_ids=None):
        ...         return super().forward(x)
        >>> assert_packs(Mixes(4), torch.randn(2, 20, 4))
        Traceback (most recent call last):
        AssertionError: packed with others, the signal at samples ... of row 0 differs from itself alone ...
    """
    x = check_example(example, least=8)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.stack([_ids(x.shape[1], generator) for _ in range(len(x))]).to(x.device)
    packed = torch.where((ids < 0).unsqueeze(-1), torch.full_like(x, torch.nan), x)

    with examined(layer, x):
        apart = _apart(layer, packed, ids)
        _check(_output(layer, packed, ids), apart, ids, "packed with others")
        if callable(getattr(layer, "step", None)) and not getattr(layer, "lookahead", 0):
            for lengths in ([1] * x.shape[1], random_chunks(x.shape[1], generator)):
                y = _in_chunks(layer, packed, ids, lengths)
                _check(y, apart, ids, f"packed with others, in chunks of {lengths[:8]}...")
    if gradients:
        with examined(layer, x, gradients=True):
            _check_gradients(layer, packed, ids)


def _output(layer: Packs, x: Tensor, ids: Tensor) -> Tensor:
    return output_of(lambda x: layer(x, ids), x)


def _ids(time: int, generator: torch.Generator) -> Tensor:
    """Ids of one row: padding, a signal, one of one sample, padding, signals whose ids come again, padding."""
    lengths = random_chunks(time - 4, generator, empty=False)
    half = len(lengths) // 2
    runs = [(-1, 1), *((i, n) for i, n in enumerate(lengths[:half])), (7, 1), (-1, 1)]
    runs += [*((i % 2, n) for i, n in enumerate(lengths[half:])), (-1, 1)]
    return torch.cat([torch.full((n,), i) for i, n in runs])


def _runs(ids: Tensor) -> list[tuple[int, int, int]]:
    """The (row, start, stop) of each signal."""
    found = []
    for row, line in enumerate(ids.tolist()):
        start = 0
        for t in range(1, len(line) + 1):
            if t == len(line) or line[t] != line[start]:
                if line[start] >= 0:
                    found.append((row, start, t))
                start = t
    return found


def _apart(layer: Packs, packed: Tensor, ids: Tensor) -> Tensor:
    """Each signal alone, put back into its place."""
    rows = [list(row.split(1)) for row in packed]
    for row, start, stop in _runs(ids):
        rows[row][start:stop] = list(output_of(layer, packed[row : row + 1, start:stop])[0].split(1))
    return torch.stack([torch.cat(row) for row in rows])


def _in_chunks(layer: Any, packed: Tensor, ids: Tensor, lengths: Sequence[int]) -> Tensor:
    outputs, state = [], None
    for chunk, part in zip(packed.split(list(lengths), 1), ids.split(list(lengths), 1), strict=True):
        y, state = layer.step(chunk, state, part)
        outputs.append(y)
    return torch.cat(outputs, 1)


def _check(y: Tensor, apart: Tensor, ids: Tensor, how: str) -> None:
    scale = greatest(apart)
    for row, start, stop in _runs(ids):
        found = difference(y[row, start:stop], apart[row, start:stop], scale=scale)
        if found is not None:
            raise AssertionError(
                f"{how}, the signal at samples {start} to {stop - 1} of row {row} differs from itself alone by "
                f"{found.size:.3g} at its sample {found.at[0]}, channel {found.at[1]}. Look for a filter that reaches "
                "into its neighbour, or a position that goes on counting"
            )
    if not y[ids < 0].isnan().all():
        row, time = (int(i) for i in ((ids < 0) & ~y.isnan().all(-1)).nonzero()[0])
        raise AssertionError(f"{how}, padding did not pass unchanged at row {row}, time {time}")


def _check_gradients(layer: Packs, packed: Tensor, ids: Tensor) -> None:
    weights = noise(packed, 2).masked_fill((ids < 0).unsqueeze(-1), 0)

    def found(run: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        leaf = packed.clone().requires_grad_()
        names, leaves = named_leaves(layer, leaf)
        y = run(leaf)
        loss = (torch.where((ids < 0).unsqueeze(-1), 0, y) * weights).sum()
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        return dict(zip(names, gradients, strict=True))

    ours = found(lambda x: _output(layer, x, ids))
    expected = found(lambda x: _apart(layer, x, ids))
    for name, gradient in ours.items():
        off = difference(gradient, expected[name], scale=greatest(*expected.values()))
        if off is not None:
            raise AssertionError(
                f"packed with others, the gradient in {name} is {off.actual:.6g} at {site(off.at)} instead of "
                f"{off.expected:.6g}, the sum over the signals alone; padding held NaN"
            )
