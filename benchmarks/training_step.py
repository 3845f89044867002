"""Time a training step of the recipe's GPT with each of the three blocks, against the plain model's.

    python benchmarks/training_step.py

The setting is the quick start's (recipes/configs/rope.yaml: RoPE, batch 8 x 256 bytes, d_model 128, 4 layers). A step
is the recipe's: forward, cross-entropy, backward, clipping, AdamW.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
import torch.nn.functional as F
from harness import Timing, add_options, add_torch_options, facts, print_facts, round_robin, save, table
from torch import Tensor, nn

from dsptorch import param_groups

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

from gpt.arms import Arm, build
from gpt.config import CONFIGS, TrainConfig, load_config

PLAIN = "plain"
MODES = ("eager", "compiled")


def arms() -> dict[str, Arm]:
    """Return what goes into the model, by name; the recipe's configurations where it has one."""
    seed, fir, shift = (
        load_config([CONFIGS / f"{name}.yaml"]).arm for name in ("seed_blocks", "fir", "token_shift")
    )
    return {
        PLAIN: Arm(),
        "Multirate": Arm(multirate=seed.multirate),
        "LFORouting": Arm(lfo_routing=seed.lfo_routing),
        "ChannelBottleneck": Arm(bottleneck=seed.bottleneck),
        "the three blocks": seed,
        "FIR delay bank": fir,
        "token shift": shift,
    }


def training_step(config: TrainConfig, arm: Arm, ids: Tensor, mode: str) -> tuple[Callable[[], Tensor], int]:
    """Return a call that makes one update of a new model, and the number of its trained parameters.

    The call returns the loss before the update.
    """
    torch.manual_seed(config.seed)
    gpt = build(config.model, arm).to(ids.device)
    parameters = [p for p in gpt.parameters() if p.requires_grad]
    groups = param_groups(gpt, weight_decay=config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2))
    model: Any = torch.compile(gpt, fullgraph=True) if mode == "compiled" else gpt

    def step() -> Tensor:
        logits = model(ids[:, :-1])  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.clip)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step, sum(p.numel() for p in parameters)


def first_losses(step: Callable[[], Tensor]) -> list[float]:
    """Return the losses of the first updates: what tells two models apart."""
    return [step().item() for _ in range(3)]


def report(timings: dict[str, Timing], parameters: dict[str, int]) -> str:
    """Return the table of one mode."""
    plain = timings[PLAIN].median
    rows = [
        [
            name,
            str(timing),
            f"{100 * (timing.median / plain - 1):+.1f} %" if name != PLAIN else "",
            f"{parameters[name]:,}",
        ]
        for name, timing in timings.items()
    ]
    return table(["model", "median ms a step (quartiles)", "over plain", "parameters"], rows)


def main() -> None:
    """Time and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mode", choices=(*MODES, "both"), default="both", help="(default: %(default)s)")
    parser.add_argument(
        "--arms", nargs="+", choices=list(arms()), default=list(arms()), help="(default: all)"
    )
    add_options(parser, "training_step", repeats=30)
    add_torch_options(parser)
    options = parser.parse_args()
    chosen = {name: arm for name, arm in arms().items() if name in {PLAIN, *options.arms}}
    torch.set_num_threads(options.threads)
    # The models share one forward, which is compiled once for each.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 2 * len(chosen))
    known = facts(options.device)
    print_facts(known)

    config = replace(load_config([CONFIGS / "rope.yaml"]), seed=options.seed)
    torch.manual_seed(options.seed)
    shape = (config.batch_size, config.model.context + 1)
    ids = torch.randint(config.model.vocab_size, shape, device=options.device)
    result: dict[str, Any] = {"facts": known, "options": vars(options), "model": config.model}
    eager_losses = {
        name: first_losses(training_step(config, arm, ids, "eager")[0]) for name, arm in chosen.items()
    }
    for mode in MODES if options.mode == "both" else (options.mode,):
        steps, parameters = {}, {}
        for name, arm in chosen.items():
            steps[name], parameters[name] = training_step(config, arm, ids, mode)
            losses = first_losses(steps[name])  # compiles, too
            expected = eager_losses[name]
            if max(abs(a - b) for a, b in zip(losses, expected, strict=True)) > 1e-4:
                sys.exit(f"Nothing was timed: {name}, {mode}, has losses {losses}, in eager {expected}.")
        timings = round_robin(steps, options.repeats, options.device)
        print(f"{mode}: batch {config.batch_size} x {config.model.context} bytes, {config.model}\n")
        print(report(timings, parameters), end="\n\n", flush=True)
        result[mode] = {"milliseconds": timings, "parameters": parameters}
    save(options.output, result)


if __name__ == "__main__":
    main()
