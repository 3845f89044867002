"""The recording that heartpy ships, and its parts."""

import zlib
from pathlib import Path

import ppg.data
import pytest
import torch
from gpt.errors import UsageError
from ppg.data import RATE, load, read_counts, split
from torch import Tensor

CRC32 = 0x50FEBBC2  # of the counts as 16-bit integers


def test_the_recording_is_the_one_that_the_results_are_of() -> None:
    recording = load()
    counts = (recording.mean + recording.scale * recording.signal.double()).round()
    assert (counts.min(), counts.max()) == (0, 978)
    assert zlib.crc32(counts.to(torch.int16).numpy().data) == CRC32
    assert recording.parts == {"train": (0, 41_086), "val": (41_086, 54_781), "test": (54_781, 68_476)}
    assert len(counts) / RATE == pytest.approx(682, abs=1)


def scaled_by_its_past(make_scale, counts: Tensor) -> None:
    later = counts.clone()
    later[split(counts).train_end :] *= 3
    assert make_scale(counts) == make_scale(later)


def test_validation_and_test_say_nothing_about_the_scale() -> None:
    counts = torch.randn(100, generator=torch.Generator().manual_seed(0))
    scaled_by_its_past(lambda x: (split(x).mean, split(x).scale), counts)
    with pytest.raises(AssertionError):  # the usual mistake
        scaled_by_its_past(lambda x: (x.mean().item(), x.std().item()), counts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,pulse\n0,1\n", "column 'hr' in x.csv"),
        ("", "column 'hr' in x.csv"),
        ("time,hr\n0,1\n1,lost\n", "line 3: .*'lost'"),
        ("time,hr\n0,1\n1\n", "line 3"),
        ("time,hr\n0,1\n1,nan\n", "finite samples"),
    ],
)
def test_another_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"{message}.*heartpy==1.2.7"):
        read_counts(path)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv"):
        read_counts(tmp_path / "nothing.csv")

    def absent(name: str) -> None:
        raise ppg.data.PackageNotFoundError(name)

    monkeypatch.setattr(ppg.data, "distribution", absent)
    with pytest.raises(FileNotFoundError, match=r"heartpy.*pip install"):
        load()


@pytest.mark.parametrize("counts", [torch.zeros(0), torch.zeros(100), torch.ones(1)])
def test_a_signal_that_stands_still_is_refused(counts: Tensor) -> None:
    with pytest.raises(UsageError, match="a signal that moves"):
        split(counts)
