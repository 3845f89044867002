"""Sound files as waveforms."""

import os
import wave

import numpy as np
import torch
from torch import Tensor

__all__ = ["read_waveform"]


def read_waveform(path: str | os.PathLike[str]) -> tuple[Tensor, int]:
    """Read a sound file with one channel.

    PCM in a .wav file needs no other package. Other formats (FLAC, Ogg, MP3, floating-point .wav) need soundfile.

    Args:
        path: The file.

    Returns:
        The waveform, (1, time, 1), float32 with full scale at 1, and the sample rate in Hz.

    Raises:
        OSError: If the file does not exist or cannot be read.
        ValueError: If the file is damaged, has an unknown format, no samples, samples that are not finite, or several
            channels.
        ImportError: If its format needs soundfile, which is not installed.

    Example:
        >>> import tempfile, wave
        >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        ...     with wave.open(file.name, "wb") as out:
        ...         out.setparams((1, 2, 8000, 0, "NONE", ""))
        ...         out.writeframes(bytes((0, 64)) * 80)
        ...     waveform, sample_rate = read_waveform(file.name)
        >>> waveform.shape, waveform.max(), sample_rate
        (torch.Size([1, 80, 1]), tensor(0.5000), 8000)
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    samples, sample_rate = _by_soundfile(path) if _has_soundfile() else _by_wave(path)
    if samples.shape[1] != 1:
        raise ValueError(
            f"{os.fspath(path)} has {samples.shape[1]} channels; a front end takes one: write the mean of them, or one "
            "of them, to a file of its own"
        )
    if not samples.shape[0]:
        raise ValueError(f"{os.fspath(path)} has no samples")
    if not np.isfinite(samples).all():
        raise ValueError(f"{os.fspath(path)} has samples that are not finite numbers; write it anew")
    return torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)).unsqueeze(0), sample_rate


def _has_soundfile() -> bool:
    try:
        import soundfile  # noqa: F401, PLC0415, an extra
    except (ImportError, OSError):  # OSError: its C library is missing
        return False
    return True


def _by_soundfile(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    import soundfile  # noqa: PLC0415, an extra

    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(f"{os.fspath(path)} is not a sound file that can be read: {error}") from error
    return samples, int(sample_rate)


def _by_wave(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    try:
        with wave.open(os.fspath(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ImportError(
            f"{os.fspath(path)} is not a .wav file of PCM ({error or 'it ends too early'}); other formats need "
            "soundfile: pip install 'dsptorch[audio]'"
        ) from error
    if len(data) % (width * channels):
        raise ValueError(f"{os.fspath(path)} is damaged: it ends within a sample; write it anew")
    if width == 3:  # 24 bit: the lowest byte of 32 is 0
        bytes_ = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        whole = np.concatenate([np.zeros((len(bytes_), 1), np.uint8), bytes_], 1).reshape(-1).view("<i4")
        samples = whole / 2.0**31
    elif width == 1:
        samples = (np.frombuffer(data, dtype=np.uint8) - 128.0) / 128
    else:
        samples = np.frombuffer(data, dtype=f"<i{width}") / 2.0 ** (8 * width - 1)
    return samples.reshape(-1, channels), rate
