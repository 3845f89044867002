"""Record the numbers that the layers and filters of the first edition give.

    python -m tests.recorded.record

It was run on the first edition, at version 0.1.0, before the core was rebuilt, and what it wrote is the referee of
every later one. Do not run it again to make a failing test pass: a number that changes by more than rounding is a
bug, or a change of behaviour that the changelog must name. For a new layer, add a file of its own beside cases.npz.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.recorded.filters import FILTERS, Weights
from tests.recorded.layers import FAR, LAYERS, LONG, WIDTH
from tests.recorded.measure import (
    Found,
    Inputs,
    measure,
    measure_far,
    measure_filter,
    measure_stream,
    structure,
)

PATH = Path(__file__).with_name("cases.npz")
DTYPE = torch.float64

# Padding at the beginning, in the middle and at the end, segments of one sample, and segments that begin at times that
# are no multiple of any period.
SHORT_IDS = [
    [-1] * 2 + [0] * 5 + [1] * 3 + [-1] * 3 + [7] * 10,
    [2] * 7 + [0] + [3] * 12 + [-1] * 3,
    [4] * 10 + [5] * 13,
]
LONG_IDS = [[0] * 33 + [-1] * 4 + [1] * 31 + [2] * 7]


class Writer:
    """Put many small tensors into one file of two arrays: all values, and where each tensor lies."""

    def __init__(self) -> None:
        self.values: list[np.ndarray] = []
        self.index: dict[str, dict[str, list[int]]] = {}
        self.structures: dict[str, dict[str, int | None]] = {}
        self.size = 0

    def add(self, group: str, tensors: Found) -> None:
        """Take the tensors of one case."""
        places = self.index.setdefault(group, {})
        for name, tensor in tensors.items():
            values = tensor.detach().to(DTYPE).numpy().ravel()
            places[name] = [self.size, *tensor.shape]
            self.values.append(values)
            self.size += values.size

    def save(self, path: Path) -> None:
        """Write the file."""
        index = json.dumps({"tensors": self.index, "structures": self.structures})
        np.savez_compressed(path, index=np.array(index), values=np.concatenate(self.values))


class Reader:
    """Read what `Writer` wrote."""

    def __init__(self, path: Path = PATH) -> None:
        with np.load(path, allow_pickle=False) as file:
            index, self._values = json.loads(str(file["index"])), torch.from_numpy(file["values"])
        self._index: dict[str, dict[str, list[int]]] = index["tensors"]
        self.structures: dict[str, dict[str, int | None]] = index["structures"]

    def groups(self, kind: str) -> set[str]:
        """The names of the cases of one kind."""
        return {name.removeprefix(kind) for name in self._index if name.startswith(kind)}

    def __getitem__(self, group: str) -> Found:
        return {name: self._tensor(*place) for name, place in self._index[group].items()}

    def inputs(self, name: str) -> Inputs:
        """What the layer of that name is run on, in float64."""
        found = self["inputs long" if name in LONG else "inputs"]
        return Inputs(**found)._replace(ids=found["ids"].to(torch.int64))

    def _tensor(self, start: int, *shape: int) -> Tensor:
        return self._values[start : start + int(np.prod(shape, dtype=int))].reshape(shape).clone()


def rounded(tensor: Tensor) -> Tensor:
    """The nearest numbers that float32 holds too, so that both dtypes compute on the same."""
    return tensor.to(torch.float32).to(DTYPE)


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return rounded(torch.randn(shape, generator=generator, dtype=DTYPE))


def draw_inputs(generator: torch.Generator, batch: int, ids: list[list[int]]) -> Inputs:
    packed = torch.tensor(ids)
    whole, cut = (batch, packed.shape[1], WIDTH), (*packed.shape, WIDTH)
    x, v, u = draw(generator, *whole), draw(generator, *whole), draw(generator, *cut)
    return Inputs(x, v, draw(generator, *cut), u, packed)


@torch.no_grad()
def scatter(layer: torch.nn.Module, generator: torch.Generator, *, far: bool) -> None:
    """Move every parameter away from its tidy first value.

    Far out, an error of a frequency counts as often as there were samples. So there all stand in the middle of their
    bounds, which has no rounding error.
    """
    for name, parameter in layer.named_parameters():
        parameter.copy_(rounded(parameter + 0.3 * draw(generator, *parameter.shape)))
        if far and name.endswith("freq.raw"):
            parameter.zero_()


def record() -> Writer:
    """Run everything once, in float64."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    writer = Writer()
    inputs = {False: draw_inputs(generator, 2, SHORT_IDS), True: draw_inputs(generator, 1, LONG_IDS)}
    writer.add("inputs", inputs[False]._asdict())
    writer.add("inputs long", inputs[True]._asdict())
    for name, build in (LAYERS | FAR).items():
        layer = build().to(DTYPE)
        scatter(layer, generator, far=name in FAR)
        given = inputs[name in LONG]
        found = measure_far(layer, given) if name in FAR else measure(layer, given)
        if name not in FAR and layer.lookahead == 0:
            found |= measure_stream(layer, given)
        writer.add(f"state {name}", dict(layer.state_dict()))
        writer.add(f"layer {name}", found)
        writer.structures[f"layer {name}"] = structure(layer)
    shapes = ((5,), (3, WIDTH), (2, 3, WIDTH), (3, 2, WIDTH), (WIDTH,), ())
    weights = Weights(*(draw(generator, *shape) for shape in shapes))
    writer.add("weights", weights._asdict())
    for name, filter_ in FILTERS.items():
        writer.add(f"filter {name}", measure_filter(filter_, weights, inputs[False]))
        writer.structures[f"filter {name}"] = structure(filter_(weights), name)
    return writer


if __name__ == "__main__":
    record().save(PATH)
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")
