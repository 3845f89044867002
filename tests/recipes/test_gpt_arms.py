from dataclasses import replace

import pytest
import torch
from gpt.arms import Arm, build, token_shift
from gpt.at_rate import Trunk
from gpt.banks import Weigh, ema_bank
from gpt.errors import UsageError
from gpt.model import GPT, GPTConfig

from dsptorch import (
    EMA,
    FIR,
    ChannelBottleneck,
    EMABank,
    LFORouting,
    Multirate,
    UndecimatedBank,
    find,
)
from dsptorch.testing import check_layer

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


@pytest.mark.parametrize(
    ("arm", "kind"),
    [
        (Arm(undecimated={"levels": 3}), UndecimatedBank),
        (Arm(ema={}), EMA),
        (Arm(ema_bank={"num": 2, "half_life": [2.0, 8.0]}), EMABank),
    ],
    ids=["undecimated", "ema", "ema_bank"],
)
def test_banks_and_averages_stand_on_the_branches(shape: GPTConfig, arm: Arm, kind: type) -> None:
    model = build(shape, arm)
    assert count(model, kind) == 2 * shape.n_layer
    tokens = torch.randint(shape.vocab_size, (2, 7))
    model(tokens).square().sum().backward()
    for layer in find(model, kind).values():
        assert any(p.grad is not None for p in layer.parameters())


def test_what_has_one_place_is_refused_twice(shape: GPTConfig) -> None:
    with pytest.raises(UsageError, match="got fir and ema;"):
        build(shape, Arm(fir={}, ema={}))


def test_a_bank_of_averages_is_the_identity_at_first_and_adds_what_it_weighs() -> None:
    layer, x = ema_bank(6, 2, half_life=(1.0, 4.0)), torch.randn(2, 9, 6)
    assert torch.equal(layer(x), x)
    bank = find(layer, EMABank)["layers.1.layers.0"]
    find(layer, Weigh)["layers.1.layers.1"].gain.data[1] = 3.0
    torch.testing.assert_close(layer(x), x + 3 * bank(x)[..., 6:])
    check_layer(layer, skip=["compiles", "exports"])


def test_token_shift_is_exact_and_learns_nothing(shape: GPTConfig) -> None:
    x = torch.randn(2, 9, 6)
    before = torch.cat((torch.zeros(2, 1, 6), x[:, :-1]), dim=1)
    assert torch.equal(token_shift(6)(x), torch.cat((x[..., :3], before[..., 3:]), dim=-1))
    trained = [p for p in build(shape, Arm(token_shift=True)).parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == sum(p.numel() for p in GPT(shape).parameters())


def test_an_unknown_argument_of_a_layer_is_named(shape: GPTConfig) -> None:
    with pytest.raises(UsageError, match=r"arm\.multirate: .*downsampel"):
        build(shape, Arm(multirate={"downsampel": 2}))
