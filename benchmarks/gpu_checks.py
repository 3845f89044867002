"""What `gpu.py` checks before it measures: every kind of layer on the device, against itself in float64 on the CPU."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from gpu_filters import Budget, torch_path
from torch import Tensor

import dsptorch
from dsptorch.testing import assert_causal, assert_close, assert_compiles, assert_streaming_equals_batch

__all__ = ["COMPILE", "GRAPH", "LAYERS", "check_all", "equals_float64"]

COMPILE, GRAPH = "compile", "CUDA graph"
LAYERS: dict[str, Callable[[int], dsptorch.Layer]] = {
    "FIR": lambda d: dsptorch.FIR(d, kernel_size=11),
    "Multirate": lambda d: dsptorch.Multirate(d, downsample=2, levels=2),
    "Multirate, folded": lambda d: dsptorch.fold(dsptorch.Multirate(d, downsample=2)),
    "LFORouting": dsptorch.LFORouting,
    "ChannelBottleneck": dsptorch.ChannelBottleneck,
    "EMA": dsptorch.EMA,
    "EMABank": lambda d: dsptorch.EMABank(d, 2),
    "Resonator": dsptorch.Resonator,
    "Decimate": lambda d: dsptorch.Decimate(d, 2),
    "Upsample": lambda d: dsptorch.Upsample(d, 2),
    "ResamplePoly": lambda d: dsptorch.ResamplePoly(d, 3, 2),
    "UndecimatedBank": dsptorch.UndecimatedBank,
    "FilterBank": lambda d: dsptorch.FilterBank(d, 4),
}


def equals_float64(layer: dsptorch.Layer, x: Tensor) -> None:
    """The output and every gradient, within the tolerances of the dtype."""
    exact = deepcopy(layer).cpu().double()
    found = _results(layer, x)
    with torch_path():  # where the kernels are interpreted, they take tensors of the CPU
        expected = _results(exact, x.cpu().double())
    assert found.keys() == expected.keys(), f"gradients of {sorted(found)}, expected of {sorted(expected)}"
    for name, one in found.items():
        other = expected[name]
        assert_close(one.cpu(), other, dtype=x.dtype, scale=max(1.0, float(other.abs().max())), what=name)


def _results(layer: dsptorch.Layer, x: Tensor) -> dict[str, Tensor]:
    layer.zero_grad()
    x = x.detach().clone().requires_grad_()
    y = layer(x)
    y.float().square().mean().backward()
    found = {"the output": y.detach(), "the gradient of x": x.grad}
    found |= {name: p.grad for name, p in layer.named_parameters()}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def replays(layer: dsptorch.Layer, x: Tensor) -> None:
    """A CUDA graph of the forward pass gives the output of another input."""
    static, other = x.clone(), torch.randn_like(x)
    with torch.no_grad():
        expected = layer(other)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                layer(static)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = layer(static)
        static.copy_(other)
        graph.replay()
    assert_close(y, expected, what="the replayed output")


def launches_three(layer: dsptorch.Layer, x: Tensor) -> None:
    """The forward pass launches at most three kernels, by the profiler."""
    cuda = torch.profiler.ProfilerActivity.CUDA
    with torch.no_grad():
        layer(x)
        with torch.profiler.profile(activities=[cuda]) as profile:
            layer(x)
            torch.cuda.synchronize()
    names = [event.name for event in profile.events() if event.device_type.name == "CUDA"]
    assert 1 <= len(names) <= 3, f"{len(names)} kernels: {names}"


def check_all(device: torch.device, names: list[str], compiling: Budget) -> dict[str, dict[str, str]]:
    """For each layer and check "passed", or what is wrong; layers compile as long as `compiling` allows."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        torch.manual_seed(0)
        layer = LAYERS[name](8).to(device)
        x = torch.randn(2, 24, 8, device=device)
        checks: dict[str, Callable[[], None]] = {
            f"{dtype}": partial(equals_float64, layer, x.to(dtype))
            for dtype in (torch.float32, torch.bfloat16, torch.float16)
        }
        wide = LAYERS[name](96).to(device)  # more channels and samples than a tile
        checks["many channels"] = partial(equals_float64, wide, torch.randn(2, 600, 96, device=device))
        checks["leak"] = partial(assert_causal, layer, x)
        checks["streaming"] = partial(assert_streaming_equals_batch, layer, x)
        if compiling.allows(f"{COMPILE}, {name}"):
            checks[COMPILE] = partial(assert_compiles, layer, x)
        if device.type == "cuda":
            checks[GRAPH] = partial(replays, layer, x)
            if name.endswith("folded"):
                checks["launches"] = partial(launches_three, layer, x)
        found[name] = {check: _outcome(run) for check, run in checks.items()}
    return found


def _outcome(run: Callable[[], object]) -> str:
    try:
        run()
    except Exception as error:  # noqa: BLE001, RUF100  # the others are to be checked all the same
        return f"{type(error).__name__}: {error}"
    return "passed"
