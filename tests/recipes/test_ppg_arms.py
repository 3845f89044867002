"""Every arm has the same number of parameters, its own memory, and no future; it streams if its layers do."""

import pytest
import torch
from ppg.arms import ARMS, Arm, CausalConv, build, lowpass_bank, parameters
from ppg.data import Recording, split
from ppg.evaluate import CONTEXT, at_once, in_chunks, in_windows, memory
from torch import nn

from dsptorch import FIR, find

MEMORY = {
    "plain": 32,
    "frame": 188,
    "dilated": 188,
    "multirate": 188,
    "undecimated": 188,
    "delays_multirate": 235,
}
PLAIN_CONV = ("conv", "dilated")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("arm", ARMS)
def test_parameters_and_memory(arm: str) -> None:
    model = build(ARMS[arm])
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)  # many taps are 0 at first
    assert parameters(model) == pytest.approx(parameters(build(ARMS["plain"])), rel=0.01)
    assert memory(model) == MEMORY.get(arm, 77)
    assert memory(model) <= CONTEXT + 1


def test_the_layers_of_an_arm_are_inserted_before_every_mlp_in_order() -> None:
    convs = find(build(ARMS["dilated"]), CausalConv)
    assert [conv.past for conv in convs.values()] == [12, 48, 96]
    assert all(name.startswith(f"mlps.{i}.") for i, name in enumerate(convs))


def test_an_arm_that_alone_has_too_many_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"room for MLPs within 13,665 parameters, got .* in 'greedy'"):
        build(Arm("greedy", lambda _: FIR(32, 200)))


def test_memory_counts_the_present_and_the_past() -> None:
    assert memory(nn.Identity()) == 1
    assert memory(FIR(1, 10, init=torch.ones(10, 1))) == 10
    assert memory(CausalConv(1, 3, dilation=5)) == 11


def test_lowpasses_differ_in_cutoff_and_pass_what_is_constant() -> None:
    bank = lowpass_bank(32, 16)
    torch.testing.assert_close(bank.sum(0), torch.ones(32))
    nyquist = (bank * (-1.0) ** torch.arange(16).unsqueeze(-1)).sum(0).abs()
    widths = bank.square().sum(0)  # grows with the cutoff
    assert bool((widths.diff() > 0).all())
    assert nyquist[0] < 0.01


def apart(first, second, model: nn.Module, recording: Recording) -> float:
    signal = recording.signal[:1200]
    return (first(model, signal) - second(model, signal)).abs().max().item()


@pytest.fixture
def recording() -> Recording:
    return split(torch.randn(4000, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("arm", ARMS)
def test_in_chunks_it_forecasts_as_at_once_if_its_layers_remember(arm: str, recording: Recording) -> None:
    """nn.Conv1d is the planted bug: it forgets the chunk before."""
    found = apart(in_chunks, at_once, build(ARMS[arm]), recording)
    assert found > 1e-2 if arm in PLAIN_CONV else found < 1e-5


@pytest.mark.parametrize("arm", ARMS)
def test_in_windows_it_forecasts_as_at_once_unless_it_follows_the_position(
    arm: str, recording: Recording
) -> None:
    """LFORouting counts from the start of each window."""
    found = apart(in_windows, at_once, build(ARMS[arm]), recording)
    assert found > 1e-2 if arm == "lfo" else found < 1e-5
