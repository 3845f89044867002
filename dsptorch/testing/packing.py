"""Check that a layer keeps signals packed into one row apart."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Protocol

import torch
from torch import Tensor

from dsptorch.functional.validate import check_bools
from dsptorch.testing._engine.arguments import check_seed
from dsptorch.testing._engine.chunks import random_chunks
from dsptorch.testing._engine.examples import check_example, examined, greatest, named_leaves, noise
from dsptorch.testing._engine.rates import Rate, grid_of, outputs_before, rate_of
from dsptorch.testing._engine.run import output_of
from dsptorch.testing.tolerances import difference, site

_BLOCKS = 5  # least number of grid blocks: three of padding, a signal, and a signal of a single sample
_SINGLE = 7  # the id of the signal of a single sample


class Packs(Protocol):
    """A layer that accepts the segment ids of its input, `layer(x, segment_ids)`."""

    def __call__(self, x: Tensor, segment_ids: Tensor | None = None, /) -> Any: ...  # noqa: D102


def assert_packs(
    layer: Packs, example: Tensor, *, gradients: bool = True, seed: int = 0, rate: Rate = None
) -> None:
    """Assert that signals packed into one row give the same output as each signal alone.

        layer(cat(x_1, ..., x_n), ids)  =  cat(layer(x_1), ..., layer(x_n))

    Each row of the example is cut into signals of random lengths, including one of a single sample, with padding at the
    start, between signals, and at the end. Padding holds NaN, which must not reach any signal or gradient. It must come
    out unchanged, or as 0 if the layer changes rate or width. If the layer changes the rate inside, signals begin at
    multiples of `layer.grid`, and a signal that begins elsewhere must raise ValueError (on the CPU; on other devices
    this would wait for the device). If the layer has a `step` and does not look ahead, the packed row also runs in
    chunks cut at any place.

    Args:
        layer: A layer that accepts segment ids; -1 is padding.
        example: A signal, (batch, time >= max(8, 5 * grid), channels). The tolerance is tightest in float64.
        gradients: Whether to compare gradients.
        seed: The seed of the cuts.
        rate: Output samples per input sample, an int or a Fraction. None: `layer.rate` if that is a Fraction, else 1.

    Raises:
        AssertionError: If anything differs. The message gives the signal, the place and the difference.

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
    check_bools(gradients=gradients)
    rate, grid = rate_of(layer, rate), grid_of(layer, rate)
    check_seed(seed)
    x = check_example(example, least=max(8, _BLOCKS * grid if grid > 1 else 0))
    generator = torch.Generator().manual_seed(seed)
    ids = torch.stack([_ids_on(grid, x.shape[1], generator) for _ in range(len(x))]).to(x.device)
    packed = torch.where((ids < 0).unsqueeze(-1), torch.full_like(x, torch.nan), x)

    with examined(layer, x):
        apart = _apart(layer, packed, ids, rate)
        same = rate == 1 and apart.shape == x.shape
        _check(_output(layer, packed, ids, rate), apart, ids, "packed with others", rate, same)
        if _streams(layer):
            for lengths in ([1] * x.shape[1], random_chunks(x.shape[1], generator)):
                y = _in_chunks(layer, packed, ids, lengths)
                _check(y, apart, ids, f"packed with others, in chunks of {lengths[:8]}...", rate, same)
        if grid > 1 and x.device.type == "cpu":
            _check_refuses(layer, x, grid)
    if gradients:
        with examined(layer, x, gradients=True):
            _check_gradients(layer, packed, ids, rate)


def _streams(layer: Any) -> bool:
    found = callable(getattr(layer, "step", None)) and not getattr(layer, "lookahead", 0)
    return found and getattr(layer, "streams", True) is not False


def _output(layer: Packs, x: Tensor, ids: Tensor, rate: Fraction) -> Tensor:
    return output_of(lambda x: layer(x, ids), x, rate)


def _ids_on(grid: int, time: int, generator: torch.Generator) -> Tensor:
    """Ids of one row, whose signals begin at multiples of the grid and end anywhere."""
    if grid == 1:
        return _ids(time, generator)
    blocks = _ids(time // grid, generator)
    ids = blocks.repeat_interleave(grid)
    for _, start, stop in _runs(blocks.unsqueeze(0)):
        single = blocks[start] == _SINGLE
        cut = grid - 1 if single else int(torch.randint(0, grid, (), generator=generator))
        ids[stop * grid - cut : stop * grid] = -1
    return torch.cat([ids, ids.new_full((time % grid,), -1)])


def _ids(time: int, generator: torch.Generator) -> Tensor:
    """Ids of one row: padding, a signal, one of one sample, padding, signals whose ids come again, padding."""
    lengths = random_chunks(time - 4, generator, empty=False)
    half = len(lengths) // 2
    runs = [(-1, 1), *((i, n) for i, n in enumerate(lengths[:half])), (_SINGLE, 1), (-1, 1)]
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


def _apart(layer: Packs, packed: Tensor, ids: Tensor, rate: Fraction) -> Tensor:
    """Each signal alone, put back into its place; what stands in the place of padding does not count."""
    alone = [
        (row, start, output_of(layer, packed[row : row + 1, start:stop], rate)[0])
        for row, start, stop in _runs(ids)
    ]
    padding = packed.new_full((outputs_before(packed.shape[1], rate), *alone[0][2].shape[1:]), torch.nan)
    rows = [list(padding.split(1)) for _ in packed]
    for row, start, y in alone:
        first = outputs_before(start, rate)
        rows[row][first : first + len(y)] = list(y.split(1))
    return torch.stack([torch.cat(row) for row in rows])


def _at_outputs(ids: Tensor, rate: Fraction) -> Tensor:
    """The id of the input at which each output stands."""
    outputs = torch.arange(outputs_before(ids.shape[1], rate), device=ids.device)
    return ids[:, outputs * rate.denominator // rate.numerator]


def _in_chunks(layer: Any, packed: Tensor, ids: Tensor, lengths: Sequence[int]) -> Tensor:
    outputs, state = [], None
    for chunk, part in zip(packed.split(list(lengths), 1), ids.split(list(lengths), 1), strict=True):
        y, state = layer.step(chunk, state, part)
        outputs.append(y)
    return torch.cat(outputs, 1)


def _check_refuses(layer: Packs, x: Tensor, grid: int) -> None:
    ids = (torch.arange(x.shape[1]) >= grid + 1).long().expand(len(x), -1)
    try:
        layer(x, ids)
    except ValueError:
        return
    raise AssertionError(
        f"a signal that begins at sample {grid + 1}, no multiple of the grid of {grid}, must be refused by ValueError"
    )


def _check(y: Tensor, apart: Tensor, ids: Tensor, how: str, rate: Fraction, same: bool) -> None:
    if y.shape != apart.shape:
        raise AssertionError(f"{how}, the output is {tuple(y.shape)}, expected {tuple(apart.shape)}")
    scale = greatest(apart)
    for row, start, stop in _runs(ids):
        first, last = outputs_before(start, rate), outputs_before(stop, rate)
        found = difference(y[row, first:last], apart[row, first:last], scale=scale)
        if found is not None:
            raise AssertionError(
                f"{how}, the signal at samples {start} to {stop - 1} of row {row} differs from itself alone by "
                f"{found.size:.3g} at its sample {found.at[0]}, channel {found.at[1]}. Look for a filter that reaches "
                "into its neighbour, or a position that goes on counting"
            )
    padding = _at_outputs(ids, rate) < 0
    expected, rule = (y.isnan(), "pass unchanged") if same else (y == 0, "become 0")
    if not expected[padding].all():
        row, time = (int(i) for i in (padding & ~expected.all(-1)).nonzero()[0])
        raise AssertionError(f"{how}, padding did not {rule} at row {row}, time {time}")


def _check_gradients(layer: Packs, packed: Tensor, ids: Tensor, rate: Fraction) -> None:
    padding = (_at_outputs(ids, rate) < 0).unsqueeze(-1)

    def found(run: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        leaf = packed.clone().requires_grad_()
        names, leaves = named_leaves(layer, leaf)
        y = run(leaf)
        loss = (torch.where(padding, 0, y) * noise(y.detach(), 2)).sum()
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        return dict(zip(names, gradients, strict=True))

    ours = found(lambda x: _output(layer, x, ids, rate))
    expected = found(lambda x: _apart(layer, x, ids, rate))
    for name, gradient in ours.items():
        off = difference(gradient, expected[name], scale=greatest(*expected.values()))
        if off is not None:
            raise AssertionError(
                f"packed with others, the gradient in {name} is {off.actual:.6g} at {site(off.at)} instead of "
                f"{off.expected:.6g}, the sum over the signals alone; padding held NaN"
            )
