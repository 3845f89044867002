"""Train a GPT with its middle blocks at the full rate and at lower ones, in turns, and save loss against time.

    python benchmarks/at_rate_losses.py --data enwiki_head.xml.bz2

The setting is the quick start's (recipes/configs/rope.yaml: 4 layers, d_model 128, batch 8 x 256 bytes), the middle two
of whose blocks run at rate 1, 1/2 or 1/4. The models of one seed take turns, step by step, so that whatever else the
machine does meets all of them. All see the same windows of the text and the same schedule of the learning rate, which
ends at the last step.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from at_rate import arms
from harness import Timing, add_options, add_torch_options, facts, print_facts, save, table
from lightning.fabric import Fabric
from torch import Tensor, nn

from dsptorch import param_groups

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

from gpt.arms import build
from gpt.batches import sample_batch
from gpt.config import CONFIGS, TrainConfig, load_config
from gpt.data import load_splits
from gpt.evaluate import evaluate, next_byte_loss
from gpt.train import learning_rate

FABRIC = Fabric(accelerator="cpu")
CHECKED = 64  # windows of the validation text, the same for all


class Run:
    """A model in training: its losses at steps, and the milliseconds of every step."""

    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = build(config.model, config.arm)
        groups = param_groups(self.model, weight_decay=config.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2))
        self.times: list[float] = []
        self.losses: list[float] = []

    def step(self, text: Tensor, number: int) -> None:
        """Make one update, and note its time."""
        began = time.perf_counter()
        config = self.config
        ids, targets = sample_batch(
            text,
            context=config.model.context,
            batch_size=config.batch_size,
            seed=config.seed,
            step=number,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(number, config)
        next_byte_loss(self.model, ids, targets).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.times.append(1e3 * (time.perf_counter() - began))

    def check(self, text: Tensor) -> None:
        """Note the loss on the first windows of a text."""
        context = self.config.model.context
        windows = text[: CHECKED * context + 1]
        self.losses.append(evaluate(FABRIC, self.model, windows, context=context, batch_size=8))


def main() -> None:
    """Train, time and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="a text, as the recipe's --data")
    parser.add_argument("--factors", type=int, nargs="+", default=[2, 4], help="(default: %(default)s)")
    parser.add_argument("--every", type=int, default=25, help="steps between losses (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: %(default)s)")
    add_options(parser, "at_rate_losses", repeats=300)
    add_torch_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    known = facts(options.device)
    print_facts(known)

    splits = load_splits(options.data)
    config = load_config([CONFIGS / "rope.yaml", CONFIGS / "at_rate.yaml"])
    config = replace(config, steps=options.repeats, warmup=options.repeats // 10)
    chosen = [(name, arm) for name, arm in arms(config, options.factors).items() if arm.model == config.model]
    losses: dict[str, list[list[float]]] = {name: [] for name, _ in chosen}
    times: dict[str, list[float]] = {name: [] for name, _ in chosen}
    for seed in options.seeds:
        runs = {name: Run(replace(arm, seed=seed)) for name, arm in chosen}
        for number in range(options.repeats):
            for run in runs.values():
                if number % options.every == 0:
                    run.check(splits.val)
                run.step(splits.train, number)
        for name, run in runs.items():
            run.check(splits.val)
            losses[name].append([round(loss, 4) for loss in run.losses])
            times[name] += run.times
            print(f"seed {seed}, {name}: {run.losses[-1]:.4f} nats", flush=True)

    timings = {name: Timing.of(spent) for name, spent in times.items()}
    print(table(["model", "median ms a step (quartiles)"], [[name, str(t)] for name, t in timings.items()]))
    result: dict[str, Any] = {
        "facts": known,
        "data": Path(options.data).name,
        "seeds": options.seeds,
        "steps": [*range(0, options.repeats, options.every), options.repeats],
        "tokens": config.batch_size * config.model.context,
        "validation nats": losses,
        "milliseconds": {
            name: {"median": round(t.median, 3), "quartiles": [round(q, 3) for q in t.quartiles]}
            for name, t in timings.items()
        },
    }
    save(options.output, result)


if __name__ == "__main__":
    main()
