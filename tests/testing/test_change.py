"""How large an output is: outliers do not count, whatever is huge, and rounding of what is ordinary stays small."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsptorch.testing._engine.change import moved, place_of, relatively_moved, sizes_of

Y = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
HUGE = {
    "channel": (slice(None), slice(None), 2),
    "time step": (slice(None), 7),
    "row": (1,),
    "tenth of the values": (slice(None), slice(None, None, 10)),
    "half of the time": (slice(None), slice(15, None)),
    "value": (0, 3, 1),
}


def sizes(y):
    return sizes_of({"y": y})["y"]


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("value", [-1e4, -1e9, torch.finfo(torch.float32).min])
def test_what_is_huge_leaves_the_size_of_the_others(name, value):
    y, others = Y.clone(), torch.ones(Y.shape, dtype=torch.bool)
    y[HUGE[name]], others[HUGE[name]] = value, False
    assert (sizes(y)[others] <= 1e3 * Y.abs().median()).all()
    assert (sizes(y)[~others] == abs(value)).all()


@given(st.integers(0, 2**31), st.integers(2, 40), st.sampled_from([1e-30, 1.0, 1e30]))
def test_the_size_of_noise_is_its_greatest_value(seed, time, scale):
    y = scale * (0.01 + torch.rand(2, time, 3, generator=torch.Generator().manual_seed(seed)))
    assert torch.equal(sizes(y), y.amax(1, keepdim=True).expand_as(y))


def test_a_silent_channel_has_the_size_of_the_row():
    y = Y.clone()
    y[..., 0] = 0
    assert torch.equal(sizes(y)[..., 0], y.abs().flatten(1).amax(1, keepdim=True).expand(2, 30))
    assert not sizes(torch.zeros(2, 5, 3)).any()


def test_whole_numbers_count_at_once():
    for dtype in (torch.int64, torch.uint8, torch.bool):
        y = (Y > 0).to(dtype)
        other = y.clone()
        other[0, 5, 1] = ~y[0, 5, 1] if dtype == torch.bool else 1 - y[0, 5, 1]
        before, after = {"y": y + 2**60 if dtype == torch.int64 else y}, {"y": other}
        if dtype == torch.int64:
            after["y"] = other + 2**60
        change = relatively_moved(after, before, sizes_of(before))
        assert change.nonzero().tolist() == [[0, 5]]
        assert change[0, 5] == 1


def test_changes_of_every_kind():
    y = torch.tensor([[[1.0], [torch.inf], [-torch.inf], [1.0], [2.0]]])
    other = torch.tensor([[[1.0], [torch.inf], [0.0], [torch.nan], [2.5]]])
    assert moved({"y": other}, {"y": y}).tolist() == [[0, 0, torch.inf, torch.inf, 0.5]]
    before, after = {"a": Y, "b": 1e6 * Y}, {"a": Y.clone(), "b": 1e6 * Y}
    after["b"][1, 4, 2] += 100
    after["a"][1, 4, 3] += 1
    place = place_of(after, before, sizes_of(before), 1, 4)
    assert place.name == "a"
    assert place.change == pytest.approx(1)
    with pytest.raises(ValueError, match=r"got \(2, 30, 4\) and \(2, 30, 3\)"):
        moved({"y": Y[..., :3]}, {"y": Y})
