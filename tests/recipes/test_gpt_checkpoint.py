"""A checkpoint is whole, that of this run and unchanged by a bit, or it is refused; reading it runs no code."""

import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpt.checkpoint
import gpt.train
import pytest
import torch
from gpt.checkpoint import PARTS, check_same_run, read_checkpoint, sealed
from gpt.config import TrainConfig
from gpt.data import Splits
from gpt.errors import CheckpointError
from gpt.generate import load_model
from gpt.train import train

from tests.recipes.test_gpt_train import killed

Tiny = Callable[..., TrainConfig]
SAVED: dict[str, bytes] = {}


@pytest.fixture
def file(tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of step 4 of a run that was killed, which is made once."""
    out = tiny().out
    if not SAVED:
        killed(tiny(), splits, 6, monkeypatch)
        SAVED.update({path.name: path.read_bytes() for path in out.iterdir() if path.is_file()})
    out.mkdir(exist_ok=True)
    for name, data in SAVED.items():
        (out / name).write_bytes(data)
    return out / "checkpoint.pt"


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Write a checkpoint anew, with something else in it."""
    state = torch.load(file, weights_only=True)
    edit(state)
    written = io.BytesIO()
    torch.save(state, written)
    file.write_bytes(sealed(written.getvalue()))


def first(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the moments of one parameter."""
    moments: dict[str, torch.Tensor] = state["optimizer"]["state"]["norm.weight"]
    return moments


def flips(data: bytes) -> list[bytes]:
    """Return copies with one bit flipped: in any of the last 100 bytes, or in one of 100 others."""
    rng = random.Random(0)
    places = [*range(len(data) - 100, len(data)), *rng.sample(range(len(data) - 100), 100)]
    return [
        data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :] for place in places
    ]


def test_a_flipped_bit_is_refused(file: Path) -> None:
    assert read_checkpoint(file)["step"] == 4
    for flipped in flips(file.read_bytes()):
        file.write_bytes(flipped)
        with pytest.raises(CheckpointError, match="bytes without their checksum: damaged"):
            read_checkpoint(file)


def test_flipped_bits_pass_without_the_checksum(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the checksum that refuses them; torch reads most of them."""
    length = len(gpt.checkpoint.seal(b""))
    read = 0
    for flipped in flips(file.read_bytes()):
        monkeypatch.setattr(gpt.checkpoint, "seal", lambda _, data=flipped: data[-length:])
        file.write_bytes(flipped)
        try:
            read += bool(read_checkpoint(file))
        except CheckpointError:
            continue
    assert read > 50


def test_it_is_a_file_that_torch_and_zip_programs_read(file: Path) -> None:
    assert torch.load(file, weights_only=True)["step"] == 4
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"sha256:")


@pytest.mark.parametrize("damage", ["cut", "longer", "empty", "text", "of an earlier format", "a folder"])
def test_what_is_no_checkpoint_is_refused(file: Path, damage: str) -> None:
    whole, state = file.read_bytes(), torch.load(file, weights_only=True)
    if damage == "of an earlier format":
        torch.save({**state, "format": "dsptorch gpt_enwik8, 2"}, file)
    elif damage == "a folder":
        file.unlink()
        file.mkdir()
    else:
        damaged = {"cut": whole[: len(whole) // 2], "longer": whole + b"\0", "text": b"hello\n" * 99}
        file.write_bytes(damaged.get(damage, b""))
    with pytest.raises(CheckpointError, match="expected a checkpoint of this recipe"):
        read_checkpoint(file)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("edit", [dict.pop, lambda state, part: state.update({part: None})])
def test_a_part_that_is_missing_is_named(file: Path, part: str, edit: Callable[..., object]) -> None:
    change(file, lambda state: edit(state, part))
    with pytest.raises(CheckpointError, match=f"expected a checkpoint of this recipe .*{part}"):
        read_checkpoint(file)


OTHERS: dict[str, Callable[[dict[str, Any]], object]] = {
    r"model\.norm\.weight: None in": lambda state: state["model"].pop("norm.weight"),
    r"model\.more: \(2,\), .* in": lambda state: state["model"].update(more=torch.ones(2)),
    r"model\.norm\.weight: \(3,\), .*\(16,\), .* now": lambda s: s["model"].update(
        {"norm.weight": torch.ones(3)}
    ),
    r"optimizer\.state: dict in .*, None now": lambda state: state["optimizer"]["state"].clear(),
    r"exp_avg: None in": lambda state: first(state).pop("exp_avg"),
    r"exp_avg: \(1,\), .* in": lambda state: first(state).update(exp_avg=torch.ones(1)),
    r"param_groups\.1\..*: None in": lambda state: state["optimizer"]["param_groups"].pop(),
    r"betas.*: None in": lambda state: state["optimizer"]["param_groups"][0].pop("betas"),
    r"step of 0 to 12 in .*, got -1": lambda state: state.update(step=-1),
    r"step of 0 to 12 in .*, got 13": lambda state: state.update(step=13),
    r"lr: None in the checkpoint, 0\.01 now": lambda state: state["config"].pop("lr"),
    r"data \(read\)": lambda state: state["config"].pop("data (read)"),
}


@pytest.mark.parametrize("words", OTHERS)
def test_states_of_something_else_are_not_resumed(tiny: Tiny, splits: Splits, file: Path, words: str) -> None:
    change(file, OTHERS[words])
    before = (file.parent / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=words):
        train(tiny(resume=True), splits)
    assert (file.parent / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda state: state["model"].pop("norm.weight"),
        lambda state: state["config"].pop("model"),
        lambda state: state["config"].update(model=3),
        lambda state: state["config"]["model"].update(width=3),
        lambda state: state["config"]["model"].update(d_model=-32),
        lambda state: state["config"]["arm"].update(fir={"kernel_size": 9}),
    ],
)
def test_nothing_is_generated_from_them(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    change(file, edit)
    with pytest.raises(CheckpointError, match="expected a configuration and the weights of its model"):
        load_model(file)


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_refused(file: Path, number: float) -> None:
    change(file, lambda state: state["model"]["norm.weight"].fill_(number))
    with pytest.raises(CheckpointError, match=r"NaN or infinity in model\.norm\.weight"):
        load_model(file)
    change(file, lambda state: state["model"]["norm.weight"].fill_(1.0))
    change(file, lambda state: first(state)["exp_avg_sq"].fill_(number))
    with pytest.raises(CheckpointError, match=r"infinity in optimizer\.state\.norm\.weight\.exp_avg_sq"):
        read_checkpoint(file)


@pytest.mark.usefixtures("file")
def test_a_bug_in_loading_shows_itself(tiny: Tiny, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everything has its shape, an error is not the checkpoint's."""

    def bug(*_: object, **__: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(gpt.checkpoint, "set_state_dict", bug)
    with pytest.raises(KeyError, match="bug"):
        train(tiny(resume=True), splits)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "written"), "w"))

    written = io.BytesIO()
    torch.save({"format": Evil()}, written)
    (tmp_path / "checkpoint.pt").write_bytes(sealed(written.getvalue()))
    with pytest.raises(CheckpointError, match="UnpicklingError"):
        read_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "written").exists()


def test_a_save_that_fails_leaves_the_old_checkpoint(
    tiny: Tiny, splits: Splits, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    saves = gpt.train.save_checkpoint

    def save(*args: Any) -> None:
        monkeypatch.setattr(os, "fsync", full_disk)
        saves(*args)

    monkeypatch.setattr(gpt.train, "save_checkpoint", save)
    with pytest.raises(OSError, match=r"No space left on device: '.*checkpoint\.pt'"):
        train(tiny(resume=True), splits)
    assert read_checkpoint(file)["step"] == 4
    assert not list(file.parent.glob("*.tmp"))


def test_configurations_are_compared_to_their_leaves() -> None:
    one = {"arm": {"at_rate": {"blocks": [1, 2]}}, "out": "here", 3: 4}
    check_same_run(one, {**one, "out": "there"})
    with pytest.raises(CheckpointError, match=r"arm\.at_rate\.blocks\.1: 2 in the checkpoint, 3 now"):
        check_same_run(one, {"arm": {"at_rate": {"blocks": [1, 3]}}, 3: 4})
