"""How many kernels a layer launches, eager: the operations on tensors that the dispatcher sees, but views."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import dsptorch
from tests.functional.gpu.planted import counted

MOST = 3
TWICE = ("aten::constant_pad_nd",)  # fills, and copies


class Launches(TorchDispatchMode):
    """The names of the operations that compute; views and allocations do not."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        views = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        computes = any(isinstance(r.type, torch.TensorType) for r in func._schema.returns)
        if computes and not views and "empty" not in func.name():
            self.names += [func.name()] * (1 + (func.name() in TWICE))
        return func(*args, **(kwargs or {}))


def count(layer, x) -> list[str]:
    with torch.no_grad(), Launches() as launches:
        layer(x)
    return launches.names


FOLDED = {
    "Multirate": lambda: dsptorch.Multirate(4, downsample=2, levels=2),
    "FIR": lambda: dsptorch.FIR(4, kernel_size=11),
    "chain": lambda: dsptorch.Chain(dsptorch.FIR(4, kernel_size=4), dsptorch.Multirate(4, downsample=3)),
}


@pytest.mark.parametrize("name", FOLDED)
@pytest.mark.parametrize("time", [1, 9])
def test_a_folded_layer_launches_three_at_most(device, name, time):
    layer = dsptorch.fold(FOLDED[name]()).to(device).eval()
    names = count(layer, torch.randn(2, time, 4, device=device, dtype=torch.bfloat16))
    assert sum("periodic_filter" in one for one in names) == 1
    assert len(names) <= MOST, names


def test_the_torch_path_launches_more(device, monkeypatch):
    from dsptorch.functional.gpu import choice

    monkeypatch.setattr(choice, "DEVICES", set())
    layer = dsptorch.fold(FOLDED["FIR"]()).to(device).eval()
    assert len(count(layer, torch.randn(2, 9, 4, device=device))) > MOST


@pytest.mark.parametrize(
    ("stem", "name", "channels"), [("periodic", "filter_kernel", 3), ("windows", "window_filter_kernel", 8)]
)
def test_the_operator_of_a_filter_is_one_launch(device, monkeypatch, stem, name, channels):
    from dsptorch.functional.gpu.periodic import periodic_filter

    launched = counted(monkeypatch, stem, name)
    x, weight = torch.ones(1, 5, channels, device=device), torch.ones(1, 2, 3, channels, device=device)
    with Launches() as launches:
        periodic_filter(x, weight, [0, 1, 2], 0, 5, None, None, False)
    assert len(launched) == 1
    assert launches.names == ["dsptorch::periodic_filter"]


@pytest.mark.parametrize(("time", "number"), [(4, 1), (5, 3), (17, 5)])
@pytest.mark.parametrize(("order", "n"), [(1, 1), (1, 2), (2, 1)])
def test_a_recurrence_launches_three_unless_it_has_many_chunks(device, monkeypatch, time, number, order, n):
    from dsptorch.functional.gpu import recurrence

    monkeypatch.setattr(recurrence, "WHOLE", 4)
    monkeypatch.setattr(recurrence, "SHORTEST", 2)
    launched = counted(monkeypatch, "recurrence", "chunk_kernel")
    x, a = torch.ones(1, time, n, 1, device=device), torch.ones(order, n, n, 1, device=device) / 2
    recurrence.recurrence(x, a, None, None, False, None, False)
    assert len(launched) == number


class Traffic(TorchDispatchMode):
    """The bytes of signals that operations read and write; a recurrence of several chunks reads its input twice."""

    def __init__(self, samples):
        super().__init__()
        self.samples, self.bytes = samples, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns):
            return result  # a view
        outputs = result if isinstance(result, tuple) else (result,)
        for tensor, times in [(t, 1 + ("scan" in func.name())) for t in args] + [(t, 1) for t in outputs]:
            if isinstance(tensor, torch.Tensor) and tensor.numel() == self.samples:
                self.bytes += times * tensor.numel() * tensor.element_size()
        return result


def traffic(layer, x) -> float:
    """Bytes in copies of the signal, each of which reads and writes it."""
    with torch.no_grad(), Traffic(x.numel()) as moved:
        layer(x)
    return moved.bytes / (2 * x.numel() * x.element_size())


def test_an_average_moves_no_more_than_two_copies(device, monkeypatch):
    x = torch.randn(2, 40, 3, device=device).bfloat16()
    layer = dsptorch.EMA(3, half_life=16.0).to(device)
    assert traffic(layer, x) == 1.5

    class Widened(dsptorch.EMA):  # planted: as it was
        def process(self, x, memory, timeline):
            y, memory = super().process(x.float(), memory, timeline)
            return y.to(x.dtype), memory

    assert traffic(Widened(3, half_life=16.0).to(device), x) > 2
