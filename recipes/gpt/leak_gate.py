"""The leak gate: a model whose past depends on its future is not trained on, and not saved."""

from __future__ import annotations

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from dsptorch.testing import assert_causal

from .errors import LeakError
from .evaluate import evaluating


def leak_gate(fabric: Fabric, model: nn.Module, ids: Tensor, *, vocab_size: int, step: int) -> None:
    """Stop the run if any logit depends on a later token: checked at every position of one real row, (1, T).

    Trained weights can open a leak that fresh ones hide (a branch that starts at zero), so the gate is run
    again before every checkpoint. It runs in eval mode (in train mode too, where that differs),
    uncompiled, and leaves mode and randomness alone.

    Raises:
        LeakError: The model looks ahead.
        FloatingPointError: Its logits are not finite.
    """
    ids = ids.to(fabric.device)
    with torch.compiler.set_stance("force_eager"), evaluating(model):
        finite = model(ids).isfinite().all().item()
    if not finite:
        raise FloatingPointError(
            f"expected finite logits, got NaN or infinity after step {step}; lower --lr, or raise --warmup, and start "
            "again"
        )
    try:
        with torch.compiler.set_stance("force_eager"):
            # jitter=False: it is the trained weights that are tested, again and again.
            assert_causal(model, ids, vocab_size=vocab_size, jitter=False)
    except AssertionError as error:
        raise LeakError(
            f"expected a causal model, got one that looks ahead after step {step}: {error}. "
            "The run is stopped, and nothing of it is saved as good from here on: its loss would mean "
            "nothing. Take the leaking layer out, or make it causal"
        ) from error
