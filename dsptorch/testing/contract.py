"""The contract of a layer, as a table of checks: a name, and a function of a `Subject`."""

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.testing._engine.examples import examined
from dsptorch.testing._engine.rates import outputs_before
from dsptorch.testing._engine.subject import BLOCKS, LONGEST, NotApplicable, Subject, subject_of
from dsptorch.testing.causality import assert_causal, max_lookahead
from dsptorch.testing.compilation import assert_compiles
from dsptorch.testing.dtypes import assert_dtypes
from dsptorch.testing.export import assert_exports
from dsptorch.testing.gradients import assert_gradients
from dsptorch.testing.length import assert_length_invariant
from dsptorch.testing.mutation import assert_no_mutation, check_changeable
from dsptorch.testing.packing import assert_packs
from dsptorch.testing.receptive_field import assert_receptive_field
from dsptorch.testing.resets import assert_resets
from dsptorch.testing.serialization import assert_serializes
from dsptorch.testing.streaming import assert_streaming_equals_batch
from dsptorch.testing.time_invariance import assert_shift_covariant
from dsptorch.testing.tolerances import assert_close

__all__ = ["CONTRACT", "NotApplicable", "Subject", "subject_of"]


def check_metadata(subject: Subject) -> None:
    """Metadata are integers in their ranges."""
    layer = subject.layer
    if not isinstance(layer.rate, Fraction) or layer.rate <= 0:
        raise AssertionError(f"rate must be a fractions.Fraction, above 0, got {layer.rate!r}")
    if not isinstance(layer.streams, bool):
        raise AssertionError(f"streams must be True or False, got {layer.streams!r}")
    for name, least, optional in (
        ("d_model", 1, False),
        ("d_out", 1, False),
        ("grid", 1, False),
        ("lookahead", 0, False),
        ("delay", 0, False),
        ("period", 1, True),
        ("receptive_field", 1, True),
    ):
        value = getattr(layer, name)
        if value is None and optional:
            continue
        kinds = (int, Fraction) if name == "delay" else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds) or value < least:
            kind = f"an int{' or a Fraction' * (name == 'delay')}, at least {least}" + ", or None" * optional
            raise AssertionError(f"{name} must be {kind}, got {value!r}")
    if (layer.grid * layer.rate).denominator > 1:
        raise AssertionError(
            f"grid * rate must be an integer, got {layer.grid} * {layer.rate}; a block of inputs makes whole outputs"
        )
    if layer.period is not None and layer.period % layer.grid:
        raise AssertionError(f"period must be a multiple of grid, got {layer.period} and {layer.grid}")
    if layer.receptive_field is not None and layer.lookahead >= layer.receptive_field:
        raise AssertionError(
            f"lookahead must be less than receptive_field, got {layer.lookahead} and {layer.receptive_field}"
        )


def check_shapes(subject: Subject) -> None:
    """T samples of any number of rows make ceil(T * rate) of width d_out, T = 0 too; no row depends on another."""
    rate, grid, longest = subject.layer.rate, subject.layer.grid, subject.x.shape[1]
    times = {0, 1, 2, 3, 5, longest} | ({grid - 1, grid, grid + 1, 2 * grid - 1} if grid > 1 else set())
    for batch in (0, 1, 2):
        for time in sorted(time for time in times if time <= longest):
            x = subject.x[torch.arange(batch) % len(subject.x), :time]
            with examined(subject.jittered, x):
                try:
                    y = subject.jittered(x)
                except Exception as error:
                    raise AssertionError(
                        f"an input of shape {tuple(x.shape)} fails: {type(error).__name__}: {error}"
                    ) from error
            expected = (batch, outputs_before(time, rate), subject.layer.d_out)
            if y.shape != expected or y.dtype != x.dtype:
                raise AssertionError(
                    f"{x.dtype} {tuple(x.shape)} came out as {y.dtype} {tuple(y.shape)}"
                    + (
                        ""
                        if expected == x.shape
                        else f", expected {expected}: rate is {rate}, d_out is {expected[2]}"
                    )
                )
    with examined(subject.jittered, subject.x):
        y = subject.jittered(subject.x)
        for i in range(len(subject.x)):
            assert_close(subject.jittered(subject.x[i : i + 1]), y[i : i + 1], what=f"row {i} alone")
        columns = subject.x.transpose(1, 2).contiguous().transpose(1, 2)
        assert_close(
            subject.jittered(columns), y, what="the output for the same input in another memory layout"
        )
        with torch.enable_grad():
            assert_close(subject.jittered(subject.x), y, what="the output while gradients are recorded")


def check_lookahead(subject: Subject) -> None:
    """The layer looks no further ahead than `lookahead`."""
    if subject.layer.lookahead == 0:
        assert_causal(subject.jittered, subject.x[:1], jitter=False)
        return
    seen = max_lookahead(subject.jittered, subject.x[:1], jitter=False)
    if seen > subject.layer.lookahead:
        raise AssertionError(
            f"it says that it looks ahead by {subject.layer.lookahead} samples, but some output by {seen}"
        )


def check_receptive_field(subject: Subject) -> None:
    """The layer looks no further back than `receptive_field`."""
    field = subject.layer.receptive_field
    if field is None:
        raise NotApplicable("the layer says that it never forgets: receptive_field is None")
    if field - subject.layer.lookahead >= subject.x.shape[1]:
        raise NotApplicable(f"the example is no longer than the receptive field of {field} samples")
    assert_receptive_field(subject.jittered, subject.x[:1], field, lookahead=subject.layer.lookahead)


def check_period(subject: Subject) -> None:
    """A shift of the input by `period` shifts the output by period * rate."""
    if subject.layer.period is None:
        raise NotApplicable("the layer says that it commutes with no shift: period is None")
    settle = (subject.layer.receptive_field or 1) - 1
    if settle >= subject.x.shape[1]:
        raise NotApplicable(f"the example is no longer than the receptive field of {settle + 1} samples")
    assert_shift_covariant(subject.jittered, subject.x[:1], subject.layer.period, settle=settle)


def check_length(subject: Subject) -> None:
    """The output does not depend on the length of the signal, and every prefix makes ceil(t * rate) samples."""
    assert_length_invariant(subject.jittered, subject.x[:1], lookahead=subject.layer.lookahead)


def check_streaming(subject: Subject) -> None:
    """Chunks give the same numbers as the whole; a layer that looks ahead or does not stream refuses them."""
    layer = subject.layer
    if layer.lookahead == 0 and layer.streams:
        assert_streaming_equals_batch(subject.jittered, _not_long(subject))
        return
    try:
        subject.jittered.step(subject.x)
    except ValueError:
        return
    raise AssertionError(
        f"step must raise ValueError, since the layer looks ahead by {layer.lookahead} samples: a chunk "
        "cannot know what comes"
        if layer.lookahead
        else "step must raise ValueError, since the layer says that it does not stream"
    )


def _not_long(subject: Subject) -> Tensor:
    grid = subject.layer.grid
    return subject.x[:, : LONGEST if grid == 1 else max(LONGEST, BLOCKS * grid + 1)]


def check_segments(subject: Subject) -> None:
    """Signals packed into one row do not see each other, and padding is seen by none."""
    layer, x = subject.jittered, _not_long(subject)[:2]
    grid = layer.grid
    if grid > 1:
        if x.shape[1] < BLOCKS * grid:
            raise NotApplicable(f"the example is shorter than {BLOCKS} blocks of {grid} samples")
        try:
            layer(
                x[:, : 2 * grid], torch.arange(2 * grid).div(grid, rounding_mode="floor").expand(len(x), -1)
            )
        except ValueError as error:
            raise NotApplicable(f"the layer refuses several signals in one row: {error}") from error
    assert_packs(layer, x)


def check_state(subject: Subject) -> None:
    """The state counts inputs: position is int64, one a row; rows that disagree modulo the grid are refused."""
    if subject.layer.lookahead:
        raise NotApplicable("the layer looks ahead, and has no state")
    if not subject.layer.streams:
        raise NotApplicable("the layer says that it does not stream, and has no state")
    with examined(subject.jittered, subject.x):
        _, state = subject.jittered.step(subject.x)
        position = getattr(state, "position", None)
        expected = torch.full(
            (len(subject.x),), subject.x.shape[1], dtype=torch.int64, device=subject.x.device
        )
        if not (
            isinstance(position, Tensor) and position.dtype == torch.int64 and torch.equal(position, expected)
        ):
            raise AssertionError(
                f"state.position must be {expected} after {subject.x.shape[1]} samples, got {position!r}"
            )
        for batch in (1, len(subject.x) + 1):
            try:
                subject.jittered.step(
                    subject.x[torch.arange(batch) % len(subject.x)], subject.jittered.step(subject.x[:0])[1]
                )
            except ValueError:
                continue
            raise AssertionError(f"step must raise ValueError for {batch} rows with the state of none")
        _check_phases(subject)


def _check_phases(subject: Subject) -> None:
    """Rows at positions that differ by a multiple of the grid go on together; others are refused, on the CPU."""
    layer, grid = subject.jittered, subject.layer.grid
    if grid == 1 or subject.x.device.type != "cpu":
        return
    x = torch.cat([subject.x[:1, :1]] * 2)
    state = layer.step(x)[1]
    for apart, refused in ((grid, False), (1, True)):
        position = state.position + apart * torch.arange(2)
        try:
            layer.step(x, state._replace(position=position))
        except ValueError as error:
            if not refused:
                raise AssertionError(
                    f"rows at the positions {position.tolist()}, a grid of {grid} apart, are refused: {error}"
                ) from error
        else:
            if refused:
                raise AssertionError(
                    f"rows at the positions {position.tolist()} must be refused by ValueError: they disagree modulo "
                    f"the grid of {grid}"
                )


def check_mutation(subject: Subject) -> None:
    """The layer changes neither input nor state, and returns new memory, which may be changed in place."""
    assert_no_mutation(subject.jittered, subject.x, views=False)
    check_changeable(subject.jittered, subject.x)
    if subject.layer.lookahead == 0 and subject.layer.streams:
        with examined(subject.jittered, subject.x):
            _, state = subject.jittered.step(subject.x)
        assert_no_mutation(lambda x, state: subject.jittered.step(x, state)[0], subject.x, state, views=False)
        assert_no_mutation(subject.jittered.step, subject.x, state)
        check_changeable(lambda x: subject.jittered.step(x)[0], subject.x)


def check_gradients(subject: Subject) -> None:
    """First and second derivatives are those of the function."""
    assert_gradients(subject.jittered, subject.x[:1, : max(7, 2 * (subject.layer.period or 1))][:, :24])


def check_dtypes(subject: Subject) -> None:
    """The output has the dtype of the input, and is as precise as that dtype allows."""
    assert_dtypes(subject.jittered, subject.x)


def check_serializes(subject: Subject) -> None:
    """Copies of the layer, and loaded ones, give the same numbers."""
    assert_serializes(subject.jittered, subject.x, factory=subject.factory)


def check_resets(subject: Subject) -> None:
    """A layer that is built on the meta device gets its first values from `reset_parameters`."""
    for part in subject.layer.modules():
        own = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
        if own and not (hasattr(part, "reset_parameters") or hasattr(part, "_reset_parameters")):
            raise NotApplicable(f"the first values of {type(part).__name__}, which it holds, are not known")
    assert_resets(subject.layer)


def check_compiles(subject: Subject) -> None:
    """The layer compiles into one graph."""
    assert_compiles(subject.jittered, subject.x[:, : max(9, subject.layer.grid + 1)], backend=subject.backend)


def check_exports(subject: Subject) -> None:
    """The layer exports."""
    assert_exports(subject.jittered, subject.x[:, : max(9, subject.layer.grid + 1)])


CONTRACT: dict[str, Callable[[Subject], None]] = {
    "metadata": check_metadata,
    "shapes": check_shapes,
    "lookahead": check_lookahead,
    "receptive_field": check_receptive_field,
    "period": check_period,
    "length": check_length,
    "streaming": check_streaming,
    "segments": check_segments,
    "state": check_state,
    "mutation": check_mutation,
    "gradients": check_gradients,
    "dtypes": check_dtypes,
    "serializes": check_serializes,
    "resets": check_resets,
    "compiles": check_compiles,
    "exports": check_exports,
}
"""The contract of a layer, by name."""
