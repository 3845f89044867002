"""Check that a layer or a model gives the same numbers in chunks as on the whole sequence."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from dsptorch.functional.validate import check_bools
from dsptorch.testing._engine.arguments import check_cuttable, check_seed
from dsptorch.testing._engine.chunks import brief_lengths, chunkings_of
from dsptorch.testing._engine.examples import (
    check_example,
    examined,
    greatest,
    named_leaves,
    noise,
    projected_gradients,
)
from dsptorch.testing._engine.rates import Rate, grid_of, outputs_before, rate_of
from dsptorch.testing._engine.run import output_of
from dsptorch.testing._engine.whole_model import Start, Streamed, check_streamed
from dsptorch.testing.tolerances import difference, site


class Streams(Protocol):
    """A layer that runs on whole sequences, `layer(x)`, and in chunks, `y, state = layer.step(x, state)`."""

    def __call__(self, x: Tensor, /) -> Any: ...  # noqa: D102
    def step(self, x: Tensor, state: Any = None, /) -> tuple[Tensor, Any]: ...  # noqa: D102


def assert_streaming_equals_batch(
    model: Streams | nn.Module,
    example: Tensor,
    *,
    start: Start | None = None,
    chunkings: int | Sequence[Sequence[int]] = 3,
    empty: bool = True,
    gradients: bool = True,
    ragged: bool = True,
    seed: int = 0,
    rate: Rate = None,
) -> None:
    """Assert that a layer or a model gives the same numbers in chunks of any length as on the whole sequence.

        cat(y_1, ..., y_n) = layer(x),   y_i, s_i = layer.step(x_i, s_{i-1}),   s_0 = None

    The layer runs sample by sample, in pairs, in one chunk between empty ones, and in random chunks. The outputs must
    be equal within rounding. The last state must equal that of one step over the whole, and so must the gradients of
    the input and every parameter. After t samples in, ceil(t * rate) must be out. No step may change its chunk or its
    state in place. Finally, rows that have seen different lengths continue together in one batch, with the same results
    as alone; if the rate changes, the lengths differ by multiples of `layer.grid`.

    A whole model, any module without `step`, runs in chunks within `dsptorch.streaming`, in eval mode and without
    gradients, and all its outputs that follow the time are compared with those of `model(example)`. The rest of the
    model must remember its own past. HuggingFace models get back the cache that they return. The attributes and buffers
    of the model are restored before each signal.

    Args:
        model: A layer with `step`, whose state None means "at rest"; or a model.
        example: A signal, (batch, time >= 2, channels); or, for a model, token ids, (batch, time >= 2). The tolerance
            is tightest in float64.
        start: For a model whose cache the caller brings: called at the start of each signal, it returns the function
            that is called with each chunk, such as `lambda: functools.partial(model, cache=[])`. The whole is
            `model(example)` all the same. It makes a model of a module with a `step` of another kind, too.
        chunkings: Number of random chunkings; or the lengths of the chunks of each chunking, to try these alone, as
            `[[12] + [1] * 8]` for a model that takes single samples after a first chunk.
        empty: For a layer, whether to include empty chunks.
        gradients: For a layer, whether to compare gradients.
        ragged: For a layer, whether to test rows at different positions. Every tensor of the state must then have the
            batch first.
        seed: The seed of the chunkings.
        rate: Output samples per input sample, an int or a Fraction. None: `model.rate` if that is a Fraction, else 1.

    Raises:
        AssertionError: If anything differs. For a layer, the message gives the output and the chunk, the part of the
            state, or the gradient, and the difference. For a model, it gives the first output that differs, and the
            first module whose output differs although its input does not: the module that lacks a memory.
        TypeError: If the model is neither a module nor has `step`.
        ValueError: If `streaming` refuses the model, or the model does not repeat itself.

    Example:
        >>> from dsptorch import FIR, Multirate, insert
        >>> assert_streaming_equals_batch(Multirate(4), torch.randn(2, 12, 4))
        >>> class Forgets(Multirate):
        ...     def step(self, x, state=None):
        ...         return super().step(x, None)
        >>> assert_streaming_equals_batch(Forgets(4), torch.randn(2, 12, 4))
        Traceback (most recent call last):
        AssertionError: in chunks of [1, ... the output differs at row ...
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.GRU(4, 4, batch_first=True))  # each call of the GRU begins anew
        >>> insert(model, "0", lambda linear: FIR(4))
        ['0.dsp_before']
        >>> assert_streaming_equals_batch(model, torch.randn(2, 12, 4))
        Traceback (most recent call last):
        AssertionError: in chunks of [1, ... first at time 1 ... its input does not, is '1' (GRU): ...
    """
    check_bools(empty=empty, gradients=gradients, ragged=ragged)
    check_seed(seed)
    if start is not None or not callable(getattr(model, "step", None)):
        _check_model(model, example, start, chunkings, seed, rate)
        return
    layer, x, rate = cast(Streams, model), check_example(example, least=2), rate_of(model, rate)
    ways = chunkings_of(x.shape[1], chunkings, empty, seed)
    with examined(layer, x):
        whole = output_of(layer, x, rate)
        _, final = layer.step(x)
        for lengths in ways:
            y, state = _run(layer, x, lengths, rate, watched=True)
            _check_output(y, whole, lengths, rate)
            _check_state(state, final, f"in chunks of {brief_lengths(lengths)} the last state")
        if ragged:
            grid = grid_of(layer, rate)
            for phase in {0, grid - 1}:
                _check_ragged(layer, x, empty, rate, grid, phase)
    if gradients:
        with examined(layer, x, gradients=True):
            for lengths in (ways[0], ways[-1]):
                _check_gradients(layer, x, lengths, rate)


def _check_model(
    model: Any,
    example: Tensor,
    start: Start | None,
    chunkings: int | Sequence[Sequence[int]],
    seed: int,
    rate: Rate,
) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a module, or have step(x, state), got {type(model).__name__}; give the module that "
            "streams, and if it is called with a cache, say how by start"
        )
    check_cuttable(example)
    if example.is_floating_point() and not example.isfinite().all():
        raise ValueError("example must be finite: of what is NaN or infinite nothing can be said")
    streamed = Streamed(model, start, rate_of(model, rate), seed)
    check_streamed(streamed, example.detach(), chunkings_of(example.shape[1], chunkings, False, seed))


def _run(
    layer: Streams, x: Tensor, lengths: Sequence[int], rate: Fraction, watched: bool = False
) -> tuple[Tensor, Any]:
    outputs, state, time = [], None, 0
    given = x.clone()
    for i, chunk in enumerate(x.split(list(lengths), 1)):
        before = pytree.tree_map_only(torch.Tensor, torch.clone, state) if watched else None
        try:
            y, after = layer.step(chunk, state)
        except Exception as error:
            raise AssertionError(
                f"step failed on chunk {i} of lengths {brief_lengths(lengths)}, {chunk.shape[1]} samples long: "
                f"{type(error).__name__}: {error}. A chunk may have any length, 0 too"
            ) from error
        due = outputs_before(time + chunk.shape[1], rate) - outputs_before(time, rate)
        time += chunk.shape[1]
        if y.shape != (len(chunk), due, *y.shape[2:]):
            raise AssertionError(
                f"step made {tuple(y.shape)} of chunk {i} of shape {tuple(chunk.shape)}; it must keep batch and time"
                if rate == 1
                else f"step made {tuple(y.shape)} of chunk {i} of lengths {brief_lengths(lengths)}; after {time} "
                f"inputs ceil({time} * {rate}) = {outputs_before(time, rate)} outputs must be out, {due} of them in "
                "this chunk"
            )
        if watched:
            _check_unchanged(before, state, i)
            if not torch.equal(x, given):
                raise AssertionError(
                    f"step changed its chunk in place, chunk {i} of lengths {brief_lengths(lengths)}"
                )
        outputs.append(y)
        state = after
    return torch.cat(outputs, 1), state


def _check_unchanged(before: Any, after: Any, chunk: int) -> None:
    for (path, old), (_, new) in zip(_leaves(before), _leaves(after), strict=True):
        if isinstance(old, Tensor) and not torch.equal(old, new):
            raise AssertionError(
                f"step changed its state{path} in place, in chunk {chunk}; a state is a value that can be used "
                "again: clone before writing"
            )


def _check_output(y: Tensor, whole: Tensor, lengths: Sequence[int], rate: Fraction) -> None:
    y = y.unsqueeze(-1) if y.dim() == 2 else y
    found = difference(y.flatten(2), whole.flatten(2), scale=greatest(whole))
    if found is not None:
        ends = [outputs_before(end, rate) for end in accumulate(lengths)]
        chunk = next(i for i, end in enumerate(ends) if found.at[1] < end)
        sample = found.at[1] - (ends[chunk - 1] if chunk else 0)
        raise AssertionError(
            f"in chunks of {brief_lengths(lengths)} the output differs at {site(found.at)} (in chunk {chunk}, its "
            f"sample {sample}): {found.actual:.6g} instead of {found.expected:.6g}, off by {found.size:.3g}. Look for "
            "a state that forgets inputs or the position"
        )


def _check_state(state: Any, expected: Any, what: str) -> None:
    mine, its = _leaves(state), _leaves(expected)
    if [path for path, _ in mine] != [path for path, _ in its]:
        raise AssertionError(
            f"{what} has the parts {[path for path, _ in mine]}, expected {[path for path, _ in its]}, as after "
            "one step over the whole"
        )
    for (path, leaf), (_, other) in zip(mine, its, strict=True):
        message = f"{what} differs from that of one step over the whole: {path or 'it'}"
        if not isinstance(other, Tensor):
            if leaf != other:
                raise AssertionError(f"{message} is {leaf!r} instead of {other!r}")
        elif leaf.shape != other.shape or leaf.dtype != other.dtype:
            raise AssertionError(
                f"{message} is {leaf.dtype} {tuple(leaf.shape)} instead of {other.dtype} {tuple(other.shape)}"
            )
        elif not other.is_floating_point():
            if not torch.equal(leaf, other):
                raise AssertionError(f"{message} is {leaf.tolist()} instead of {other.tolist()}")
        elif (found := difference(leaf, other, scale=greatest(other))) is not None:
            raise AssertionError(f"{message} is off by {found.size:.3g} at {site(found.at)}")


def _check_gradients(layer: Streams, x: Tensor, lengths: Sequence[int], rate: Fraction) -> None:
    def gradients(run: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        leaf = x.clone().requires_grad_()
        names, leaves = named_leaves(layer, leaf)
        y = run(leaf).flatten(2)
        if not y.requires_grad:
            return {name: torch.zeros_like(leaf) for name, leaf in zip(names, leaves, strict=True)}
        return projected_gradients(y, names, leaves, seed=1)

    whole = gradients(lambda x: output_of(layer, x, rate))
    chunked = gradients(lambda x: _run(layer, x, lengths, rate)[0])
    for name, gradient in chunked.items():
        found = difference(gradient, whole[name], scale=greatest(*whole.values()))
        if found is not None:
            raise AssertionError(
                f"in chunks of {brief_lengths(lengths)} the gradient in {name} differs at {site(found.at)}: "
                f"{found.actual:.6g} instead of {found.expected:.6g}. Look for a state that is detached, or made by "
                "operations without a gradient"
            )


def _check_ragged(layer: Streams, x: Tensor, empty: bool, rate: Fraction, grid: int, phase: int) -> None:
    """Rows that have seen lengths which differ by multiples of the grid continue in one batch."""
    time = x.shape[1]
    starts = [0 if empty else 1, max(1, time // 3), max(1, time // 2)]
    starts = [-(-start // grid) * grid + phase for start in starts]
    more = max(1, time // 2)
    rows = torch.cat([x, noise(x, 2), noise(x, 3, len(x), 2 * grid, x.shape[2])], 1)
    rows = rows[torch.arange(len(starts), device=x.device) % len(x)]
    states = []
    for i, start in enumerate(starts):
        states.append(layer.step(rows[i : i + 1, :start])[1])
        for path, leaf in _leaves(states[-1]):
            if not isinstance(leaf, Tensor) or leaf.dim() < 1 or leaf.shape[0] != 1:
                got = f"of shape {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else f"{leaf!r}"
                raise AssertionError(
                    f"the state{path} of one row is {got}; every part must be a tensor with the batch in front, "
                    "positions too, so that rows at different positions can go on in one batch (or pass ragged=False)"
                )
    together = pytree.tree_map(lambda *parts: torch.cat(parts), *states)
    chunk = torch.stack([row[start : start + more] for row, start in zip(rows, starts, strict=True)])
    y, _ = layer.step(chunk, together)
    for i, start in enumerate(starts):
        first = outputs_before(start, rate)
        alone = output_of(layer, rows[i : i + 1, : start + more], rate)[:, first:]
        found = difference(y[i : i + 1].reshape(alone.shape), alone, scale=greatest(alone))
        if found is not None:
            raise AssertionError(
                f"rows at the positions {starts} went on in one batch, and row {i} differs from itself alone at time "
                f"{first + found.at[1]}: {found.actual:.6g} instead of {found.expected:.6g}. Look for a position "
                "of the first row, or of none, that stands for all"
            )


def _leaves(state: Any) -> list[tuple[str, Any]]:
    return [(pytree.keystr(path), leaf) for path, leaf in pytree.tree_leaves_with_path(state)]
