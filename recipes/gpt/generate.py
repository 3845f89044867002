"""Text from a checkpoint, a token at a time: a KV cache for attention, the layers' own state for the rest.

With RoPE the window of attention slides: past `context` tokens every token sees the last `context` ones,
and the inserted layers go on from their state without an end. With learned positions it ends at `context`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from dsptorch import Layer, streaming

from .arms import Arm, build
from .batches import BYTES
from .checkpoint import fitting, read_checkpoint
from .errors import UsageError
from .evaluate import evaluating
from .model import GPT, GPTConfig
from .ranges import Count, NotNegative, Range, Seed, checked


def load_model(checkpoint: Path) -> GPT:
    """Return the trained model of a checkpoint, in eval mode.

    Raises:
        CheckpointError: There is none, or it does not fit.
    """
    state = read_checkpoint(checkpoint)
    with fitting(f"expected a configuration and the weights of its model in {checkpoint}"):
        model = build(GPTConfig(**state["config"]["model"]), Arm(**state["config"]["arm"]))
        model.load_state_dict(state["model"])
    return model.eval()


def continuing(model: GPT) -> AbstractContextManager[object]:
    """Return the context in which inserted layers, where there are any, go on from their own state."""
    inserted = any(isinstance(module, Layer) for module in model.modules())
    return streaming(model) if inserted else nullcontext()


@checked
def generate(
    model: GPT,
    prompt: bytes,
    length: Annotated[int, Range(0)],
    *,
    temperature: NotNegative = 0.8,
    top_k: Count = 40,
    seed: Seed = 0,
    emit: Callable[[bytes], None] = lambda _: None,
) -> bytes:
    """Return `length` new bytes.

    Args:
        model: trained on bytes.
        prompt: what the text begins with; at least one byte.
        length: number of new bytes.
        temperature: divides the logits; 0 takes the likeliest byte.
        top_k: how many of the likeliest bytes to draw from.
        seed: of the draws.
        emit: called with every new byte as it comes.

    Raises:
        UsageError: An argument out of its range, an empty prompt, or more positions than the model has learned.
    """
    if not prompt:
        raise UsageError("expected a prompt of at least one byte, got none; give some text to continue")
    total = len(prompt) + length - 1
    if model.position is not None and total > model.config.context:
        raise UsageError(
            f"expected prompt and text within the {model.config.context} learned positions, got {total}; "
            "shorten either, or use a model with RoPE"
        )
    device = model.embed.weight.device
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor(list(prompt), device=device)[None]  # (1, T)
    with evaluating(model), continuing(model):
        cache = model.empty_cache()
        for chunk in torch.split(ids, model.config.context, dim=1):
            logits = model(chunk, cache)  # (1, t, V)
        text = bytearray()
        while len(text) < length:
            token = _draw(logits[0, -1].float().cpu(), temperature, top_k, generator)
            text.append(token)
            emit(bytes([token]))
            if len(text) < length:
                logits = model(torch.tensor([[token]], device=device), cache)  # (1, 1, V)
    return bytes(text)


def _draw(logits: Tensor, temperature: float, top_k: int, generator: torch.Generator) -> int:
    """Draw a byte from logits (V,); a vocabulary may be wider than the bytes that it is trained on."""
    logits = logits[:BYTES]
    if temperature == 0:
        return int(logits.argmax())
    best, tokens = logits.topk(min(top_k, len(logits)))
    below = (best - best[0]).double() / temperature  # a temperature near 0 makes infinities of it, not NaN
    return int(tokens[torch.multinomial(below.softmax(0), 1, generator=generator)])


def streaming_error(model: GPT, ids: Tensor) -> float:
    """Return the largest difference between the logits of the full forward and those of token by token.

    Args:
        model: any arm.
        ids: (B, T) int64, T <= context.
    """
    with evaluating(model):
        full = model(ids)  # (B, T, V)
        with continuing(model):
            cache = model.empty_cache()
            steps = [model(ids[:, t : t + 1], cache) for t in range(ids.shape[1])]  # each (B, 1, V)
    return float((torch.cat(steps, dim=1) - full).abs().max())
