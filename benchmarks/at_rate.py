"""Time a GPT whose middle blocks run at a lower rate, beside all blocks at the full rate: training, and a token.

    python benchmarks/at_rate.py

The setting is the quick start's (recipes/configs/rope.yaml and at_rate.yaml: batch 8 x 256 bytes, d_model 128, 4
layers, the middle two of which run at the lower rate). A step is the recipe's: forward, cross-entropy, backward,
clipping, AdamW. A token is one of a stream that fills the context, through the key-value cache, with batch 1.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from harness import Timing, add_options, add_torch_options, facts, print_facts, round_robin, save, table
from torch import Tensor
from training_step import MODES, first_losses, training_step

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

from gpt.arms import Arm, build
from gpt.config import CONFIGS, TrainConfig, load_config
from gpt.generate import streaming_error

PLAIN, LESS = "full rate", "without the middle blocks"
CHECKED = 32  # tokens on which the stream is compared with the whole


def arms(config: TrainConfig, factors: list[int]) -> dict[str, TrainConfig]:
    """Return what is timed, by name: the full rate, the lower ones, and what is left without the middle blocks."""
    blocks = config.arm.at_rate["blocks"] if config.arm.at_rate else []
    slow = {
        f"middle at 1/{factor}": replace(config, arm=Arm(at_rate={"blocks": blocks, "factor": factor}))
        for factor in factors
    }
    left = replace(config.model, n_layer=config.model.n_layer - len(blocks))
    return {PLAIN: replace(config, arm=Arm()), **slow, LESS: replace(config, model=left, arm=Arm())}


def token_stream(config: TrainConfig, ids: Tensor) -> Callable[[], None]:
    """Return a call that feeds a sequence to a new model token by token, after a check against the whole."""
    torch.manual_seed(config.seed)
    gpt = build(config.model, config.arm).to(ids.device).eval()
    error = streaming_error(gpt, ids[:, :CHECKED])
    if error > 1e-4:
        sys.exit(f"Nothing was timed: token by token the logits differ by {error} from those of the whole.")

    @torch.no_grad()
    def run() -> None:
        cache = gpt.empty_cache()
        for token in ids.split(1, 1):
            gpt(token, cache)

    return run


def report(timings: dict[str, Timing], unit: str, per: int = 1) -> str:
    """Return a table of milliseconds divided by `per`."""
    plain = timings[PLAIN].median
    rows = [
        [
            name,
            f"{t.median / per:.2f} ({t.quartiles[0] / per:.2f} to {t.quartiles[1] / per:.2f})",
            f"{100 * (t.median / plain - 1):+.1f} %" if name != PLAIN else "",
        ]
        for name, t in timings.items()
    ]
    return table(["model", f"median ms a {unit} (quartiles)", "over full rate"], rows)


def main() -> None:
    """Time and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--mode", choices=(*MODES, "both"), default="both", help="of training (default: %(default)s)"
    )
    parser.add_argument(
        "--factors", type=int, nargs="+", default=[2, 4, 8], help="tokens a frame (default: %(default)s)"
    )
    parser.add_argument(
        "--context", type=int, help="tokens of a sequence (default: those of the configuration)"
    )
    parser.add_argument("--d-model", type=int, help="width (default: that of the configuration)")
    add_options(parser, "at_rate", repeats=20)
    add_torch_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    known = facts(options.device)
    print_facts(known)

    config = replace(load_config([CONFIGS / "rope.yaml", CONFIGS / "at_rate.yaml"]), seed=options.seed)
    shape = replace(
        config.model,
        context=options.context or config.model.context,
        d_model=options.d_model or config.model.d_model,
    )
    chosen = arms(replace(config, model=shape), options.factors)
    # The models share one forward, which is compiled once for each.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 2 * len(chosen))
    torch.manual_seed(options.seed)
    ids = torch.randint(shape.vocab_size, (config.batch_size, shape.context + 1), device=options.device)
    result: dict[str, Any] = {"facts": known, "options": vars(options), "model": shape}
    losses: dict[str, list[float]] = {}
    for mode in MODES if options.mode == "both" else (options.mode,):
        steps, parameters = {}, {}
        for name, arm in chosen.items():
            steps[name], parameters[name] = training_step(arm, arm.arm, ids, mode)
            found = first_losses(steps[name])  # compiles, too
            expected = losses.setdefault(name, found)
            if max(abs(a - b) for a, b in zip(found, expected, strict=True)) > 1e-4:
                sys.exit(f"Nothing was timed: {name}, {mode}, has losses {found}, in eager {expected}.")
        timings = round_robin(steps, options.repeats, options.device)
        print(f"training, {mode}: batch {config.batch_size} x {shape.context} bytes, {shape}\n")
        print(report(timings, "step"), end="\n\n", flush=True)
        result[mode] = {"milliseconds": timings, "parameters": parameters}

    streams = {name: token_stream(arm, ids[:1, :-1]) for name, arm in chosen.items()}
    timings = round_robin(streams, options.repeats, options.device)
    print(f"token by token, eager, batch 1, {shape.context} tokens\n")
    print(report(timings, "token", shape.context))
    result["token"] = {"milliseconds of all tokens": timings, "tokens": shape.context}
    save(options.output, result)


if __name__ == "__main__":
    main()
