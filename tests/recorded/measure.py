"""What is recorded of a layer or a filter, and what else must give the same numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import dsptorch as d
from dsptorch.layers import fold_layer
from tests.recorded.filters import WITHOUT_PERIOD, Weights

CHUNKS = (1, 4, 0, 7)  # and the rest
FAR = 100_003
"""Where `measure_far` begins, in samples."""
STRUCTURE = ("lookahead", "period", "receptive_field")

# How far a number may be from the recorded one, relative to the greatest of its tensor. Tighter than the tolerances
# for two ways of computing a thing: only the order of operations may differ. Both dtypes are held against float64. In
# float32 the gradient of a single number may cancel to little, so all gradients of a layer count as one tensor there.
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-6}

Found = dict[str, Tensor]


class Inputs(NamedTuple):
    """What a layer is run on."""

    x: Tensor  # (batch, time, width)
    v: Tensor  # the cotangent of its output
    packed: Tensor  # (rows, time, width)
    u: Tensor  # the cotangent of its output
    ids: Tensor  # the segment ids of `packed`, (rows, time)

    def to(self, dtype: torch.dtype) -> "Inputs":
        return Inputs(*(t if t is self.ids else t.to(dtype) for t in self))


def measure(layer: d.Layer, inputs: Inputs) -> Found:
    """Outputs and gradients of whole signals, plain and packed."""
    x, v, packed, u, ids = inputs
    x, packed = x.clone().requires_grad_(), packed.clone().requires_grad_()
    parameters = dict(layer.named_parameters())
    y = layer(x)
    first = gradients((v * y).sum(), {"x": x} | parameters, create_graph=True)
    found = {"forward": y} | {f"gradient of {name}": grad for name, grad in first.items()}
    second = gradients(first["x"].square().sum(), parameters)
    found |= {f"second order, {name}": torch.stack([g.sum(), g.abs().sum()]) for name, g in second.items()}
    y = layer(packed, segment_ids=ids)
    of_packed = gradients((u * y).sum(), {"x": packed} | parameters)
    found |= {"packed forward": y} | {f"packed gradient of {name}": g for name, g in of_packed.items()}
    return {name: tensor.detach() for name, tensor in found.items()}


def measure_stream(layer: d.Layer, inputs: Inputs) -> Found:
    """Positions after a stream, and how it goes on without ids where rows stand at different positions."""
    _, state = stepped(layer, inputs.x)
    _, packed = stepped(layer, inputs.packed, inputs.ids)
    # A row that ends in padding has no position that means anything.
    real = inputs.ids[:, -1] >= 0
    after, later = layer.step(inputs.x[:1, :5].expand(len(real), -1, -1), packed)
    found = {"position": state.position, "packed position": packed.position[real]}
    found |= {"later": after[real], "later position": later.position[real]}
    return {name: tensor.detach() for name, tensor in found.items()}


def measure_far(layer: d.Layer, inputs: Inputs) -> Found:
    """The next chunk, and its gradients, after a long one."""
    x = inputs.x.clone().requires_grad_()
    with torch.no_grad():
        _, state = layer.step(inputs.x.repeat(1, FAR // inputs.x.shape[1] + 1, 1)[:, :FAR])
    y, after = layer.step(x, state)
    grads = gradients((inputs.v * y).sum(), {"x": x} | dict(layer.named_parameters()))
    found = {"forward": y, "position": after.position}
    return {n: t.detach() for n, t in (found | {f"gradient of {n}": g for n, g in grads.items()}).items()}


def same(layer: d.Layer, inputs: Inputs) -> dict[str, tuple[Tensor, str]]:
    """Other ways to numbers that are recorded: the result, and the name of what it equals."""
    folded = fold_layer(layer)
    ways = {"folded": (folded(inputs.x), "forward")}
    ways["folded, packed"] = folded(inputs.packed, segment_ids=inputs.ids), "packed forward"
    if layer.lookahead == 0:
        for name, module in {"": layer, "folded, ": folded}.items():
            ways[f"{name}in chunks"] = stepped(module, inputs.x)[0], "forward"
            ways[f"{name}packed, in chunks"] = stepped(module, inputs.packed, inputs.ids)[0], "packed forward"
    return ways


def measure_filter(filter_: Callable[[Weights], d.PeriodicFIR], weights: Weights, inputs: Inputs) -> Found:
    """Output and gradients of a whole signal."""
    leaves = Weights(*(w.clone().requires_grad_() for w in weights))
    x = inputs.x.clone().requires_grad_()
    y = filter_(leaves)(x)
    grads = gradients((inputs.v * y).sum(), {"x": x} | leaves._asdict())
    return {"forward": y.detach()} | {f"gradient of {n}": g.detach() for n, g in grads.items()}


def same_filter(filter_: d.PeriodicFIR, inputs: Inputs) -> dict[str, tuple[Tensor, str]]:
    """Other ways to the output of a filter."""
    ways = {f"fold={fold}": (filter_(inputs.x, fold=fold), "forward") for fold in (False, True)}
    ways["folded"] = filter_.folded()(inputs.x), "forward"
    if filter_.lookahead == 0:
        ways["in chunks"] = stepped(filter_, inputs.x)[0], "forward"
    return ways


def structure(thing: Any, name: str = "") -> dict[str, int | None]:
    """Numbers that no weight changes."""
    if name in WITHOUT_PERIOD:
        return {"lookahead": thing.lookahead}
    more = ("taps", "memory", "channels") if isinstance(thing, d.PeriodicFIR) else ("delay",)
    return {which: getattr(thing, which) for which in (*STRUCTURE, *more)}


def stepped(layer: Any, x: Tensor, ids: Tensor | None = None) -> tuple[Tensor, Any]:
    """Run in chunks, and return the output and the last state."""
    outputs, state, start = [], None, 0
    for size in (*CHUNKS, x.shape[1] - sum(CHUNKS)):
        chunk = slice(start, start + size)
        y, state = layer.step(x[:, chunk], state, None if ids is None else ids[:, chunk])
        outputs.append(y)
        start += size
    return torch.cat(outputs, 1), state


def gradients(of: Tensor, to: dict[str, Tensor], *, create_graph: bool = False) -> Found:
    """The gradients by name, zero where there is none."""
    if not to or not of.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in to.items()}
    grads = torch.autograd.grad(
        of, tuple(to.values()), create_graph=create_graph, retain_graph=True, materialize_grads=True
    )
    return dict(zip(to, grads, strict=True))


def scales(recorded: Found, dtype: torch.dtype) -> dict[str, float]:
    """What the tolerance of each tensor is relative to."""
    greatest = {
        name: tensor.abs().max().item() if tensor.numel() else 0.0 for name, tensor in recorded.items()
    }
    if dtype == torch.float64:
        return greatest
    of_kind: dict[str, float] = {}
    for name, size in greatest.items():
        of_kind[kind(name)] = max(size, of_kind.get(kind(name), 0.0))
    return {name: of_kind[kind(name)] for name in greatest}


def kind(name: str) -> str:
    """`gradient` for `gradient of low`, `second order` for `second order, low`."""
    return name.partition(" of ")[0].partition(",")[0]


def check(
    actual: Tensor, expected: Tensor, what: str, dtype: torch.dtype, scale: float | None = None
) -> None:
    """Raise unless a tensor is the recorded one."""
    assert actual.shape == expected.shape, f"{what} has shape {actual.shape}, not {expected.shape}"
    if not actual.is_floating_point():
        assert torch.equal(actual, expected.to(actual.dtype)), f"{what} is {actual}, not {expected}"
        return
    assert actual.dtype in (dtype, torch.float32), f"{what} is {actual.dtype}"
    if expected.numel():
        error = (actual.double() - expected).abs().max().item()
        allowed = TOLERANCE[dtype] * (expected.abs().max().item() if scale is None else scale)
        assert error <= allowed, f"{what} is off by {error:.2e} where {allowed:.1e} is allowed"
