"""The process that benchmarks/beside.py starts for each checkout: it runs one arm at a time, when it is told to.

Of dsptorch it imports public names alone, so that it runs on every edition, and nothing of the other checkout's
benchmarks. A line of JSON comes in on stdin, and one goes out on stdout, after a mark: libraries may print there too.
"""

import contextlib
import copy
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TextIO, cast

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import dsptorch
from dsptorch import FIR, ChannelBottleneck, Layer, LFORouting, Multirate, streaming

Calls = dict[str, Callable[[], Any]]

MARK = "beside: "  # before every answer, as in beside.py
HISTORY = 10  # samples that a layer has seen before the token
TOLERANCE = 1e-5  # of the layer's output from the literal block's, relative to its greatest value


class Literal(nn.Module):
    """The study's equations as they stand: depthwise convolutions of the transposed signal, padded on the left."""

    def __init__(self, layer: Multirate) -> None:
        super().__init__()
        self.downsample = cast(int, layer.downsample)
        self.mix_ratio: Any = copy.deepcopy(layer.mix_ratio)
        self.detail_strength: Any = copy.deepcopy(layer.detail_strength)
        self.low, self.recon, self.detail = (
            nn.Parameter(taps.detach()[0].flip(0).T.unsqueeze(1).clone())  # (D, 1, K): conv1d correlates
            for taps in (layer.low, layer.recon, layer.detail)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) -> (B, T, D)."""
        signal = x.transpose(1, 2)  # (B, D, T)
        low = self._conv(signal, self.low, self.downsample)  # (B, D, ceil(T / s))
        held = low.repeat_interleave(self.downsample, -1)[..., : signal.shape[-1]]  # (B, D, T)
        coarse = self._conv(held, self.recon)
        detail = self._conv(signal - coarse, self.detail)
        processed = coarse + self.detail_strength() * detail
        mix = self.mix_ratio()
        y: Tensor = mix * x + (1 - mix) * processed.transpose(1, 2)
        return y

    def _conv(self, signal: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
        padded = F.pad(signal, (weight.shape[-1] - 1, 0))
        return F.conv1d(padded, weight, stride=stride, groups=weight.shape[0])


def multirate_arms(config: dict[str, Any]) -> Calls:
    """The block on whole signals, beside the literal block and a copy of the tensor."""
    layer = Multirate(config["d_model"])
    with torch.no_grad():
        for weight in (layer.low, layer.recon, layer.detail):
            weight.add_(0.1 * torch.randn_like(weight))
    literal = Literal(layer)
    x, v = torch.randn(2, config["batch"], config["time"], config["d_model"])
    x.requires_grad_()
    with torch.no_grad():
        expected = literal(x)
        error = ((layer(x) - expected).abs().max() / expected.abs().max()).item()
    if not error <= TOLERANCE:
        raise RuntimeError(f"Multirate differs from the literal block by {error:.1e} of its greatest value")
    modules: dict[str, Callable[[Tensor], Tensor]] = {"ours": layer, "literal": literal}
    if config["compile"]:
        modules |= {f"{n}, compiled": torch.compile(m, fullgraph=True) for n, m in modules.items()}
    modules["copy"] = torch.clone

    def forward(module: Callable[[Tensor], Tensor]) -> None:
        with torch.no_grad():
            module(x)

    def forward_backward(module: Callable[[Tensor], Tensor]) -> None:
        x.grad = None
        for weights in (layer, literal):
            weights.zero_grad(set_to_none=True)
        module(x).backward(v)

    calls: Calls = {}
    for name, module in modules.items():
        calls[f"forward: {name}"] = partial(forward, module)
        calls[f"forward + backward: {name}"] = partial(forward_backward, module)

    def folded(fold: bool, x: Tensor) -> Tensor:
        return layer.filter()(x, fold=fold)

    for fold in (True, False):
        calls[f"forward: ours, fold={fold}"] = partial(forward, partial(folded, fold))
    return calls


def stack(d_model: int) -> nn.Sequential:
    """Every kind of layer, as in benchmarks/streamed_token.py."""
    layers = FIR(d_model, 6, init="delays"), Multirate(d_model), Multirate(d_model, levels=2)
    return nn.Sequential(*layers, LFORouting(d_model), ChannelBottleneck(d_model)).eval()


NAMES = ("FIR", "Multirate", "Multirate, 2 levels", "LFORouting", "ChannelBottleneck")


def token_arms(config: dict[str, Any], stay: contextlib.ExitStack) -> Calls:
    """A token through each layer by itself, through all of them, and through all of them within `streaming`."""
    model = stack(config["d_model"])
    seen, token = torch.randn(1, HISTORY, config["d_model"]), torch.randn(1, 1, config["d_model"])
    layers = [cast(Layer, layer) for layer in model]
    with torch.no_grad():
        states = [layer.step(seen)[1] for layer in layers]

    @torch.no_grad()
    def step(layer: Layer, state: Any) -> None:
        layer.step(token, state)

    @torch.no_grad()
    def step_all() -> None:
        y = token
        for layer, state in zip(layers, states, strict=True):
            y, _ = layer.step(y, state)

    streamed = copy.deepcopy(model)

    @torch.no_grad()
    def stream() -> None:
        streamed(token)

    calls: Calls = {
        f"step: {n}": partial(step, layer, state)
        for n, layer, state in zip(NAMES, layers, states, strict=True)
    }
    with torch.no_grad():
        stay.enter_context(streaming(streamed))
        streamed(seen)
    return calls | {"step: all five": step_all, "streaming: all five": stream}


def optional(arm: str) -> bool:
    """Whether an edition may lack it."""
    return "fold=" in arm


def prepare(calls: Calls) -> dict[str, str]:
    """Call everything twice, which compiles; drop what this edition lacks, and return why by name."""
    missing = {}
    for name, call in list(calls.items()):
        try:
            call()
            call()
        except (AttributeError, TypeError) as error:
            if not optional(name):
                raise
            missing[name] = f"{type(error).__name__}: {error}"
            del calls[name]
    return missing


def timed(call: Callable[[], Any], calls: int) -> float:
    """Milliseconds of a call, on average over `calls`, after one that is not timed."""
    call()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return 1e3 * (time.perf_counter() - start) / calls


def answers(config: dict[str, Any], lines: TextIO) -> Iterator[dict[str, Any]]:
    """Say what there is; then the milliseconds of each arm that is asked for."""
    torch.set_num_threads(config["threads"])
    torch.manual_seed(config["seed"])
    with contextlib.ExitStack() as stay:
        calls: Calls = {}
        if "multirate" in config["cases"]:
            calls |= multirate_arms(config)
        if "token" in config["cases"]:
            calls |= token_arms(config, stay)
        missing = prepare(calls)
        yield {
            "arms": list(calls),
            "missing": missing,
            "dsptorch": dsptorch.__version__,
            "file": dsptorch.__file__,
        }
        for line in lines:
            asked = json.loads(line)
            yield {"milliseconds": timed(calls[asked["arm"]], asked["calls"])}


def main() -> None:
    """Answer until stdin ends."""
    try:
        for answer in answers(json.loads(sys.argv[1]), sys.stdin):
            print(f"\n{MARK}{json.dumps(answer)}", flush=True)
    except Exception as error:
        traceback.print_exc()
        print(f"\n{MARK}{json.dumps({'error': f'{type(error).__name__}: {error}'})}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
