"""A byte-level GPT to put layers into: nanoGPT's, with its norms and additions inside the sublayers.

The residual stream enters and leaves every named module of this list, so a layer can be inserted before
or after any of them, and the model never knows::

    blocks.*            the stream in, the stream out
    blocks.*.attn       the same: x + attn(norm(x))
    blocks.*.mlp        the same: x + mlp(norm(x))
    blocks.*.attn.norm  the stream in, what attention reads out
    blocks.*.mlp.norm   the stream in, what the MLP reads out
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import UsageError
from .ranges import BelowOne, Count, Range, check


@dataclass
class GPTConfig:
    """The shape of a plain model.

    Args:
        vocab_size: number of tokens; 256 for bytes.
        n_layer: number of blocks.
        n_head: attention heads a block, each of an even width.
        d_model: width of the residual stream.
        context: longest sequence in tokens, and the window of attention when generating.
        positions: "rope" rotates queries and keys, "learned" adds a table to the embedding.
        mlp_width: width of the MLP's hidden layer; null is four times d_model.
        dropout: probability, on the embedding, the attention weights and both branches.
    """

    vocab_size: Count = 256
    n_layer: Count = 4
    n_head: Count = 4
    d_model: Count = 128
    context: Annotated[int, Range(2)] = 256
    positions: Literal["rope", "learned"] = "rope"
    mlp_width: Count | None = None
    dropout: BelowOne = 0.0

    def __post_init__(self) -> None:
        """Refuse a shape that no model has."""
        check(GPTConfig, vars(self), "model.")
        if self.d_model % (2 * self.n_head):
            raise UsageError(
                f"model: expected heads of an even width, got {self.d_model} over {self.n_head} heads; "
                f"make d_model a multiple of {2 * self.n_head}"
            )


class KVCache:
    """What one attention layer remembers between calls: its last `window` keys and values.

    Keys are kept before rotation and rotated by their place in the window when they are read. RoPE depends
    on distances alone, so this equals rotation by absolute position, and no angle ever grows.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.kv: Tensor | None = None  # (2, B, H, length, D/H)

    def __len__(self) -> int:
        """Return the number of remembered positions."""
        return 0 if self.kv is None else self.kv.shape[3]

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of the past and of this chunk, and remember the last of them."""
        kv = torch.stack((k, v))  # (2, B, H, T, D/H)
        if self.kv is not None:
            kv = torch.cat((self.kv, kv), dim=3)  # (2, B, H, past + T, D/H)
        self.kv = kv[:, :, :, -self.window :]
        return kv[0], kv[1]

    def mask(self, T: int, S: int, device: torch.device) -> Tensor | None:
        """Return which of the S positions each of the last T sees: itself and the window - 1 before it; None: causal.

        Shape:
            (T, S), or more dimensions that broadcast to (B, H, T, S).
        """
        if S == T:
            return None
        return torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T).triu(S - T - self.window + 1)


def rope_table(length: int, width: int, like: Tensor) -> Tensor:
    """Return cosines and sines, (2, length, width / 2), of RoPE's angles t * 10000^(-2i / width).

    They are on the device of `like`, in float32, or float64 if `like` is.
    """
    device, dtype = like.device, torch.promote_types(like.dtype, torch.float32)
    frequency = 10_000.0 ** (-torch.arange(0, width, 2, device=device, dtype=dtype) / width)
    angle = torch.arange(length, device=device, dtype=dtype)[:, None] * frequency
    return torch.stack((angle.cos(), angle.sin()))


def rotate(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate the pairs (x[i], x[i + width/2]) of x: (B, H, T, width) by rope: (2, T, width/2)."""
    cos, sin = rope
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).to(x.dtype)


class CausalAttention(nn.Module):
    """Causal multi-head attention on a sequence, or on the next chunk of one that a cache remembers."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head, self.dropout = config.n_head, config.dropout
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.proj = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, x: Tensor, rope: Tensor | None, cache: KVCache | None) -> Tensor:
        """Attend: x (B, T, D), rope (2, past + T, D/H/2) or None -> (B, T, D)."""
        B, T, D = x.shape
        q, k, v = (
            self.qkv(x).view(B, T, 3, self.n_head, D // self.n_head).permute(2, 0, 3, 1, 4)
        )  # each (B, H, T, D/H)
        if cache is not None:
            k, v = cache.append(k, v)  # (B, H, S, D/H), S = past + T
        S = k.shape[2]
        if rope is not None:
            q, k = rotate(q, rope[:, S - T :]), rotate(k, rope)
        seen = None if cache is None else cache.mask(T, S, x.device)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout, is_causal=seen is None)
        return self.proj(y.transpose(1, 2).reshape(B, T, D))  # type: ignore[no-any-return]


class AttentionSublayer(nn.Module):
    """The stream plus attention on its normed copy."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        self.attn = CausalAttention(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, rope: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """Map the stream (B, T, D) -> (B, T, D)."""
        return x + self.dropout(self.attn(self.norm(x), rope, cache))  # type: ignore[no-any-return]


class MLPSublayer(nn.Module):
    """The stream plus an MLP on its normed copy."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        hidden = config.mlp_width or 4 * config.d_model
        self.mlp = nn.Sequential(
            nn.Linear(config.d_model, hidden, bias=False),
            nn.GELU(),
            nn.Linear(hidden, config.d_model, bias=False),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map the stream (B, T, D) -> (B, T, D)."""
        return x + self.dropout(self.mlp(self.norm(x)))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A transformer block: attention, then an MLP, each added to the stream."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attn = AttentionSublayer(config)
        self.mlp = MLPSublayer(config)

    def forward(self, x: Tensor, rope: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """Map the stream (B, T, D) -> (B, T, D)."""
        return self.mlp(self.attn(x, rope, cache))  # type: ignore[no-any-return]

    def empty_cache(self, context: int) -> KVCache:
        """Return what `forward` continues from: nothing yet."""
        return KVCache(context)


class GPT(nn.Module):
    """Bytes in, the logits of the next byte out; the head is tied to the embedding.

    Args:
        config: the shape of the model.

    Shape:
        ids: (B, T) int64, T <= context -> logits: (B, T, vocab_size).
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.d_model)
        learned = config.positions == "learned"
        self.position = nn.Embedding(config.context, config.d_model) if learned else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        # As GPT-2: the 2 n_layer branches that are summed have the variance of one.
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                branch = name.endswith(("proj.weight", "mlp.2.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * config.n_layer) ** 0.5 if branch else 0.02)
        self.head.weight = self.embed.weight

    def empty_cache(self) -> list[Any]:
        """Return what `forward` continues from, one of each block: nothing yet."""
        blocks = [block.empty_cache(self.config.context) for block in self.blocks]  # type: ignore[operator]
        return [*blocks, self.embed.empty_cache()] if self._embed_remembers() else blocks  # type: ignore[operator]

    def _embed_remembers(self) -> bool:
        """Whether the embedding, which an arm may replace, looks at bytes before those that it is given."""
        return hasattr(self.embed, "empty_cache")

    def forward(self, ids: Tensor, cache: list[Any] | None = None) -> Tensor:
        """Return the logits of every next token; with a cache, continue the sequence that it remembers."""
        context, new = self.config.context, ids.shape[1]
        past = len(cache[0]) if cache else 0
        if new > context:
            raise ValueError(f"expected at most context={context} tokens a call, got {new}; pass chunks")
        if self.position is not None and past + new > context:
            raise ValueError(
                f"expected at most context={context} learned positions, got {past + new}; "
                "generate less, or use RoPE, whose window slides"
            )
        x = (
            self.embed(ids, cache[-1]) if cache and self._embed_remembers() else self.embed(ids)
        )  # (B, T) -> (B, T, D)
        rope = None
        if self.position is None:
            rope = rope_table(past + new, self.config.d_model // self.config.n_head, x)
        else:
            x = x + self.position(torch.arange(past, past + new, device=ids.device))
        x = self.dropout(x)
        for i, block in enumerate(self.blocks):
            x = block(x, rope, cache[i] if cache else None)
        return self.head(self.norm(x))  # type: ignore[no-any-return]  # (B, T, D) -> (B, T, V)
