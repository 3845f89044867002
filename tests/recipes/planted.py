"""The recipe with a planted bug, in a process of its own: python planted.py BUG train ..."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
STOPPED = 12  # the step before which "stop" ends the run


def stop() -> None:
    """End the run between two checkpoints. No bug: what a kill does, at a step that is known."""
    update = gpt.train._update

    def stopped(*args: Any, step: int, **kwargs: Any) -> float:
        if step == STOPPED:
            raise SystemExit("stopped")
        return update(*args, step=step, **kwargs)

    gpt.train._update = stopped


def equal_batches() -> None:
    """Every process draws the part of the first."""
    sample = gpt.train.sample_batch
    gpt.train.sample_batch = lambda *args, rank, **kwargs: sample(*args, rank=0, **kwargs)


def own_gradients() -> None:
    """Every process takes the gradient of its own part for that of the batch."""
    no_sync = Fabric.no_backward_sync
    Fabric.no_backward_sync = lambda self, module, enabled: no_sync(self, module, enabled=True)


def own_weights() -> None:
    """Every process starts from other weights, and so holds a shard of another model."""
    model = gpt.train._model

    def seeded(config: Any) -> Any:
        torch.manual_seed(int(os.environ["RANK"]))
        return model(config)

    gpt.train._model = seeded


BUGS: dict[str, Callable[[], None]] = {
    f.__name__: f for f in (stop, equal_batches, own_gradients, own_weights)
}

if __name__ == "__main__":
    sys.path.insert(0, str(RECIPES))
    import gpt.train
    import torch
    from gpt_enwik8 import main
    from lightning.fabric import Fabric

    BUGS[sys.argv[1]]()
    main(sys.argv[2:])
