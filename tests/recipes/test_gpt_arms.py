from dataclasses import replace

import pytest
import torch
from gpt.arms import Arm, build, token_shift
from gpt.at_rate import Trunk
from gpt.errors import UsageError
from gpt.model import GPT, GPTConfig

from dsptorch import FIR, ChannelBottleneck, LFORouting, Multirate

SEED = Arm(multirate={}, lfo_routing={}, bottleneck={})


def count(model: GPT, kind: type) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


def test_every_treatment_goes_where_it_belongs(shape: GPTConfig) -> None:
    layers = shape.n_layer
    model = build(shape, SEED)
    assert [count(model, kind) for kind in (Multirate, LFORouting, ChannelBottleneck)] == [layers] * 3
    assert count(build(shape, Arm(fir={})), FIR) == 2 * layers
    assert count(build(shape, Arm()), Multirate) == 0


@pytest.mark.parametrize(
    ("part", "kind"),
    [("multirate", Multirate), ("lfo_routing", LFORouting), ("bottleneck", ChannelBottleneck)],
)
def test_an_ablation_takes_one_block_out(shape: GPTConfig, part: str, kind: type) -> None:
    model = build(shape, replace(SEED, **{part: None}))
    assert count(model, kind) == 0
    assert sum(count(model, k) for k in (Multirate, LFORouting, ChannelBottleneck)) == 2 * shape.n_layer


def test_the_plain_weights_are_those_of_the_plain_arm(shape: GPTConfig, arm: Arm) -> None:
    torch.manual_seed(3)
    plain = GPT(shape).state_dict()
    torch.manual_seed(3)
    model = build(shape, arm)
    if arm.at_rate:  # a block has moved
        trunk = next(module for module in model.modules() if isinstance(module, Trunk))
        model.blocks[1] = trunk.blocks[0]
    treated = model.state_dict()
    for name, weight in plain.items():
        assert torch.equal(treated[name], weight), name


def test_token_shift_is_exact_and_learns_nothing(shape: GPTConfig) -> None:
    x = torch.randn(2, 9, 6)
    before = torch.cat((torch.zeros(2, 1, 6), x[:, :-1]), dim=1)
    assert torch.equal(token_shift(6)(x), torch.cat((x[..., :3], before[..., 3:]), dim=-1))
    trained = [p for p in build(shape, Arm(token_shift=True)).parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == sum(p.numel() for p in GPT(shape).parameters())


def test_an_unknown_argument_of_a_layer_is_named(shape: GPTConfig) -> None:
    with pytest.raises(UsageError, match=r"arm\.multirate: .*downsampel"):
        build(shape, Arm(multirate={"downsampel": 2}))
