"""A training step and a generated token of the recipe's GPT on a device, plain and with layers, for `gpu.py`."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_filters import Budget, milliseconds
from training_step import training_step

import dsptorch

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

from gpt.arms import Arm, build
from gpt.config import CONFIGS, TrainConfig, load_config
from gpt.generate import generate

__all__ = ["configuration", "measure_models"]


def arms() -> dict[str, Arm]:
    """What goes into the model."""
    fir, shift, study = (
        load_config([CONFIGS / f"{name}.yaml"]).arm for name in ("fir", "token_shift", "seed_blocks")
    )
    return {
        "plain": Arm(),
        "token shift": shift,
        "FIR": fir,
        "Multirate": Arm(multirate=study.multirate),
    }


def configuration(*, small: bool) -> TrainConfig:
    """The setting: d_model 768, 1,024 tokens, batch 8; or a tiny one."""
    config = load_config([CONFIGS / "rope.yaml"])
    if small:
        model = replace(config.model, d_model=16, n_layer=2, n_head=2, context=16)
        return replace(config, model=model, batch_size=2)
    model = replace(config.model, d_model=768, n_layer=12, n_head=12, context=1024)
    return replace(config, model=model, batch_size=8)


def _token(gpt: Any, device: torch.device, repeats: int, tokens: int) -> float:
    run = partial(generate, gpt, b"The ", tokens, temperature=0)
    run()
    return milliseconds(run, device, min(repeats, 5), calls=1) / tokens


def measure_models(
    device: torch.device, config: TrainConfig, budget: Budget, *, repeats: int, tokens: int
) -> dict[str, dict[str, Any]]:
    """Milliseconds of a training step in bfloat16, under autocast, eager and compiled, and of a generated token."""
    shape = (config.batch_size, config.model.context + 1)
    ids = torch.randint(config.model.vocab_size, shape, device=device)
    found: dict[str, dict[str, Any]] = {"eager step": {}, "compiled step": {}, "token": {}}
    for name, arm in arms().items():
        if budget.allows(f"eager step, {name}"):
            step, _ = training_step(config, arm, ids, "eager")
            with torch.autocast(device.type, torch.bfloat16):
                for _ in range(2):
                    step()
                found["eager step"][name] = milliseconds(step, device, repeats, calls=2)
        if budget.allows(f"token, {name}"):
            torch.manual_seed(config.seed)
            gpt = build(config.model, arm).to(device).eval()
            found["token"][name] = _token(gpt, device, repeats, tokens)
            if any(isinstance(part, dsptorch.Multirate) for part in gpt.modules()):
                found["token"][f"{name}, folded"] = _token(dsptorch.fold(gpt), device, repeats, tokens)
    for name, arm in arms().items():
        if device.type == "cuda" and budget.allows(f"compiled step, {name}"):
            step, _ = training_step(config, arm, ids, "compiled")
            with torch.autocast(device.type, torch.bfloat16):
                for _ in range(3):
                    step()
                found["compiled step"][name] = milliseconds(step, device, repeats, calls=2)
    return found
