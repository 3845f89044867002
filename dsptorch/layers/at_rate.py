"""A module that runs at a lower rate."""

from fractions import Fraction
from typing import Any, cast

import torch
from torch import Tensor, nn

from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.layers.base import Layer
from dsptorch.layers.call_context import Call, enter_call
from dsptorch.layers.calling import is_hooked
from dsptorch.layers.chain import Chain
from dsptorch.layers.pointwise import in_dtype_of
from dsptorch.layers.resample import Decimate, Upsample

__all__ = ["AtRate", "layer_of"]


class AtRate(Chain):
    """Run a module on every `factor`-th time step: decimate, apply it, upsample.

        y = up(module(down(x)))

    The layer has rate 1 and streams sample by sample. The module gets ceil(time / factor) frames, so its cost falls by
    `factor`, and the cost of attention in it by `factor` squared.

    Args:
        module: A `Layer` of rate 1, or any module (batch, frames, d_model) -> the same shape that is causal in its
            frames (`dsptorch.testing.assert_causal` checks this). The layer streams if the module has
            `step(x, state)`, which returns the output and the new state (a tuple of tensors with one row per batch row)
            and changes neither argument. State None means at rest; only then may x hold 0 frames. A module with
            `step` is run by it and never called, so it must not have forward hooks.
        factor: The factor by which the rate falls, at least 1.
        d_model: The width. None takes the module's attribute `d_model`.
        down: The layer before the module, of rate 1 / factor. None takes `Decimate(d_model, factor)`.
        up: The layer after the module, of rate `factor`. None takes `Upsample(d_model, factor)`, which holds.
        device: The device of the default `down` and `up`.
        dtype: The dtype of the default `down` and `up`.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described, or the rates do not fit. From a call: if the module
            changes the shape; if it has `step` and forward hooks; or, since a module that is not a `Layer` cannot keep
            segments apart, if a row holds more than one segment at its beginning and padding after it.

    Example:
        >>> from dsptorch import FIR, AtRate
        >>> layer = AtRate(FIR(8, 3), factor=4)
        >>> layer(torch.randn(2, 10, 8)).shape
        torch.Size([2, 10, 8])
        >>> layer.rate, layer.period, layer.lookahead
        (Fraction(1, 1), 4, 0)

    References:
        P. Nawrot et al., Hierarchical Transformers Are More Efficient Language Models, 2021, arXiv 2110.13711, sec. 2
        (shortening, and the shift that keeps it causal, which the decimator has by itself).
    """

    def __init__(
        self,
        module: nn.Module,
        factor: int,
        *,
        d_model: int | None = None,
        down: Layer | None = None,
        up: Layer | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_int("factor", factor, least=1)
        inner = layer_of("AtRate", module, d_model)
        width = inner.d_model if d_model is None else d_model
        down = Decimate(width, factor, device=device, dtype=dtype) if down is None else down
        up = Upsample(inner.d_out, factor, device=device, dtype=dtype) if up is None else up
        super().__init__(down, inner, up)
        if (down.rate, inner.rate, up.rate) != (Fraction(1, factor), Fraction(1), Fraction(factor)):
            raise ValueError(
                f"AtRate with factor={factor} needs a down of rate 1/{factor}, a module of rate 1 and an up of rate "
                f"{factor}, got rates {down.rate}, {inner.rate} and {up.rate}"
            )
        self.factor = factor


def layer_of(name: str, module: nn.Module, d_model: int | None = None) -> Layer:
    """Return a layer unchanged, and wrap any other module, which must be causal in its frames, as a layer.

    Args:
        name: The name of the caller, for errors.
        module: The module.
        d_model: The width of the module. None takes its attribute `d_model`.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"{name}: module must be an nn.Module, got {type(module).__name__}")
    if isinstance(module, Layer):
        return module
    d_model = getattr(module, "d_model", None) if d_model is None else d_model
    if d_model is None:
        raise ValueError(
            f"{name} needs the width of {type(module).__name__}, which has no attribute d_model; give d_model"
        )
    return _Frames(module, d_model, name)


class _Frames(Layer):
    """Wraps a module that is causal in its frames as a layer."""

    def __init__(self, module: nn.Module, d_model: int, owner: str) -> None:
        super().__init__(d_model)
        self.module, self.owner = module, owner
        self.streams = callable(getattr(module, "step", None))

    lookahead = 0
    period = None
    receptive_field = None

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:
        self._check_segments(timeline, begun=memory is not None)
        if memory is not None and x.shape[1] == 0:  # no frame is due
            return x, memory
        # Layers inside the module must not see the segment ids of the outer rate.
        outer = enter_call(Call(None, explicit=True))
        try:
            if self.streams:
                self._refuse_hooks()
                y, memory = cast(Any, self.module).step(in_dtype_of(self.module, x), memory)
            else:
                y = self.module(in_dtype_of(self.module, x))
        finally:
            enter_call(outer)
        if not isinstance(y, Tensor) or y.shape != x.shape:
            got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(
                f"{self.owner} needs a module that keeps the shape, but {type(self.module).__name__} made {got} of "
                f"{tuple(x.shape)}"
            )
        return y.to(x.dtype), memory if self.streams else ()

    def _refuse_hooks(self) -> None:
        if is_hooked(self.module):
            kind = type(self.module).__name__
            raise ValueError(
                f"{self.owner} runs {kind} by its method step, past the forward hooks that {kind} has, or what "
                "replaced its forward; take them off, put them on modules inside it, or give "
                f"{self.owner} a module without step"
            )

    def _check_segments(self, timeline: Timeline, begun: bool) -> None:
        """Raise if a segment begins after the module's first frame: a row may hold one segment, then padding."""
        segments = timeline.segments
        if segments is None or torch.compiler.is_compiling():
            return
        begins = (segments.position == 0) & ~segments.padding
        later = begins if begun else begins[:, 1:]  # than the module's first frame
        if later.device.type != "cpu":
            torch._assert_async(
                ~later.any(), f"{self.owner} runs a module that cannot keep several segments of a row apart"
            )
            return
        if later.any():
            raise ValueError(
                f"{self.owner} runs {type(self.module).__name__}, which cannot keep several segments of a row apart; "
                f"put one signal into each row, with padding after it, or give {self.owner} a dsptorch layer"
            )
