"""Compare a whole model chunk by chunk, as `streaming` runs it, with the model on the whole signal."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dsptorch.isolation import preserved
from dsptorch.surgery.find import outermost
from dsptorch.surgery.hf_cache import cache_names
from dsptorch.surgery.streams.streaming import streaming
from dsptorch.testing._engine.change import sizes_of
from dsptorch.testing._engine.chunks import brief_lengths
from dsptorch.testing._engine.examples import examined
from dsptorch.testing._engine.origin import Recorder, first_to_forget
from dsptorch.testing._engine.outputs import Outputs, candidates, followers
from dsptorch.testing._engine.rates import outputs_before
from dsptorch.testing._engine.run import called, cuda_devices, named_tensors, seed_all
from dsptorch.testing.tolerances import RTOL, Difference, difference, first_unequal

Start = Callable[[], Callable[[Tensor], Any]]


class Streamed(NamedTuple):
    """A model and how it is called.

    Attributes:
        model: A module.
        start: Begins a signal: returns the function that is called with each chunk. None: `_Continued`.
        rate: Output samples per input sample.
        seed: The seed of the model's random numbers.
    """

    model: nn.Module
    start: Start | None
    rate: Fraction
    seed: int

    def differ(self, y: Tensor, whole: Tensor) -> Difference | None:
        """`first_difference` for a model whose output may be wider than what it computes in."""
        tensors = [*self.model.parameters(), *self.model.buffers(), y, whole]
        dtypes = {tensor.dtype for tensor in tensors} & RTOL.keys()
        return first_difference(y, whole, max(dtypes, key=RTOL.__getitem__, default=None))

    def whole(self, x: Tensor) -> Any:
        """The output for the whole signal, as if the model did not stream."""
        with self._unchanged(x):
            return called(self.model, x.clone())

    def in_chunks(self, x: Tensor, lengths: Sequence[int], take: Callable[[Tensor, Any], None]) -> None:
        """Run the model on chunk after chunk, and give each chunk and its output to a function.

        Raises:
            AssertionError: If a chunk fails.
        """
        streams = streaming(self.model) if outermost(self.model) else nullcontext()
        with streams, self._unchanged(x):
            call = self.start() if self.start else _Continued(self.model)
            if not callable(call):
                raise TypeError(f"start must return a function of a chunk, got {type(call).__name__}")
            for i, chunk in enumerate(x.split(list(lengths), 1)):
                try:
                    take(chunk, call(chunk.clone()))
                except Exception as error:
                    raise AssertionError(
                        f"chunk {i} of lengths {brief_lengths(lengths)} fails, {chunk.shape[1]} samples long: "
                        f"{type(error).__name__}: {error}"
                    ) from error

    @contextmanager
    def _unchanged(self, x: Tensor) -> Iterator[None]:
        """What the model keeps in attributes and buffers, an own cache, say, begins anew."""
        seed_all(self.seed, cuda_devices(self.model, x))
        with preserved(self.model, modes=False, attributes=True):
            yield


class _Continued:
    """Calls a model, and gives the cache in its output to the next call, as HuggingFace's `generate` does."""

    def __init__(self, model: nn.Module) -> None:
        signatures = (inspect.signature(module.forward) for module in model.modules())
        self.model, self.caches = model, {n for s in signatures for n in cache_names(s.parameters)}
        self.held: dict[str, Any] = {}

    def __call__(self, chunk: Tensor) -> Any:
        output = self.model(chunk, **self.held)
        found = {name: getattr(output, name, None) for name in self.caches}
        self.held = {name: cache for name, cache in found.items() if cache is not None}
        return output


def check_streamed(streamed: Streamed, x: Tensor, ways: Sequence[Sequence[int]]) -> None:
    """Raise unless a model in chunks of these lengths gives the numbers of the whole.

    Raises:
        AssertionError: If an output differs, or a chunk fails.
        ValueError: If the model gives other numbers for the same signal.
    """
    rate = streamed.rate

    def call(x: Tensor, streamed: Streamed = streamed) -> Outputs:
        return candidates(streamed.whole(x), x, rate)

    with examined(streamed.model, x):
        found = call(x)
        names = followers(found, x, call, rate)
        whole = {name: found[name] for name in names}
        for lengths in ways:
            outputs = _together(streamed, x, lengths, whole)
            for name, y in outputs.items():
                at = streamed.differ(y, whole[name])
                if at is None:
                    continue
                again = call(x, streamed._replace(seed=streamed.seed ^ 1))
                if streamed.differ(again[name], whole[name]) is not None:
                    raise ValueError(
                        "expected a model that repeats itself, got other outputs for the same whole signal: it "
                        "draws random numbers, or keeps a state that cannot be put back; turn that off"
                    )
                place = f" {name}" if name else ""
                raise AssertionError(
                    f"in chunks of {brief_lengths(lengths)} the output{place} differs from that of the whole signal, "
                    f"first at {_where(at, lengths, rate)}. {_blame(streamed, x, lengths)}"
                )


def first_difference(y: Tensor, whole: Tensor, dtype: torch.dtype | None = None) -> Difference | None:
    """The greatest difference beyond rounding at the first time that has one; numbers that count must be equal.

    Args:
        y: (batch, time, ...).
        whole: The same, as expected.
        dtype: The dtype whose tolerance applies; None for that of the signals.
    """
    if not y.numel():
        return None
    y, whole = (part.unsqueeze(-1).flatten(2) for part in (y, whole))
    if not (whole.is_floating_point() or whole.is_complex()):
        at = first_unequal(y.transpose(0, 1), whole.transpose(0, 1))
        if at is None:
            return None
        at = (at[1], at[0], at[2])
        return Difference(at, y[at].item(), whole[at].item(), 0.0)
    every = whole.reshape(1, -1, 1)
    scale = sizes_of({"": every.float() if every.dtype.itemsize < 4 else every})[""].min().item() or 1e-30
    if difference(y, whole, dtype=dtype, scale=scale) is None:
        return None
    for time in range(y.shape[1]):
        found = difference(y[:, time : time + 1], whole[:, time : time + 1], dtype=dtype, scale=scale)
        if found is not None:
            return found._replace(at=(found.at[0], time, found.at[2]))
    return None


def _together(streamed: Streamed, x: Tensor, lengths: Sequence[int], whole: Outputs) -> Outputs:
    """The outputs of the chunks one after another, as many samples of each as are due."""
    parts: dict[str, list[Tensor]] = {name: [] for name in whole}
    ends = [0, *accumulate(lengths)]

    def take(_chunk: Tensor, output: Any) -> None:
        count = len(next(iter(parts.values())))
        start, end = (outputs_before(ends[count + i], streamed.rate) for i in (0, 1))
        tensors = dict(named_tensors(output))
        for name, y in whole.items():
            expected, got = (len(y), end - start, *y.shape[2:]), tensors.get(name)
            if got is not None and got.numel() == prod(expected) and len(y) == 1:
                got = got.reshape(expected)  # a batch of one row may have been squeezed
            if got is None or got.shape != expected:
                raise ValueError(
                    f"the output{name and f' {name}'} must be of shape {expected}, got "
                    f"{'none' if got is None else tuple(got.shape)}"
                )
            parts[name].append(got.detach().clone())

    streamed.in_chunks(x, lengths, take)
    return {name: torch.cat(tensors, 1) for name, tensors in parts.items()}


def _blame(streamed: Streamed, x: Tensor, lengths: Sequence[int]) -> str:
    whole, chunks = Recorder(streamed.model), Recorder(streamed.model)
    with whole.recording():
        streamed.whole(x)
    with chunks.recording():
        streamed.in_chunks(x, lengths, lambda chunk, output: chunks.end_of_call())
    name = first_to_forget(whole, chunks, lambda y, other: streamed.differ(y, other) is not None)
    return (
        f"The first module whose output differs, although its input does not, is {name}: what it remembers does not "
        "reach from chunk to chunk. Look for attention without its cache, a call with use_cache=False, positions that "
        "begin anew, a convolution or a norm over time"
    )


def _where(found: Difference, lengths: Sequence[int], rate: Fraction) -> str:
    row, time, channel = found.at
    ends = [outputs_before(end, rate) for end in accumulate(lengths)]
    chunk = next(i for i, end in enumerate(ends) if time < end)
    sample = time - (ends[chunk - 1] if chunk else 0)
    return (
        f"time {time} (chunk {chunk}, its sample {sample}; row {row}, channel {channel}): {found.actual:.6g} instead "
        f"of {found.expected:.6g}, off by {found.size:.3g}"
    )
