"""The contract that every layer keeps."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dsptorch.functional import stream
from dsptorch.functional.pattern import Pattern
from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.functional.segments import Segments, check_segment_ids, find_segments
from dsptorch.functional.validate import check_int, check_signal
from dsptorch.layers.context import current_call


class PositionState(NamedTuple):
    """What a layer remembers that acts on each moment by itself.

    Attributes:
        position: The absolute time of the next sample of each row: int64, (batch,).
        segment: The segment id of the last sample of each row, 0 if there were no ids: int64, (batch,).
    """

    position: Tensor
    segment: Tensor

    @staticmethod
    def after(x: Tensor, state: "PositionState | None", segments: Segments | None = None) -> "PositionState":
        """The state after a chunk."""
        return PositionState(*stream.next_place(x, state, segments))


class Layer(nn.Module, ABC):
    """A layer on sequences, (batch, time, d_model), that knows what it sees and runs in chunks.

    A subclass implements `process` and the four properties; `forward` and `step` are then one computation
    with two entries.

        layer(x)                 the whole sequence
        layer.step(x, state)     the next chunk; chunk by chunk the result equals the whole

    Args:
        d_model: The width: channels of the last dimension.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.d_model = check_int("d_model", d_model, least=1)

    @property
    @abstractmethod
    def lookahead(self) -> int:
        """The most future samples that y[t] may use; 0 means causal."""

    @property
    def delay(self) -> int:
        """The samples by which the output is late: y[t] stands for x[t - delay]."""
        return 0

    @property
    @abstractmethod
    def period(self) -> int | None:
        """The layer commutes with time shifts by multiples of this; None if with no shift."""

    @property
    @abstractmethod
    def receptive_field(self) -> int | None:
        """The length of the stretch of input that y[t] may use; None if unbounded."""

    @abstractmethod
    def process(self, x: Tensor, state: Any, segments: Segments | None = None) -> tuple[Tensor, Any]:
        """Compute the next chunk from a state (None: at rest, at position 0), changing neither.

        With `segments` history and position begin anew where a segment does; the state's last two fields are then
        `segments.next_position` and `segments.last`.
        """

    def forward(self, x: Tensor, segment_ids: Tensor | None = None) -> Tensor:
        """Apply the layer to whole sequences.

        Args:
            x: The sequences.
            segment_ids: Which signal of its row each sample belongs to, integers. The layer begins anew, at rest and
                at position 0, wherever the id changes, so that several signals packed into one row do not see each
                other. Negative ids, -1 by custom, are padding, which passes unchanged and is seen by nothing. None:
                each row is one signal, unless `segmented` says otherwise.

        Shape:
            x: (batch, time, d_model) -> the same shape and dtype. segment_ids: (batch, time).

        Raises:
            TypeError, ValueError: If x or segment_ids is not such a tensor.
        """
        self._check(x)
        if current_call().continues and (self.receptive_field, self.period) != (1, 1):
            raise ValueError(
                f"{type(self).__name__} is in a model that was called with a cache of the tokens before these, whose "
                "history it would lose; call the model within dsptorch.streaming(model), or with the whole sequence "
                "and no cache (use_cache=False)"
            )
        return self._run(x, None, segment_ids)[0]

    def step(self, x: Tensor, state: Any = None, segment_ids: Tensor | None = None) -> tuple[Tensor, Any]:
        """Apply the layer to the next chunk of every row.

        Args:
            x: The next samples, any number of them.
            state: What the last call returned; None is at rest, at position 0.
            segment_ids: As for `forward`; a chunk that begins with the id that the last one ended with goes on
                with its signal. None goes on with the present one.

        Returns:
            The output, and the state for the next call: a tuple of tensors with one row a batch row.

        Raises:
            TypeError, ValueError: If the layer looks ahead, the state belongs to another number of rows, or
                segment_ids is no such tensor.
        """
        self._check(x)
        if self.lookahead:
            raise ValueError(
                f"{type(self).__name__} looks ahead by {self.lookahead} samples and cannot run in chunks; "
                "build it with causal=True, or apply it to whole sequences"
            )
        if state is not None and state.position.shape != x.shape[:1]:
            raise ValueError(
                f"{type(self).__name__} got a chunk of {x.shape[0]} rows and a state of "
                f"{tuple(state.position.shape)}; pass the state of these rows, or None to start anew"
            )
        return self._run(x, state, segment_ids)

    def _run(self, x: Tensor, state: Any, segment_ids: Tensor | None) -> tuple[Tensor, Any]:
        if segment_ids is None:
            segment_ids = current_call().segment_ids
        if segment_ids is None:
            return self.process(x, state)
        ids = check_segment_ids(segment_ids, x)
        if _is_one_signal(ids, state):
            return self.process(x, state)
        place = (None, None) if state is None else (state.position, state.segment)
        found = find_segments(ids, *place)
        padding = found.padding.unsqueeze(-1)
        # Padding may hold anything, NaN too, which no gradient of a weight must meet.
        y, state = self.process(x.masked_fill(padding, 0), state, found)
        return torch.where(padding, x, y), state

    def _check(self, x: Tensor) -> None:
        check_signal(x, self.d_model, type(self).__name__)


def _is_one_signal(ids: Tensor, state: Any) -> bool:
    """Whether the ids say what None says, as those of a mask of ones do; asked where the answer costs nothing."""
    if ids.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return not ids.any() and (state is None or not state.segment.any())


class FilterLayer(Layer):
    """A layer that is one `PeriodicFIR`: a subclass says which in `filter`, all else follows."""

    @abstractmethod
    def filter(self) -> PeriodicFIR:
        """The filter with the present weights and hyperparameters."""

    @property
    def pattern(self) -> Pattern:
        """The taps that the filter may have: its structure, which no weight changes."""
        return self.filter().node.pattern

    @property
    def lookahead(self) -> int:  # noqa: D102
        return self.pattern.lookahead

    @property
    def period(self) -> int:  # noqa: D102
        return self.pattern.period

    @property
    def receptive_field(self) -> int:  # noqa: D102
        return self.pattern.lookahead + 1 + self.pattern.memory

    def process(  # noqa: D102
        self, x: Tensor, state: stream.FIRState | None, segments: Segments | None = None
    ) -> tuple[Tensor, stream.FIRState]:
        return stream.step(self.filter().node, x, state, segments)
