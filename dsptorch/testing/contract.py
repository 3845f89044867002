"""The contract of a layer, as a table of checks: a name, and a function of a `Subject`."""

import copy
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from dsptorch.layers import Layer
from dsptorch.testing._engine.examples import examined, noise
from dsptorch.testing._engine.jitter import jittered
from dsptorch.testing.causality import assert_causal, max_lookahead
from dsptorch.testing.compilation import assert_compiles
from dsptorch.testing.dtypes import assert_dtypes
from dsptorch.testing.export import assert_exports
from dsptorch.testing.gradients import assert_gradients
from dsptorch.testing.length import assert_length_invariant
from dsptorch.testing.mutation import assert_no_mutation
from dsptorch.testing.packing import assert_packs
from dsptorch.testing.receptive_field import assert_receptive_field
from dsptorch.testing.serialization import assert_serializes
from dsptorch.testing.streaming import assert_streaming_equals_batch
from dsptorch.testing.time_invariance import assert_shift_covariant
from dsptorch.testing.tolerances import assert_close

_LONGEST = 160  # samples of a signal that we make ourselves


class Subject(NamedTuple):
    """The layer that is checked, and what the checks need.

    Attributes:
        layer: The layer as it came.
        jittered: A copy in float64 whose parameters are jittered: a gain of 0 would hide what is behind it.
        x: A signal for it, float64.
        factory: Builds another such layer; None: there is only this one.
        backend: The backend of `torch.compile`.
    """

    layer: Layer
    jittered: Layer
    x: Tensor
    factory: Callable[[], Layer] | None
    backend: str


class NotApplicable(Exception):  # noqa: N818, it is not an error
    """A check does not apply: its message says why."""


def subject_of(
    layer: Layer, example: Tensor | None, factory: Callable[[], Layer] | None, backend: str
) -> Subject:
    """Make what the checks need of a layer.

    Raises:
        TypeError: If it is not a dsptorch layer.
        AssertionError: If it cannot be copied.
    """
    if not isinstance(layer, Layer):
        raise TypeError(
            f"expected a dsptorch.Layer, got {type(layer).__name__}; the single checks, as "
            "dsptorch.testing.assert_streaming_equals_batch, take any module"
        )
    try:
        copied = copy.deepcopy(layer)
    except Exception as error:
        raise AssertionError(f"deepcopy fails: {type(error).__name__}: {error}") from error
    copied = cast(Layer, (jittered(copied) or copied).double().eval())
    if example is None:
        parameter = next(layer.parameters(), torch.empty(0))
        example = noise(parameter.detach(), 0, 2, _length(layer), layer.d_model)
    return Subject(layer, copied, example.detach().double(), factory, backend)


def _length(layer: Layer) -> int:
    """A length above twice the period plus the receptive field."""
    return min(_LONGEST, 2 * (layer.period or 4) + (layer.receptive_field or 16) + layer.lookahead + 7)


def check_metadata(subject: Subject) -> None:
    """Metadata are integers in their ranges."""
    layer = subject.layer
    for name, least, optional in (
        ("d_model", 1, False),
        ("lookahead", 0, False),
        ("delay", 0, False),
        ("period", 1, True),
        ("receptive_field", 1, True),
    ):
        value = getattr(layer, name)
        if value is None and optional:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            kind = f"an int, at least {least}" + (", or None" if optional else "")
            raise AssertionError(f"{name} must be {kind}, got {value!r}")
    if layer.receptive_field is not None and layer.lookahead >= layer.receptive_field:
        raise AssertionError(
            f"lookahead must be less than receptive_field, got {layer.lookahead} and {layer.receptive_field}"
        )


def check_shapes(subject: Subject) -> None:
    """Any batch size and length, 0 too, stays the same, and no row depends on another."""
    for batch in (0, 1, 2):
        for time in (0, 1, 2, 3, 5, subject.x.shape[1]):
            x = subject.x[torch.arange(batch) % len(subject.x), :time]
            with examined(subject.jittered, x):
                try:
                    y = subject.jittered(x)
                except Exception as error:
                    raise AssertionError(
                        f"an input of shape {tuple(x.shape)} fails: {type(error).__name__}: {error}"
                    ) from error
            if y.shape != x.shape or y.dtype != x.dtype:
                raise AssertionError(f"{x.dtype} {tuple(x.shape)} came out as {y.dtype} {tuple(y.shape)}")
    with examined(subject.jittered, subject.x):
        y = subject.jittered(subject.x)
        for i in range(len(subject.x)):
            assert_close(subject.jittered(subject.x[i : i + 1]), y[i : i + 1], what=f"row {i} alone")
        columns = subject.x.transpose(1, 2).contiguous().transpose(1, 2)
        assert_close(
            subject.jittered(columns), y, what="the output for the same input in another memory layout"
        )


def check_lookahead(subject: Subject) -> None:
    """The layer looks no further ahead than `lookahead`."""
    if subject.layer.lookahead == 0:
        assert_causal(subject.jittered, subject.x[:1])
        return
    seen = max_lookahead(subject.jittered, subject.x[:1])
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
    """The layer commutes with shifts by `period`."""
    if subject.layer.period is None:
        raise NotApplicable("the layer says that it commutes with no shift: period is None")
    settle = (subject.layer.receptive_field or 1) - 1
    if settle >= subject.x.shape[1]:
        raise NotApplicable(f"the example is no longer than the receptive field of {settle + 1} samples")
    assert_shift_covariant(subject.jittered, subject.x[:1], subject.layer.period, settle=settle)


def check_length(subject: Subject) -> None:
    """The output does not depend on the length of the signal."""
    assert_length_invariant(subject.jittered, subject.x[:1], lookahead=subject.layer.lookahead)


def check_streaming(subject: Subject) -> None:
    """In chunks it gives the same numbers; or it refuses chunks, if it looks ahead."""
    if subject.layer.lookahead == 0:
        assert_streaming_equals_batch(subject.jittered, subject.x[:, :_LONGEST])
        return
    try:
        subject.jittered.step(subject.x)
    except ValueError:
        return
    raise AssertionError(
        f"step must raise ValueError, since the layer looks ahead by {subject.layer.lookahead} samples: a chunk "
        "cannot know what comes"
    )


def check_segments(subject: Subject) -> None:
    """Signals packed into one row do not see each other, and padding is seen by none."""
    assert_packs(subject.jittered, subject.x[:2, :_LONGEST])


def check_state(subject: Subject) -> None:
    """The state counts: position is int64, one a row."""
    if subject.layer.lookahead:
        raise NotApplicable("the layer looks ahead, and has no state")
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


def check_mutation(subject: Subject) -> None:
    """The layer changes neither input nor state, and returns new memory."""
    assert_no_mutation(subject.jittered, subject.x, views=False)
    if subject.layer.lookahead == 0:
        with examined(subject.jittered, subject.x):
            _, state = subject.jittered.step(subject.x)
        assert_no_mutation(lambda x, state: subject.jittered.step(x, state)[0], subject.x, state, views=False)
        assert_no_mutation(subject.jittered.step, subject.x, state)


def check_gradients(subject: Subject) -> None:
    """First and second derivatives are those of the function."""
    assert_gradients(subject.jittered, subject.x[:1, : max(7, 2 * (subject.layer.period or 1))][:, :24])


def check_dtypes(subject: Subject) -> None:
    """The layer keeps every dtype, and its precision."""
    assert_dtypes(subject.jittered, subject.x)


def check_serializes(subject: Subject) -> None:
    """Copies of the layer are the same."""
    assert_serializes(subject.jittered, subject.x, factory=subject.factory)


def check_compiles(subject: Subject) -> None:
    """The layer compiles into one graph."""
    assert_compiles(subject.jittered, subject.x[:, :9], backend=subject.backend)


def check_exports(subject: Subject) -> None:
    """The layer exports."""
    assert_exports(subject.jittered, subject.x[:, :9])


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
    "compiles": check_compiles,
    "exports": check_exports,
}
"""The contract of a layer, by name."""
