"""Checkpoints: written whole or not at all, read without running code, and refused when they do not fit.

They hold whole tensors by the names of the parameters, so that any number of processes can continue them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.optim import Optimizer

FORMAT = "dsptorch gpt_enwik8, 2"

# A run may be continued in another folder, with checkpoints at other steps, or with its batch shared out in another
# way: its numbers stay the same.
FREE = frozenset({"out", "root", "resume", "checkpoint_every", "accumulate", "devices", "strategy"})


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or is of another run."""


def save_checkpoint(
    fabric: Fabric, path: Path, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]
) -> None:
    """Write a model, its optimizer and `state` to `path`; whenever the power fails, it is the old file or the new.

    Args:
        fabric: of the run; every process must call this, and the first one writes.
        path: of the file.
        model: the model, as it was before Fabric wrapped it.
        optimizer: that of torch.
        state: tensors and plain values.
    """
    temporary = path.with_suffix(".tmp")
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, moments = get_state_dict(model, optimizer, options=options)  # of all processes, to the first
    if fabric.is_global_zero:
        torch.save({"format": FORMAT, "model": weights, "optimizer": moments, **state}, temporary)
        replace_file(temporary, path)
    fabric.barrier()


def load_states(model: nn.Module, optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Give a model and its optimizer what `read_checkpoint` read; of a sharded model, each process its shard."""
    options = StateDictOptions(full_state_dict=True)
    set_state_dict(
        model,
        optimizer,
        model_state_dict=saved["model"],
        optim_state_dict=saved["optimizer"],
        options=options,
    )


def replace_file(temporary: Path, path: Path) -> None:
    """Bring the bytes of `temporary` to the disk, then let them take the place of `path` in one step."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    replace_file(temporary, path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what `save_checkpoint` wrote, on the CPU; tensors and plain values only, no code is run.

    Raises:
        CheckpointError: The file is missing, damaged, or something else.
    """
    expected = f"expected a checkpoint of this recipe in {path}"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{expected}, got no file; give the checkpoint.pt of a run") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise CheckpointError(
            f"{expected}, got {path.stat().st_size:,} bytes that are cut short, damaged or of another "
            f"program ({type(error).__name__}); use another checkpoint, or train again"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{expected} ({FORMAT!r}), got another file; give the checkpoint.pt of a run")
    return state


def check_same_run(saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Refuse to continue a run under another configuration.

    Raises:
        CheckpointError: A key differs; the message names each with both values.
    """
    before, now = _flatten(saved), _flatten(current)
    different = [
        f"{key}: {before.get(key)!r} in the checkpoint, {now.get(key)!r} now"
        for key in sorted(before.keys() | now.keys())
        if key not in FREE and before.get(key) != now.get(key)
    ]
    if different:
        raise CheckpointError(
            "expected the configuration of the checkpoint, got another (" + "; ".join(different) + "); "
            "resume with the checkpoint's values, or start a new run in another --out"
        )


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name every leaf of nested mappings by its dotted path; an empty mapping is a leaf."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
