import pytest
import torch
from gpt.arms import Arm, build
from gpt.errors import UsageError
from gpt.gates import Dynamic, Smear, kv_fir, token_shift
from gpt.model import GPTConfig
from torch import nn


def test_smear_is_token_shift_at_first_and_shifts_as_far_as_its_gate_says() -> None:
    layer, x = Smear(8, groups=4), torch.randn(2, 9, 8)
    shifted = token_shift(8)(x)
    torch.testing.assert_close(layer(x), shifted)
    nn.init.normal_(layer.gate.weight)
    gate = 2 * (x @ layer.gate.weight.T).sigmoid().repeat_interleave(2, dim=-1)
    torch.testing.assert_close(layer(x), x + gate * (shifted - x))
    assert [name for name, p in layer.named_parameters() if p.requires_grad] == ["gate.weight"]


def test_dynamic_taps_are_chosen_by_the_sample_and_sum_to_one() -> None:
    layer, x = Dynamic(6, kernel_size=3, groups=3), torch.randn(2, 9, 6)
    nn.init.normal_(layer.taps.weight)
    taps = (x @ layer.taps.weight.T + layer.taps.bias).unflatten(-1, (3, 3)).softmax(-1)  # (B, T, G, K)
    delayed = torch.stack([nn.functional.pad(x, (0, 0, k, 0))[:, :9] for k in range(3)])  # (K, B, T, D)
    expected = sum(taps[..., k].repeat_interleave(2, dim=-1) * delayed[k] for k in range(3))
    torch.testing.assert_close(layer(x), expected)
    ones = torch.ones(1, 9, 6)
    torch.testing.assert_close(layer(ones)[:, 2:], ones[:, 2:])


def test_filters_of_keys_and_values_leave_queries_alone() -> None:
    layer, x = kv_fir(12, 3, "delays"), torch.randn(2, 9, 12)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        layer(x).square().sum().backward()
        optimizer.step()
    y = layer(x)
    assert torch.equal(y[..., :4], x[..., :4])
    assert not torch.allclose(y[..., 4:], x[..., 4:], atol=0.1)


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (Arm(smear={"groups": 3}), r"arm\.smear\.groups: expected a divisor of model\.d_model=16, got 3"),
        (Arm(dynamic={"groups": 5}), r"arm\.dynamic\.groups: expected a divisor"),
        (Arm(smear={}, token_shift=True), "got token_shift and smear"),
        (Arm(kv_fir={"taps": 2}), r"arm\.kv_fir: got .*taps"),
    ],
)
def test_what_cannot_be_is_refused(shape: GPTConfig, arm: Arm, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(shape, arm)
