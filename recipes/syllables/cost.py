"""What a front end costs: CPU time of a step of training and of streaming, and how late it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from gpt.turns import cpu_ms
from torch import nn

from .arms import ARMS
from .data import RATE, Clips
from .model import Classifier

CHUNK = RATE // 100  # 10 ms


def costs(arms: Sequence[str], clips: Clips, *, rounds: int) -> dict[str, dict[str, float]]:
    """Return the costs of front ends by arm, all in turn.

    Args:
        arms: names of arms.
        clips: what to run on; the first 16.
        rounds: repetitions of each, after those that do not count.

    Returns:
        Of each arm "train_ms" and "stream_ms": the CPU time for a second of audio, forward and backward of 16 clips,
        and of one clip in chunks of 10 ms; "latency_ms": the delay of the features.
    """
    batch = clips.at(torch.arange(min(16, len(clips))))
    seconds = batch.waveforms.shape[1] / RATE
    fronts = {arm: Classifier(ARMS[arm], batch).front for arm in arms}
    calls = {
        (arm, name): partial(call, front, batch)
        for arm, front in fronts.items()
        for name, call in {"train": _train, "stream": _stream}.items()
    }
    spent = cpu_ms(calls, rounds=rounds)
    return {
        arm: {
            "train_ms": spent[arm, "train"] / (len(batch) * seconds),
            "stream_ms": spent[arm, "stream"] / seconds,
            "latency_ms": 1000 * float(front.delay) / RATE,
        }
        for arm, front in fronts.items()
    }


def _train(front: nn.Module, clips: Clips) -> None:
    # Fixed front ends have a gradient of the waveform alone, as below a network that makes it.
    front(clips.waveforms.clone().requires_grad_()).sum().backward()


@torch.no_grad()
def _stream(front: nn.Module, clips: Clips) -> None:
    state = None
    for chunk in clips.waveforms[:1].split(CHUNK, 1):
        _, state = front.step(chunk, state)  # type: ignore[operator]
