"""A GPT on enwik8, text8 or any text, plain or with dsptorch's layers in it.

    python recipes/gpt_enwik8.py                    the quick start: plain and DSP side by side, some minutes
    python recipes/gpt_enwik8.py prepare --data enwik8
    python recipes/gpt_enwik8.py train --config recipes/configs/rope.yaml --config recipes/configs/fir.yaml
    torchrun --nproc_per_node 2 recipes/gpt_enwik8.py train --strategy fsdp
    python recipes/gpt_enwik8.py generate --checkpoint runs/gpt/checkpoint.pt --prompt "The "
    python recipes/gpt_enwik8.py study --data text.xml.bz2

What comes later wins: train --config recipes/configs/rope.yaml --lr 1e-3 --model.d_model 256.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import openmp  # noqa: F401  # before torch, which reads what it sets
from gpt.checkpoint import CheckpointError
from gpt.config import to_config, train_parser
from gpt.corpora import DownloadError
from gpt.data import prepare
from gpt.generate import generate, load_model
from gpt.leak_gate import LeakError
from gpt.quickstart import quickstart
from gpt.study import study
from gpt.train import train
from jsonargparse import ArgumentParser

DESCRIPTION = "A byte-level GPT, plain or with dsptorch's layers in it. Without a command: the quick start."

# What a user can set right; anything else is a bug, and shows its traceback.
EXPECTED = (CheckpointError, DownloadError, FileNotFoundError, FloatingPointError, LeakError, ValueError)


def show_text(
    checkpoint: Path,
    *,
    prompt: str = "\n",
    length: int = 500,
    temperature: float = 0.8,
    top_k: int = 40,
    seed: int = 0,
) -> None:
    """Continue a prompt, a byte at a time, on the screen.

    Args:
        checkpoint: checkpoint.pt of a run.
        prompt: what the text begins with.
        length: number of new bytes.
        temperature: divides the logits; 0 takes the likeliest byte.
        top_k: how many of the likeliest bytes to draw from.
        seed: of the draws.
    """

    def show(byte: bytes) -> None:
        sys.stdout.buffer.write(byte)
        sys.stdout.buffer.flush()

    model = load_model(checkpoint)
    show(prompt.encode())
    generate(model, prompt.encode(), length, temperature=temperature, top_k=top_k, seed=seed, emit=show)
    show(b"\n")


def main(arguments: Sequence[str]) -> None:
    """Run one command; without arguments, the quick start."""
    commands: dict[str, Callable[..., object]] = {
        "quickstart": quickstart,
        "prepare": prepare,
        "generate": show_text,
        "study": study,
    }
    parser = ArgumentParser(prog="gpt_enwik8.py", description=DESCRIPTION)
    subcommands = parser.add_subcommands()
    for name, function in commands.items():
        summary = (function.__doc__ or "").splitlines()[0]
        subparser = ArgumentParser(description=summary)
        subparser.add_function_arguments(function, as_group=False, skip={"sources", "timeout"})
        subcommands.add_subcommand(name, subparser, help=summary)
    subcommands.add_subcommand("train", train_parser(), help="Train one arm.")

    parsed = parser.parse_args(arguments or ["quickstart"])
    options = parsed[parsed.subcommand]
    try:
        if parsed.subcommand == "train":
            train(to_config(options))
        elif parsed.subcommand == "study":
            print(study(**vars(options)))
        else:
            commands[parsed.subcommand](**vars(options))
    except EXPECTED as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
