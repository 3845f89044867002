"""Some blocks of the GPT at a lower rate: they see one frame for every `factor` tokens.

The stream passes by at the full rate, and the blocks add to it what they would have added to the frames::

    x -> x + up(f(down(x))),   f(h) = blocks(h) - h

A block of a pre-norm model adds to the stream and never replaces it, so what belongs into the stream at the full rate
is the blocks' increment f, not their output: x + up(blocks(down(x))) would add a smoothed copy of the stream to itself.
With f the untrained model is close to its plain twin, at factor 1 (and down, up the identity) it is the plain model,
and no detail of the stream is lost, whatever the frames leave out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from dsptorch import AtRate, Decimate, Layer, Residual, Upsample

from .errors import UsageError
from .model import GPT, Block, KVCache, rope_table

State = tuple[Tensor, ...]


class FrameCache(KVCache):
    """A `KVCache` of a fixed number of frames, made from a value and read back as one.

    Args:
        kv: the last `window` keys and values, (B, 2, H, window, D/H); the first are empty where there were fewer.
        seen: which of these and of the N new frames each new one sees, (B, 1, N, window + N).
    """

    def __init__(self, kv: Tensor, seen: Tensor) -> None:
        super().__init__(kv.shape[3])
        self.kv, self.seen = kv.transpose(0, 1), seen

    def value(self) -> Tensor:
        """Return the last keys and values, in memory of their own."""
        return cast(Tensor, self.kv).transpose(0, 1).contiguous()

    def mask(self, T: int, S: int, device: torch.device) -> Tensor:
        """Return `seen`."""
        return self.seen


def seen_frames(count: Tensor, new: int, window: int) -> Tensor:
    """Return which of `window` remembered and the new frames each new one sees: the last `window` that are there.

    Shape:
        count: how many of the remembered are there, (B,) -> (B, 1, new, window + new).
    """
    places = torch.arange(window + new, device=count.device)
    near = torch.ones(new, window + new, dtype=torch.bool, device=count.device).tril(window).triu(1)
    return near & (places >= (window - count)[:, None, None, None])


class Trunk(nn.Module):
    """What consecutive blocks add to the frames: blocks(h) - h.

    Args:
        blocks: the blocks.
        d_model: the width of the frames.
        n_head: attention heads of a block.
        window: the frames that attention sees.
        rope: whether queries and keys are rotated, by the number of their frame.

    Shape:
        (B, N, D) -> (B, N, D), N frames.
    """

    def __init__(
        self, blocks: Iterable[nn.Module], *, d_model: int, n_head: int, window: int, rope: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.d_model, self.n_head, self.window, self.rope = d_model, n_head, window, rope

    def forward(self, frames: Tensor) -> Tensor:
        """Map whole sequences."""
        if frames.shape[1] > self.window:
            return self.step(frames)[0]
        return self._increment(frames, [None] * len(self.blocks), frames.shape[1])

    def step(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Map the next frames.

        Args:
            frames: (B, N, D).
            state: what the last call returned: of each block the last keys and values, (B, 2, H, window, D/H), and at
                the end how many frames came before, at most `window`, (B,). None: no frames yet. It is not changed.
        """
        B, N = frames.shape[:2]
        if state is None:
            shape = (B, 2, self.n_head, self.window, self.d_model // self.n_head)
            count = torch.zeros(B, dtype=torch.int64, device=frames.device)
            state = (*(frames.new_zeros(shape) for _ in self.blocks), count)
        *windows, count = state
        if N == 0:
            return frames, state
        seen = seen_frames(count, N, self.window)
        caches = [FrameCache(kv, seen) for kv in windows]
        y = self._increment(frames, caches, self.window + N)
        return y, (*(cache.value() for cache in caches), (count + N).clamp(max=self.window))

    def _increment(self, frames: Tensor, caches: Iterable[FrameCache | None], places: int) -> Tensor:
        # RoPE depends on distances alone, so places in the window do for the numbers of the frames.
        rope = rope_table(places, self.d_model // self.n_head, frames) if self.rope else None
        h = frames
        for block, cache in zip(self.blocks, caches, strict=True):
            h = block(h, rope, cache)
        return h - frames


class SlowCache:
    """What a `SlowBlocks` remembers between calls.

    Args:
        context: the greatest length.
    """

    def __init__(self, context: int) -> None:
        self.context, self.length = context, 0
        self.state: Any = None  # of the layer

    def __len__(self) -> int:
        """Return the number of tokens so far, at most `context`, as a `KVCache` would remember them."""
        return self.length


class SlowBlocks(nn.Module):
    """Blocks at a lower rate, in the place of one block of the GPT: the stream in, the stream out."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, rope: Tensor | None = None, cache: SlowCache | None = None) -> Tensor:
        """Map the stream (B, T, D) -> (B, T, D); `rope` is that of the tokens, and not used."""
        if cache is None:
            return cast(Tensor, self.layer(x))
        y, cache.state = self.layer.step(x, cache.state)
        cache.length = min(cache.length + x.shape[1], cache.context)
        return y

    def empty_cache(self, context: int) -> SlowCache:
        """Return what `forward` continues from: nothing yet."""
        return SlowCache(context)


def slow_down(
    gpt: GPT,
    blocks: list[int] | None = None,
    factor: int = 4,
    down: dict[str, Any] | None = None,
    up: dict[str, Any] | None = None,
) -> None:
    """Run some blocks of a GPT at a lower rate. A window of `context` tokens is `context / factor` frames for them.

    Args:
        gpt: the plain model, which is changed: one module, `SlowBlocks`, takes the place of the blocks.
        blocks: the numbers of the blocks, one after the other; None: all but the first and the last.
        factor: tokens a frame, a divisor of the context.
        down: keyword arguments of dsptorch.Decimate.
        up: keyword arguments of dsptorch.Upsample.

    Raises:
        UsageError: If these are not such blocks, the factor does not divide the context, or a filter is late.
    """
    shape, n = gpt.config, len(gpt.blocks)
    chosen = list(range(1, n - 1)) if blocks is None else list(blocks)
    if (
        not chosen
        or chosen != list(range(chosen[0], chosen[0] + len(chosen)))
        or not 0 <= chosen[0] <= n - len(chosen)
    ):
        raise UsageError(
            f"arm.at_rate.blocks: expected numbers of blocks of 0 to {n - 1} in a row, as in [1, 2], got {chosen}; "
            "change them"
        )
    if not isinstance(factor, int) or factor < 1 or shape.context % factor:
        raise UsageError(
            f"arm.at_rate.factor: expected a divisor of model.context={shape.context}, got {factor}; change either"
        )
    first, end = chosen[0], chosen[-1] + 1
    trunk = Trunk(
        gpt.blocks[first:end],
        d_model=shape.d_model,
        n_head=shape.n_head,
        window=shape.context // factor,
        rope=gpt.position is None,
    )
    layer = AtRate(
        trunk,
        factor,
        down=Decimate(shape.d_model, factor, **(down or {})),
        up=Upsample(shape.d_model, factor, **(up or {})),
    )
    if layer.delay:
        raise UsageError(
            f"arm.at_rate: expected filters without a declared delay, got {layer.delay} tokens, by which the stream "
            "at the full rate would wait for the frames and be late; give down and up delay: 0"
        )
    slow = cast(Block, SlowBlocks(Residual(layer)))
    gpt.blocks = nn.ModuleList([*gpt.blocks[:first], slow, *gpt.blocks[end:]])
