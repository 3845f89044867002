import pytest
import torch
from gpt.arms import Arm, build
from gpt.data import Splits
from gpt.errors import UsageError
from gpt.generate import streaming_error
from gpt.model import GPTConfig
from gpt.rivals import canon, dilated, haar
from torch import nn

from dsptorch import FIR, find
from tests.recipes.test_gpt_leak_gate import gate

RIVALS = {
    "canon": Arm(canon={}),
    "haar": Arm(haar={"levels": 3}),
    "dilated": Arm(dilated={}),
    "token_shift": Arm(token_shift=True),
    "ngrams": Arm(ngrams={"orders": [2, 3], "buckets": 50}),
    "ngrams_split": Arm(ngrams={"orders": [4, 2], "buckets": 50, "split": True}),
    "smear": Arm(smear={"groups": 4}),
    "dynamic": Arm(dynamic={"groups": 4}),
    "kv_fir": Arm(kv_fir={}, token_shift=True),
}


@pytest.fixture(params=RIVALS)
def rival(request: pytest.FixtureRequest) -> Arm:
    return RIVALS[request.param]


def test_every_rival_passes_the_leak_gate_and_streams(shape: GPTConfig, splits: Splits, rival: Arm) -> None:
    model = build(shape, rival)
    for parameter in model.parameters():  # what begins at zero or as the identity would hide a leak
        nn.init.normal_(parameter, std=0.2)
    gate(model, splits)
    assert streaming_error(model, splits.val[:32].long().view(2, 16)) < 1e-4


def test_canon_is_a_convolution_beside_the_identity(shape: GPTConfig) -> None:
    layer, x = canon(6), torch.randn(2, 9, 6)
    taps = layer.weight.detach().clone()
    taps[0] -= 1
    assert 0.1 < taps.abs().max() <= 0.5
    kernel = taps.flip(0).T[:, None]  # (C, 1, K)
    padded = nn.functional.pad(x.transpose(1, 2), (3, 0))
    expected = x + nn.functional.conv1d(padded, kernel, groups=6).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)
    widths = {
        name: fir.d_model
        for name, fir in find(build(shape, RIVALS["canon"]), FIR).items()
        if "blocks.0" in name
    }
    assert sorted(widths.values()) == [16, 16, 48, 64]


@pytest.mark.parametrize(("sites", "widths"), [("AC", [16, 16]), ("B", [48]), ("DA", [16, 64])])
def test_canon_layers_stand_at_the_sites_that_are_asked_for(
    shape: GPTConfig, sites: str, widths: list[int]
) -> None:
    found = find(build(shape, Arm(canon={"sites": sites, "kernel_size": 3})), FIR)
    assert sorted(fir.d_model for name, fir in found.items() if "blocks.0" in name) == widths


def test_haar_averages_half_of_the_channels() -> None:
    x = torch.randn(1, 12, 8)
    y = haar(8, levels=2)(x)
    assert torch.equal(y[..., :4], x[..., :4])
    for channel, window in {4: 2, 5: 2, 6: 4, 7: 4}.items():
        mean = torch.stack([x[0, max(0, t - window + 1) : t + 1, channel].sum() / window for t in range(12)])
        torch.testing.assert_close(y[0, :, channel], mean)
    assert not any(parameter.requires_grad for parameter in haar(8).parameters())


def test_dilated_taps_lie_apart_and_stay_so() -> None:
    layer = dilated(3, kernel_size=3, distance=4)
    x = torch.randn(1, 20, 3)
    torch.testing.assert_close(layer(x), x)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        layer(x).square().sum().backward()
        optimizer.step()
    moved = layer.weight.detach().abs().amax(1) > 0
    assert moved.tolist() == [i % 4 == 0 for i in range(9)]


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (Arm(canon={}, fir={}), "got fir and canon"),
        (Arm(dilated={}, token_shift=True), "got token_shift and dilated"),
        (Arm(canon={"taps": 3}), r"arm\.canon: got .*taps"),
        (Arm(canon={"sites": "AE"}), r"arm\.canon\.sites: expected .* ABCD, got 'AE'"),
        (Arm(canon={"sites": ""}), r"arm\.canon\.sites: expected .* ABCD, got ''"),
    ],
)
def test_what_cannot_be_is_refused(shape: GPTConfig, arm: Arm, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(shape, arm)
