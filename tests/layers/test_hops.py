"""How far it is from a layer's `forward` to the kernel: the library's own functions on the way."""

import sys
from pathlib import Path

import pytest
import torch

import dsptorch
from dsptorch import FIR, Multirate

ROOT = str(Path(dsptorch.__file__).parent)
MOST = 6


def way_to(target: str, run) -> list[str]:
    """The library's functions on the stack when `target` is called for the first time, itself included."""
    found: list[str] = []

    def watch(frame, event, _):
        if event != "call" or found or frame.f_code.co_name != target:
            return
        while frame is not None:
            if frame.f_code.co_filename.startswith(ROOT):
                found.insert(0, frame.f_code.co_name)
            frame = frame.f_back

    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def check_way(layer, target):
    way = way_to(target, lambda: layer(torch.randn(2, 9, 4)))
    assert way[0] == "forward"
    assert way[-1] == target
    assert len(way) <= MOST, " -> ".join(way)


@pytest.mark.parametrize("target", ["fold", "lptv_filter"])
def test_multirate_folds_and_filters_within_six_hops(target):
    check_way(Multirate(4), target)


def test_a_detour_is_caught():
    class Detour(FIR):
        def forward(self, x):
            return self.first(x)

        def first(self, x):
            return super().forward(x)

    layer = Detour(4)
    Detour.first.__code__ = Detour.first.__code__.replace(co_filename=f"{ROOT}/layers/detour.py")
    Detour.forward.__code__ = Detour.forward.__code__.replace(co_filename=f"{ROOT}/layers/detour.py")
    with pytest.raises(AssertionError, match="forward -> first -> forward -> "):
        check_way(layer, "lptv_filter")


def test_the_structure_is_not_built_again():
    """Nothing of a plan is made in a call: neither in forward nor in step."""
    layer = Multirate(4, levels=2)

    def both():
        layer.step(torch.randn(1, 1, 4), layer.step(torch.randn(1, 3, 4))[1])
        layer(torch.randn(2, 9, 4))

    assert not way_to("multirate_plan", both)
    assert not way_to("__matmul__", both)
    assert way_to("multirate_plan", lambda: Multirate(4))
