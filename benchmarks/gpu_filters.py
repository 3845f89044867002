"""The filters that `gpu.py` times, and how it times them on a device."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import import_module
from itertools import cycle
from typing import Any

import torch
from harness import peak_memory, synchronize
from torch import Tensor, nn

import dsptorch
from dsptorch.functional.gpu import choice

__all__ = ["CASES", "Budget", "measure_filters", "milliseconds", "torch_path"]

TORCH = "torch"  # how the arms without kernels begin
CACHE = 256 * 2**20  # bytes: several times that of a device


class Budget:
    """The time that is left: what would begin after its end is left out, and named."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self.left_out: list[str] = []

    def allows(self, name: str) -> bool:
        """Whether to begin with something."""
        if time.monotonic() < self.end:
            return True
        self.left_out.append(name)
        return False


@contextmanager
def torch_path() -> Iterator[None]:
    """PyTorch's own operations in place of the kernels."""
    devices, choice.DEVICES = choice.DEVICES, set()
    try:
        yield
    finally:
        choice.DEVICES = devices


def milliseconds(run: Callable[[], object], device: torch.device, repeats: int, calls: int = 10) -> float:
    """The median over `repeats` of the time of a call, of `calls` that follow each other without a wait."""
    times = []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(calls):
            run()
        synchronize(device)
        times.append(1e3 * (time.perf_counter() - start) / calls)
    return statistics.median(times)


def device_milliseconds(run: Callable[[], object], calls: int) -> float:
    """The time in which a CUDA device works on a call: that of its kernels, not of their launches by the CPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(calls):
            run()
        torch.cuda.synchronize()
    spent = [e.time_range.elapsed_us() for e in profile.events() if e.device_type.name == "CUDA"]
    return float(sum(spent)) / (1e3 * calls)


class Copy(nn.Module):
    """What moving the tensor costs."""

    def forward(self, x: Tensor) -> Tensor:
        """Copy."""
        return x.clone()


class Conv(nn.Module):
    """A depthwise causal `nn.Conv1d` on (batch, time, channels)."""

    def __init__(self, d_model: int, taps: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(d_model, d_model, taps, groups=d_model, padding=taps - 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pad at both ends, and cut off at the right."""
        y: Tensor = self.conv(x.transpose(1, 2))
        return y[..., : x.shape[1]].transpose(1, 2)


class CausalConv1d(nn.Module):
    """The function of the package causal-conv1d, which takes 2 to 4 taps."""

    def __init__(self, d_model: int, taps: int) -> None:
        super().__init__()
        self.function = import_module("causal_conv1d").causal_conv1d_fn
        self.weight = nn.Parameter(torch.randn(d_model, taps))

    def forward(self, x: Tensor) -> Tensor:
        """Call it, channels before time."""
        y: Tensor = self.function(x.transpose(1, 2), self.weight.to(x.dtype))
        return y.transpose(1, 2)


class ShortConvolution(nn.Module):
    """The short convolution of flash-linear-attention."""

    def __init__(self, d_model: int, taps: int) -> None:
        super().__init__()
        self.layer = import_module("fla.modules").ShortConvolution(d_model, taps, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        """Call it; it returns a cache, too."""
        y: Tensor = self.layer(x)[0]
        return y


def _fir(taps: int) -> Callable[[int], nn.Module]:
    return lambda d: dsptorch.FIR(d, kernel_size=taps)


def _folded_chain(d_model: int) -> nn.Module:
    return dsptorch.fold(dsptorch.Chain(*(dsptorch.FIR(d_model, kernel_size=4) for _ in range(4))))


def _in_series(peer: Callable[[int, int], nn.Module], d_model: int, taps: int, count: int) -> nn.Module:
    return nn.Sequential(*(peer(d_model, taps) for _ in range(count)))


CASES: Mapping[str, tuple[Callable[[int], nn.Module], int, int]] = {
    # What a layer is, the taps of a rival filter, and how many of them follow each other.
    "FIR, 4 taps": (_fir(4), 4, 1),
    "FIR, 11 taps": (_fir(11), 11, 1),
    "Multirate, folded": (lambda d: dsptorch.fold(dsptorch.Multirate(d, downsample=2)), 11, 1),
    "4 FIRs of 4 taps, folded": (_folded_chain, 4, 4),
    "EMA": (lambda d: dsptorch.EMA(d, half_life=16.0), 0, 1),
}


def arms(case: str, d_model: int, dtype: torch.dtype, *, compiles: bool) -> dict[str, nn.Module]:
    """What is timed beside each other; peers where they import, in the dtype of the signal."""
    make, taps, count = CASES[case]
    layer = make(d_model)
    found: dict[str, nn.Module] = {"copy": Copy(), "kernels": layer, TORCH: layer}
    if compiles:
        found["kernels, compiled"] = torch.compile(layer, fullgraph=True)  # type: ignore[assignment]
        found[f"{TORCH}, compiled"] = torch.compile(make(d_model), fullgraph=True)  # type: ignore[assignment]
    if taps:
        found["nn.Conv1d"] = _in_series(Conv, d_model, taps, count).to(dtype)
    for name, peer in (("causal-conv1d", CausalConv1d), ("fla", ShortConvolution)):
        if 2 <= taps <= 4:
            try:
                found[name] = _in_series(peer, d_model, taps, count).to(dtype)
            except ImportError:
                continue
    return found


def measure_filters(
    device: torch.device,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    budget: Budget,
    *,
    repeats: int,
    compiles: bool,
) -> dict[str, dict[str, dict[str, Any]]]:
    """For each case and arm: milliseconds forward, forward + backward, and the peak memory of both in bytes.

    The calls take turns on signals that together are larger than the caches of a device.
    """
    v, *xs = (torch.randn(shape, device=device).to(dtype) for _ in range(3))
    if device.type == "cuda":
        xs += [xs[0].clone() for _ in range(CACHE // (xs[0].numel() * xs[0].element_size()))]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for case in CASES:
        found[case] = {}
        for name, arm in arms(case, shape[2], dtype, compiles=compiles).items():
            if not budget.allows(f"{case}, {name}, {shape}, {dtype}"):
                continue
            try:
                with torch_path() if name.startswith(TORCH) else nullcontext():
                    found[case][name] = _measure(arm.to(device), xs, v, device, repeats)
            except Exception as error:  # noqa: BLE001, RUF100  # a peer that does not run is a result
                found[case][name] = {"error": f"{type(error).__name__}: {error}"[:300]}
    return found


def _measure(
    arm: nn.Module, xs: list[Tensor], v: Tensor, device: torch.device, repeats: int
) -> dict[str, dict[str, float]]:
    signals, learning = cycle(xs), cycle([x.detach().requires_grad_() for x in xs])

    def both() -> None:
        x = next(learning)
        x.grad = None
        arm.zero_grad()
        arm(x).backward(v)

    def forward() -> None:
        with torch.no_grad():
            arm(next(signals))

    result: dict[str, dict[str, float]] = {}
    for mode, run in {"forward": forward, "forward + backward": both}.items():
        for _ in range(3):
            run()
        result[mode] = {"ms": milliseconds(run, device, repeats), "peak bytes": peak_memory(run, device)}
        if device.type == "cuda":
            result[mode]["device ms"] = device_milliseconds(run, calls=repeats)
    return result
