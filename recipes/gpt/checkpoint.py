"""Checkpoints: written whole or not at all, with a checksum; read without running code; refused when they do not fit.

They hold whole tensors by the names of the parameters, so that any number of processes can continue them.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.optim import Optimizer

from .errors import CheckpointError

FORMAT = "dsptorch gpt_enwik8, 3"
PARTS = {"format": str, "config": dict, "step": int, "model": dict, "optimizer": dict}

# A run may be continued in another folder, with checkpoints at other steps, or with its batch shared out in another
# way: its numbers stay the same.
FREE = frozenset({"out", "root", "resume", "checkpoint_every", "accumulate", "devices", "strategy"})


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
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, moments = get_state_dict(model, optimizer, options=options)  # of all processes, to the first
    if fabric.is_global_zero:
        file = io.BytesIO()
        torch.save({"format": FORMAT, "model": weights, "optimizer": moments, **state}, file)
        write_file(path, sealed(file.getvalue()))
    fabric.barrier()


def load_states(model: nn.Module, optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Give a model and its optimizer what `read_checkpoint` read; of a sharded model, each process its shard.

    Raises:
        CheckpointError: They are of another model or optimizer.
    """
    weights, moments = get_state_dict(model, optimizer)
    here = _kinds({"model": weights, "optimizer": moments})
    there = _kinds({part: saved[part] for part in ("model", "optimizer")})
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            raise CheckpointError(
                f"expected the states of this model and its optimizer, got others ({name}: {there.get(name)} in the "
                f"checkpoint, {here.get(name)} now); use another, or the version of dsptorch that wrote it"
            )
    set_state_dict(
        model,
        optimizer,
        model_state_dict=saved["model"],
        optim_state_dict=saved["optimizer"],
        options=StateDictOptions(full_state_dict=True),
    )


@contextmanager
def fitting(expected: str) -> Iterator[None]:
    """Refuse what was saved where it cannot be loaded, which torch says in errors of every kind.

    Raises:
        CheckpointError: In place of any error.
    """
    try:
        yield
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CheckpointError(
            f"{expected}, got others ({said}); use another checkpoint, or the version of dsptorch that wrote it"
        ) from error


def write_file(path: Path, data: bytes) -> None:
    """Bring a file to the disk, then let it take the place of `path` in one step; a failure leaves the old one."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # where the disk was full
        raise
    if hasattr(os, "O_DIRECTORY"):  # Windows does not open folders
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_file(path, text.encode())


def sealed(data: bytes) -> bytes:
    """Give a zip file, which is what `torch.save` writes, its SHA-256 as the comment that may end such a file."""
    comment = len(seal(b"")).to_bytes(2, "little")
    data = data[: -len(comment)] + comment  # a zip file ends with the length of its comment
    return data + seal(data)


def seal(data: bytes) -> bytes:
    """Return what `sealed` appends."""
    return b"sha256:" + hashlib.sha256(data).hexdigest().encode()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what `save_checkpoint` wrote, on the CPU; tensors and plain values only, no code is run.

    Raises:
        CheckpointError: The file is missing, has changed by a byte, is something else, or holds no finite weights.
    """
    expected = f"expected a checkpoint of this recipe ({FORMAT}) in {path}"
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise CheckpointError(f"{expected}, got no file; give the checkpoint.pt of a run") from error
    end = len(data) - len(seal(b""))
    if end < 0 or data[end:] != seal(data[:end]):
        raise CheckpointError(
            f"{expected}, got {len(data):,} bytes without their checksum: damaged, cut short, of another program or of "
            "an earlier format; use another checkpoint, or train again"
        )
    with fitting(expected):
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        for part, kind in PARTS.items():
            if not isinstance(state[part], kind):
                raise TypeError(f"{part} is a {type(state[part]).__name__}")
        if state["format"] != FORMAT:
            raise ValueError(f"format {state['format']!r}")
    tensors = _flatten({part: state[part] for part in ("model", "optimizer")})
    for name, value in tensors.items():
        if isinstance(value, Tensor) and not value.isfinite().all():
            raise CheckpointError(
                f"{expected} with finite numbers, got NaN or infinity in {name}; use an earlier checkpoint, or train "
                "again with a lower --lr"
            )
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


def _kinds(tree: Mapping[str, Any]) -> dict[str, str]:
    """Return shape and dtype of every tensor in a tree, and the type of every other leaf."""
    return {
        name: f"{tuple(leaf.shape)}, {leaf.dtype}" if isinstance(leaf, Tensor) else type(leaf).__name__
        for name, leaf in _flatten(tree).items()
    }


def _flatten(tree: Mapping[str, Any] | Sequence[Any], prefix: str = "") -> dict[str, Any]:
    """Name every leaf of nested mappings and sequences by its dotted path; an empty one is a leaf."""
    flat: dict[str, Any] = {}
    for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        if isinstance(value, (Mapping, list, tuple)) and value:
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
