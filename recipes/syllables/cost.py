"""What a front end costs: time of a step of training beside mel's, of streaming, and how late it is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from .arms import ARMS
from .data import RATE, Clips
from .model import Classifier

CHUNK = RATE // 100  # 10 ms


def costs(arms: Sequence[str], clips: Clips, *, rounds: int) -> dict[str, dict[str, float]]:
    """Return the costs of front ends by arm, all in turn, so that a busy time of the machine meets every arm.

    Args:
        arms: names of arms.
        clips: what to run on; the first 16.
        rounds: repetitions of each, after one that does not count.

    Returns:
        Of each arm "train_ms": forward and backward of the front end; "stream_ms": its CPU time for a second of audio
        in chunks of 10 ms; "latency_ms": the delay of the features.
    """
    batch = clips.at(torch.arange(min(16, len(clips))))
    seconds = batch.waveforms.shape[0] * batch.waveforms.shape[1] / RATE
    fronts = {arm: Classifier(ARMS[arm], batch).front for arm in arms}
    spent: dict[str, dict[str, list[float]]] = {arm: {"train_ms": [], "stream_ms": []} for arm in arms}
    for _ in range(rounds + 1):
        for arm, front in fronts.items():

            def step(front: torch.nn.Module = front) -> None:
                # Fixed front ends have a gradient of the waveform alone, as below a network that makes it.
                front(batch.waveforms.clone().requires_grad_()).sum().backward()

            spent[arm]["train_ms"].append(_ms(step) / seconds)
            streamed = _ms(partial(_stream, front, batch))
            spent[arm]["stream_ms"].append(streamed / (batch.waveforms.shape[1] / RATE))
    return {
        arm: {
            **{name: statistics.median(times[1:]) for name, times in spent[arm].items()},
            "latency_ms": 1000 * float(fronts[arm].delay) / RATE,
        }
        for arm in arms
    }


@torch.no_grad()
def _stream(front: torch.nn.Module, clips: Clips) -> None:
    state = None
    for chunk in clips.waveforms[:1].split(CHUNK, 1):
        _, state = front.step(chunk, state)  # type: ignore[operator]


def _ms(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)
