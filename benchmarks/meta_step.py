"""Time what a MetaController adds to a training step of the recipe's GPT with the study's three blocks.

    python benchmarks/meta_step.py

The setting is that of the study of hyperparameters (recipes/configs/hyperparams_good.yaml on rope.yaml), in eager. A
round of an arm is `every` training steps, the last of which ends with a meta-update.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
import torch.nn.functional as F
from harness import Timing, add_options, add_torch_options, facts, print_facts, round_robin, save, table
from torch import Tensor, nn

from dsptorch import MetaController, param_groups

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

from gpt.adaptive import AdaptiveDSP, find_hyperparams
from gpt.arms import build
from gpt.config import CONFIGS, TrainConfig, load_config

FIXED = "hyperparameters fixed"
TRAINING = "direct, on training gradients"
VALIDATION = "direct, on a validation batch"


def loss_fn(model: nn.Module, ids: Tensor) -> Tensor:
    logits = model(ids[:, :-1])  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def steps_of(arm: str, config: TrainConfig, ids: Tensor, every: int) -> Callable[[], None]:
    """Return a call that makes `every` updates of a new model."""
    torch.manual_seed(config.seed)
    model = build(config.model, config.arm).to(ids.device)
    hyperparams = find_hyperparams(model, AdaptiveDSP().learnable_params)
    controller = None
    if arm == FIXED:
        for hyperparam in hyperparams.values():
            hyperparam.freeze()
        groups = param_groups(model, weight_decay=config.weight_decay)
    else:
        controller = MetaController(model, every=every, hyperparams=hyperparams)
        groups = controller.inner_param_groups(weight_decay=config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2))
    weights = [p for group in groups for p in group["params"]]

    def steps() -> None:
        for _ in range(every):
            loss = loss_fn(model, ids)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, config.clip)
            optimizer.step()
            optimizer.zero_grad()
            if controller:
                controller.step(loss, val_loss=(lambda m: loss_fn(m, ids)) if arm == VALIDATION else None)

    return steps


def report(timings: dict[str, Timing], every: int) -> str:
    """Return the table."""
    fixed = timings[FIXED].median
    rows = [
        [name, f"{t.median / every:.1f}", f"{100 * (t.median / fixed - 1):+.1f} %" if name != FIXED else ""]
        for name, t in timings.items()
    ]
    return table(["arm", "median ms a step", "over fixed"], rows)


def main() -> None:
    """Time and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--every", type=int, default=20, help="steps between updates (default: %(default)s)")
    add_options(parser, "meta_step", repeats=15)
    add_torch_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    known = facts(options.device)
    print_facts(known)
    config = load_config(
        [CONFIGS / "rope.yaml", CONFIGS / "hyperparams_good.yaml"], ["--seed", str(options.seed)]
    )
    torch.manual_seed(options.seed)
    shape = (config.batch_size, config.model.context + 1)
    ids = torch.randint(config.model.vocab_size, shape, device=options.device)
    arms = {name: steps_of(name, config, ids, options.every) for name in (FIXED, TRAINING, VALIDATION)}
    for steps in arms.values():
        steps()
    timings = round_robin(arms, options.repeats, options.device, warmup=0)
    print(f"batch {config.batch_size} x {config.model.context} bytes, {options.every} steps a round\n")
    print(report(timings, options.every))
    result: dict[str, Any] = {"facts": known, "options": vars(options), "milliseconds": timings}
    save(options.output, result)


if __name__ == "__main__":
    main()
