"""The contract that every layer keeps."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dsptorch.functional import stream
from dsptorch.functional.pattern import Pattern
from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.functional.validate import check_int, check_signal


class PositionState(NamedTuple):
    """What a layer remembers that acts on each moment by itself.

    Attributes:
        position: The absolute time of the next sample of each row: int64, (batch,).
    """

    position: Tensor

    @staticmethod
    def after(x: Tensor, state: "PositionState | None") -> "PositionState":
        """The state after a chunk."""
        if state is None:
            return PositionState(torch.full((x.shape[0],), x.shape[1], dtype=torch.int64, device=x.device))
        return PositionState(state.position + x.shape[1])


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
    def process(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Compute the next chunk from a state (None: at rest, at position 0), changing neither."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to a whole sequence."""
        self._check(x)
        return self.process(x, None)[0]

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Apply the layer to the next chunk of every row.

        Args:
            x: The next samples, any number of them.
            state: What the last call returned; None is at rest, at position 0.

        Returns:
            The output, and the state for the next call: a tuple of tensors with one row a batch row.

        Raises:
            ValueError: If the layer looks ahead, or the state belongs to another number of rows.
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
        return self.process(x, state)

    def _check(self, x: Tensor) -> None:
        check_signal(x, self.d_model, type(self).__name__)


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

    def process(self, x: Tensor, state: stream.FIRState | None) -> tuple[Tensor, stream.FIRState]:  # noqa: D102
        return stream.step(self.filter().node, x, state)
