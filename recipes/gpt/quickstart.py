"""The quick start: a plain GPT and the same with DSP layers, side by side, in minutes on two CPU cores."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .config import CONFIGS, TrainConfig, load_config
from .data import quickstart_splits
from .duration import in_words, seconds_to_train
from .figure import plot_curves
from .generate import generate, load_model
from .lock import make_folder
from .ranges import Count, Seed, checked
from .result import Result
from .table import markdown
from .train import CHECKPOINT, train

ARMS = {"plain": ("rope",), "fir": ("rope", "fir"), "seed_blocks": ("rope", "seed_blocks")}
LABELS = {"plain": "plain GPT, RoPE", "fir": "+ FIR delay bank", "seed_blocks": "+ the study's three blocks"}
VALIDATION = 65_536  # bytes, to test on too: the whole 5 % of enwik8 would take longer than the training


@checked
def quickstart(
    out: Path | None = None, root: Path = Path("data"), steps: Count = 400, seed: Seed = 0
) -> None:
    """Train the plain GPT, then with two sets of DSP layers; show a table, a figure and a sample of text.

    Args:
        out: folder to put the runs and the figure in; runs/quickstart-<time> if not given.
        root: where enwik8 is looked for and downloaded to; without it Python's own text is used.
        steps: number of updates of each arm.
        seed: of weights, batches and sample.
    """
    out = out or Path("runs") / time.strftime("quickstart-%Y%m%d-%H%M%S")
    make_folder(out)
    splits = quickstart_splits(root)
    splits = splits._replace(val=splits.val[:VALIDATION], test=splits.test[:VALIDATION])
    print(
        f"Every arm: {steps} steps of 2,048 bytes, "
        f"validated on the first {len(splits.val):,} bytes of the validation split."
    )

    configs = {
        arm: _config(files, splits.name, out / arm, steps=steps, seed=seed) for arm, files in ARMS.items()
    }
    print("How long will it take? Measuring a few steps of every arm ...", flush=True)
    print(in_words(sum(seconds_to_train(config, splits) for config in configs.values())), flush=True)

    results: dict[str, Result] = {}
    for arm, config in configs.items():
        print(f"\n{LABELS[arm]}", flush=True)
        results[arm] = train(config, splits)

    best = min(results, key=lambda arm: results[arm].val_loss)
    figure = plot_curves(
        {LABELS[arm]: out / arm for arm in ARMS}, out / "curves.png", title=f"Trained on {splits.name}"
    )
    prompt = bytes(splits.test[:64].tolist())
    text = generate(load_model(out / best / CHECKPOINT), prompt, 300, seed=seed)
    print(f"\nData: {results[best].data}\n\n{_table(results)}\n\nFigure: {figure}")
    print(f"\nSample of {LABELS[best]!r}, after the prompt {prompt.decode(errors='replace')!r}:\n")
    print(text.decode(errors="replace"))
    print(f"\nMore of it: python recipes/gpt_enwik8.py generate --checkpoint {out / best / CHECKPOINT}")


def _config(files: Sequence[str], data: str, out: Path, *, steps: int, seed: int) -> TrainConfig:
    """Return the run of an arm, with eight validations and three passes of the leak gate."""
    config = load_config([CONFIGS / f"{file}.yaml" for file in files])
    every = max(1, steps // 8)
    return replace(
        config,
        data=data,
        out=out,
        steps=steps,
        seed=seed,
        warmup=min(config.warmup, steps // 4),
        eval_every=every,
        checkpoint_every=4 * every,
    )


def _table(results: Mapping[str, Result]) -> str:
    plain = results["plain"].val_loss
    rows = [
        (
            LABELS[arm],
            f"{result.val_loss:.3f}",
            f"{result.val_bpc:.3f}",
            f"{100 * (result.val_loss / plain - 1):+.1f} %" if arm != "plain" else "",
            f"{result.parameters:,}",
            f"{result.step_ms:.0f}",
        )
        for arm, result in results.items()
    ]
    return markdown(("arm", "validation nats", "bpc", "change", "parameters", "ms/step"), rows)
