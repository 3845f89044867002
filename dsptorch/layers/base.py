"""The contract of all layers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from dsptorch.functional.dynamo import guard_hooks, without_none
from dsptorch.functional.filtering import filter_chunk
from dsptorch.functional.fold import Weight, fold
from dsptorch.functional.memo import Memo
from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.functional.plan import Literal, Plan, Shift
from dsptorch.functional.state import State, next_state, timeline_of
from dsptorch.functional.timeline import Segments, Timeline
from dsptorch.functional.validate import check_int, check_signal
from dsptorch.hyperparams import FirstValues
from dsptorch.layers.call_context import current_call
from dsptorch.layers.calling import Carry, Process, by_calling, is_plain

__all__ = ["FilterLayer", "Layer", "State", "call_layer"]

_LARGEST = 2**12  # taps of all phases of a channel: folded weights of larger filters are not cached


class Layer(FirstValues, ABC):
    """Base class of layers on sequences (batch, time, d_model). A layer declares what it sees and runs in chunks.

    A subclass implements `process` and three properties; `forward` and `step` are two entry points of this one
    computation. Both are calls of the module, so its hooks run, with a tensor as input and a tensor as output.

        layer(x)                 the whole sequence
        layer.step(x, state)     the next chunk; chunk by chunk the result equals the whole

    After t input samples, ceil(t * rate) output samples are out, in `forward` and in `step`, for any chunks. The
    output has the dtype of the input, for parameters and states of any dtype. It shares no memory with the input, so
    it may be changed in place.

    Args:
        d_model: The width of the input: channels of the last dimension.
        d_out: The width of the output; None for d_model.

    Attributes:
        rate: Output samples per input sample, a Fraction; 1 unless a layer says otherwise.
        grid: Number of input samples after which every rate changer in the layer begins a new block; 1 if nothing in
            the layer changes the rate. Rows of a batch must agree in position modulo the grid, and packed segments must
            begin at multiples of it.
        streams: Whether `step` is available (lookahead aside); False around a module that has no `step`.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time * rate), d_out), in the same dtype.
    """

    rate = Fraction(1)
    grid = 1
    streams = True

    def __init__(self, d_model: int, d_out: int | None = None) -> None:
        super().__init__()
        self.d_model = check_int("d_model", d_model, least=1)
        self.d_out = self.d_model if d_out is None else check_int("d_out", d_out, least=1)

    @property
    @abstractmethod
    def lookahead(self) -> int:
        """Number of input samples after floor(n / rate) that y[n] may use; 0 means causal."""

    @property
    def delay(self) -> int | Fraction:
        """Delay of the output in input samples: y[n] stands for x at time n / rate - delay."""
        return 0

    @property
    @abstractmethod
    def period(self) -> int | None:
        """Period in input samples: a shift of the input by it shifts the output by period * rate. None if aperiodic."""

    @property
    @abstractmethod
    def receptive_field(self) -> int | None:
        """Number of consecutive input samples that y[n] may use; None if unbounded."""

    @abstractmethod
    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:
        """Compute the next chunk, without changing the chunk or the memory.

        Args:
            x: The chunk.
            memory: The memory returned by the previous call; None at rest.
            timeline: The times of the samples. The layer must restart where a segment begins.

        Returns:
            The output, and the memory for the next call: a tensor with one row per batch row, a tuple of such tensors,
            or () for no memory.
        """

    def forward(self, x: Tensor, segment_ids: Tensor | None = None, *, carry: Carry | None = None) -> Tensor:
        """Apply the layer to whole sequences.

        Args:
            x: The sequences.
            segment_ids: For each sample, the integer id of its signal within the row. The layer restarts, at rest and
                at position 0, wherever the id changes, so that several signals packed into one row do not see each
                other. Negative ids (-1 by convention) are padding: it passes unchanged (if the layer changes rate or
                width, the output there is 0), and no other sample sees it. None means that each row is one signal,
                unless the call is inside `segmented`.
            carry: The memory and the timeline of a chunk. Passed by `step` and by layers that contain this one.

        Shape:
            x: (batch, time, d_model) -> (batch, ceil(time * rate), d_out), in the same dtype. segment_ids:
            (batch, time).

        Raises:
            TypeError, ValueError: If x or segment_ids is not as described.
        """
        if torch.compiler.is_dynamo_compiling():
            guard_hooks(self)
        if carry is not None:
            self._check(x)  # a hook may have replaced x
            y, carry.after = self.process(x, carry.memory, carry.timeline)
            return y
        call = current_call()
        if call.has_cache and (self.receptive_field, self.period) != (1, 1):
            raise ValueError(
                f"{type(self).__name__} is in a model that was called with a cache of the tokens before these, whose "
                "history it would lose; call the model within dsptorch.streaming(model), or with the whole sequence "
                "and no cache (use_cache=False)"
            )
        self._check(x)
        ids = call.ids_of(x, type(self).__name__) if segment_ids is None else segment_ids
        return self._run(self.process, x, None, ids)[0]

    def step(
        self, x: Tensor, state: State | None = None, segment_ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Apply the layer to the next chunk of every row.

        Args:
            x: The next samples, any number.
            state: The state returned by the previous call; None for rest at position 0.
            segment_ids: See `forward`. A chunk whose first id equals the last id of the previous chunk continues
                that signal. None continues the present signal.

        Returns:
            The output, and the state for the next call.

        Raises:
            TypeError, ValueError: If the layer looks ahead, the state has another number of rows, the rows are out of
                phase, or segment_ids is not as described.
        """
        return self.step_by(partial(call_layer, self), x, state, segment_ids)

    def step_by(
        self, process: Process, x: Tensor, state: State | None = None, segment_ids: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`step` with another function in place of `process`, for code between the module's hooks and its forward."""
        self._check(x)
        if self.lookahead:
            raise ValueError(
                f"{type(self).__name__} looks ahead by {self.lookahead} samples and cannot run in chunks; "
                "build it with causal=True, or apply it to whole sequences"
            )
        if not self.streams:
            raise ValueError(
                f"{type(self).__name__} holds a module without step(x, state) and cannot run in chunks; give that "
                "module a step, or apply the layer to whole sequences"
            )
        if state is not None and not isinstance(state, State):
            raise TypeError(
                f"{type(self).__name__} got a state of type {type(state).__name__}; step returns (output, state): pass "
                "that state, or None to start anew"
            )
        if state is not None and state.position.shape != x.shape[:1]:
            raise ValueError(
                f"{type(self).__name__} got a chunk of {x.shape[0]} rows and a state of "
                f"{tuple(state.position.shape)}; pass the state of these rows, or None to start anew"
            )
        ids = current_call().ids_of(x, type(self).__name__) if segment_ids is None else segment_ids
        y, timeline, memory = self._run(process, x, state, ids)
        return y, next_state(x, state, timeline, memory, self.grid)

    def _run(
        self, process: Process, x: Tensor, state: State | None, segment_ids: Tensor | None
    ) -> tuple[Tensor, Timeline, Any]:
        timeline = timeline_of(x, state, segment_ids, self.grid)
        memory = None if state is None else state.memory
        if timeline.segments is None:
            y, memory = process(x, memory, timeline)
            return _own_memory(y, x), timeline, memory
        padding = timeline.segments.padding.unsqueeze(-1)
        # Padding may hold anything, even NaN, which must not reach the gradient of a weight.
        y, memory = process(x.masked_fill(padding, 0), memory, timeline)
        if self.rate == 1 and self.d_out == self.d_model:
            return torch.where(padding, x, y), timeline, memory
        after = cast(Segments, timeline.resampled(self.rate).segments)
        return y.masked_fill(after.padding.unsqueeze(-1), 0), timeline, memory

    def _check(self, x: Tensor) -> None:
        check_signal(x, self.d_model, type(self).__name__)


def call_layer(layer: Layer, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:
    """Run `process` of a layer within its hooks, if any. Layers made of layers run their parts by this function."""
    # A replaced forward may be a wrapper's, which copies the attributes of its layer. Dynamo finds hooks by itself.
    direct = type(layer).forward is Layer.forward and is_plain(layer)
    if direct and not torch.compiler.is_dynamo_compiling():
        return layer.process(x, memory, timeline)
    return by_calling(layer, x, memory, timeline)


class FilterLayer(Layer):
    """A layer that is one `PeriodicFIR`: a plan, and a list of weights.

    Args:
        d_model: The width.
        plan: The structure of the filter. A subclass returns the weights of its slots from `weights`.
    """

    def __init__(self, d_model: int, plan: Plan) -> None:
        super().__init__(d_model)
        self.plan = plan
        support = plan.support
        worth = not isinstance(plan, (Literal, Shift)) and support.period * len(support.lags) <= _LARGEST
        self._folded = Memo() if worth else None

    @abstractmethod
    def weights(self) -> Sequence[Weight]:
        """The current weights and hyperparameters, one for each slot of the plan."""

    def filter(self) -> PeriodicFIR:
        """The layer as a filter with the current weights and hyperparameters."""
        return PeriodicFIR(self.plan, self.weights())

    @property
    def lookahead(self) -> int:  # noqa: D102
        return self.plan.support.lookahead

    @property
    def period(self) -> int:  # noqa: D102
        return self.plan.support.period

    @property
    def receptive_field(self) -> int:  # noqa: D102
        return self.plan.support.lookahead + 1 + self.plan.support.memory

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        plan, weights = self.plan, tuple(self.weights())
        if torch.compiler.is_dynamo_compiling():
            from dsptorch.functional.dynamo import filter_chunk as untraced  # noqa: PLC0415

            return untraced(plan, weights, x, without_none(memory), without_none(timeline))  # type: ignore[no-any-return]
        folded = None
        if self._folded is not None and memory is not None:
            folded = self._folded(lambda: fold(plan, weights, x), (*weights, x.dtype))
        return filter_chunk(plan, weights, x, memory, timeline, folded)


def _own_memory(y: Tensor, x: Tensor) -> Tensor:
    """Return an output that may be changed in place: a copy if it is the input or a view of the input."""
    if torch.compiler.is_dynamo_compiling():  # Dynamo recognizes a view by its base only
        shared = y is x or (y._base is not None and (y._base is x or y._base is x._base))
    else:
        shared = y is x or torch._C._is_alias_of(y, x)  # type: ignore[attr-defined]
    return y.clone() if shared else y


def whole(value: Fraction) -> int | Fraction:
    """Return a fraction as an int if it is a whole number."""
    return value.numerator if value.denominator == 1 else value
