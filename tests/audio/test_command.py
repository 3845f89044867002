"""Sound files, and the command that streams one."""

import subprocess
import sys
import wave

import numpy as np
import pytest
import torch

from dsptorch.audio import MelSpectrogram, command, files, read_waveform
from dsptorch.audio.command import main
from tests.audio.table import waveform


def write(path, x, rate=8000, width=2, channels=1):
    scaled = np.round(x * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        data = scaled + 128 if width == 1 else scaled
        file.writeframes(b"".join(int(s).to_bytes(width, "little", signed=width > 1) for s in data.flatten()))
    return path


@pytest.fixture
def sound(tmp_path):
    return write(tmp_path / "sound.wav", waveform(1, 4000).numpy())


@pytest.mark.parametrize("by", [True, False], ids=["soundfile", "wave"])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_reads_pcm(tmp_path, monkeypatch, width, by):
    monkeypatch.setattr(files, "_has_soundfile", lambda: by)
    expected = waveform(1, 200)
    x, rate = read_waveform(write(tmp_path / "x.wav", expected.numpy(), 16000, width))
    assert (x.shape, x.dtype, rate) == ((1, 200, 1), torch.float32, 16000)
    assert (x - expected).abs().max() < 2.5 / 2 ** (8 * width - 1) + 1e-6


def test_writes_what_it_found(sound, capsys):
    assert main([str(sound), "--chunk-ms", "3.3"]) == 0
    out = capsys.readouterr().out
    assert "0.50 s at 8000 Hz, 50 frames of 64 bands" in out
    assert "delay: 12.4 ms" in out
    assert (sound.parent / "sound.mel.png").stat().st_size > 1000


def test_a_front_end_that_forgets_is_caught(sound, monkeypatch, capsys):
    class Forgetful(MelSpectrogram):
        def process(self, x, memory, timeline):
            return super().process(x, None, timeline)  # planted

    monkeypatch.setitem(command.FRONTS, "mel", lambda rate: Forgetful(rate, n_mels=20))
    assert main([str(sound)]) == 1


@pytest.mark.parametrize("front", ["stft", "gabor", "sinc", "gammatone"])
def test_each_front_end(sound, front, tmp_path):
    out = tmp_path / "picture.png"
    assert main([str(sound), "--front", front, "--pcen", "--out", str(out)]) == 0
    assert out.exists()


@pytest.mark.slow
def test_as_a_process(sound):
    done = subprocess.run(
        [sys.executable, "-m", "dsptorch.audio", str(sound)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "real-time factor" in done.stdout


def broken(folder, kind):
    path = folder / "x.wav"
    if kind == "stereo":
        return write(path, np.zeros(400), channels=2)
    if kind == "empty":
        return write(path, np.zeros(0))
    if kind == "short":
        return write(path, np.zeros(20))
    if kind == "text":
        path.write_text("not a sound")
    return path


@pytest.mark.parametrize("by", [True, False], ids=["soundfile", "wave"])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("stereo", "has 2 channels; a front end takes one"),
        ("empty", "has no samples"),
        ("short", "has 20 samples, fewer than the 200 of a window"),
        ("text", "x.wav is not a "),
        ("missing", "there is no file"),
    ],
)
def test_refuses_a_file(tmp_path, monkeypatch, capsys, kind, says, by):
    monkeypatch.setattr(files, "_has_soundfile", lambda: by)
    assert main([str(broken(tmp_path, kind))]) == 2
    assert says in capsys.readouterr().err


def test_refuses_a_chunk_of_nothing(sound, capsys):
    assert main([str(sound), "--chunk-ms", "0"]) == 2
    assert "--chunk-ms must be at least one sample, 0.125 ms, got 0" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["nan", "inf"])
def test_refuses_a_chunk_that_is_not_a_length(sound, capsys, size):
    assert main([str(sound), "--chunk-ms", size]) == 2
    assert f"--chunk-ms must be a finite number, got {size}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["missing/x.png", "x.foo"])
def test_a_picture_that_cannot_be_written_is_said(sound, capsys, tmp_path, name):
    assert main([str(sound), "--out", str(tmp_path / name)]) == 2
    assert "no picture: " in capsys.readouterr().err


def test_refuses_a_file_that_ends_within_a_sample(sound, capsys, monkeypatch):
    monkeypatch.setattr(files, "_has_soundfile", lambda: False)
    sound.write_bytes(sound.read_bytes()[:-1])
    assert main([str(sound)]) == 2
    assert "is damaged: it ends within a sample" in capsys.readouterr().err


def test_refuses_samples_that_are_not_numbers(sound, capsys, monkeypatch):
    monkeypatch.setattr(files, "_has_soundfile", lambda: False)
    monkeypatch.setattr(files, "_by_wave", lambda _: (np.full((400, 1), np.nan), 8000))
    assert main([str(sound)]) == 2
    assert "not finite numbers" in capsys.readouterr().err
