"""A GPT on enwik8, text8 or any text, plain or with dsptorch's layers in it.

    python recipes/gpt_enwik8.py                    the quick start: plain and DSP side by side, some minutes
    python recipes/gpt_enwik8.py prepare --data enwik8
    python recipes/gpt_enwik8.py train --config recipes/configs/rope.yaml --config recipes/configs/fir.yaml
    torchrun --nproc_per_node 2 recipes/gpt_enwik8.py train --strategy fsdp
    python recipes/gpt_enwik8.py generate --checkpoint runs/gpt/checkpoint.pt --prompt "The "
    python recipes/gpt_enwik8.py study --data text.xml.bz2

The study's own programs, verify, analyze, efficiency, ablate and plot, are on docs/study.md, search on docs/stack.md.

What comes later wins: train --config recipes/configs/rope.yaml --lr 1e-3 --model.d_model 256.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import openmp  # noqa: F401  # before torch, which reads what it sets
from gpt.clean import clean
from gpt.command_line import add_commands, in_full, one_line_errors, parse
from gpt.config import to_config, train_parser
from gpt.data import prepare
from gpt.generate import generate, load_model
from gpt.quickstart import quickstart
from gpt.ranges import Count, NotNegative, Range, Seed, checked
from gpt.search.page import stack
from gpt.search.search import search
from gpt.study import study
from gpt.train import train
from gpt.verification.ablate import ablate
from gpt.verification.analyze import analyze
from gpt.verification.audit import audit
from gpt.verification.efficiency import efficiency
from gpt.verification.plot import plot
from gpt.verification.verify import verify
from jsonargparse import ArgumentParser

DESCRIPTION = "A byte-level GPT, plain or with dsptorch's layers in it. Without a command: the quick start."

AFTER_CTRL_C = {
    "train": "the same command with --resume true goes on from the last checkpoint",
    "study": "the same command goes on from the last checkpoint",
    "verify": "the same command goes on from the last checkpoints",
    "ablate": "the same command goes on from the last checkpoints",
    "search": "the same command goes on from the last checkpoint",
}


@checked
def show_text(
    checkpoint: Path,
    *,
    prompt: str = "\n",
    length: Annotated[int, Range(0)] = 500,
    temperature: NotNegative = 0.8,
    top_k: Count = 40,
    seed: Seed = 0,
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
    start = os.fsencode(prompt)  # the bytes that the shell gave, whatever text they are
    show(start)
    generate(model, start, length, temperature=temperature, top_k=top_k, seed=seed, emit=show)
    show(b"\n")


COMMANDS: dict[str, Callable[..., object]] = {  # beside train
    "quickstart": quickstart,
    "prepare": prepare,
    "clean": clean,
    "generate": show_text,
    "study": study,
    "verify": verify,
    "ablate": ablate,
    "search": search,
    "stack": stack,
    "analyze": analyze,
    "efficiency": efficiency,
    "plot": plot,
    "audit": audit,
}
POSITIONAL = ("analyze", "efficiency", "plot")  # the folders that they read are given without a name
LISTS = {
    "study": ("--seeds", "--arms"),
    "verify": ("--treatment", "--seeds", "--long_steps"),
    "ablate": ("--seeds", "--long_steps"),
    "search": ("--seeds",),
    "efficiency": ("--targets",),
    "plot": ("",),
}
FLAGS = ("--list", "--auto_targets")


def main(arguments: Sequence[str]) -> None:
    """Run one command; without arguments, the quick start."""
    parser = ArgumentParser(prog="gpt_enwik8.py", description=DESCRIPTION, exit_on_error=False)
    subcommands = add_commands(parser, COMMANDS, POSITIONAL)
    subcommands.add_subcommand("train", train_parser(), help="Train one arm; run FILE ... is the same.")

    arguments = _as_we_write_them(arguments or ["quickstart"])
    with one_line_errors(AFTER_CTRL_C.get(arguments[0], "start it again")):
        parsed = parse(parser, arguments)
        command, options = parsed.subcommand, parsed[parsed.subcommand]
        if command == "train":
            train(to_config(options))
        elif command == "study":
            print(study(**vars(options)))
        else:
            COMMANDS[command](**vars(options))


def _as_we_write_them(arguments: Sequence[str]) -> Sequence[str]:
    """Return arguments that are written as the study's programs take them in the form that the parser takes."""
    command, *rest = arguments
    if command == "run":  # FILE ... --KEY VALUE
        files = list(takewhile(lambda argument: not argument.startswith("-"), rest))
        configs = [part for file in files for part in ("--config", file)]
        return ["train", *configs, *rest[len(files) :]]
    if command == "train":
        return arguments
    return [command, *in_full(rest, lists=LISTS.get(command, ()), flags=FLAGS)]


if __name__ == "__main__":
    main(sys.argv[1:])
