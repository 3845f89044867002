"""Checkpoints: written whole or not at all, read without running code, and refused when they do not fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

FORMAT = "dsptorch gpt_enwik8, 1"

# A run may be continued in another folder, or with checkpoints at other steps: its numbers stay the same.
FREE = frozenset({"out", "root", "resume", "checkpoint_every"})


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or is of another run."""


def save_checkpoint(fabric: Fabric, path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` to `path`; whenever the power fails, `path` is the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    fabric.save(temporary, {"format": FORMAT, **state})
    if fabric.is_global_zero:
        replace_file(temporary, path)
    fabric.barrier()


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
