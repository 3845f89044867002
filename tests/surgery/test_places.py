"""Places at which an insertion would not act, or act twice, are refused; where it is accepted, it acts."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, ChannelBottleneck, Multirate, Pointwise, insert, remove, streaming

X = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))


def lowpass(_):
    return FIR(8, 3, init="lowpass")


@pytest.mark.parametrize(
    ("model", "where", "message"),
    [
        (nn.Sequential(nn.Sequential(nn.Linear(8, 8))), "0", "Sequential.*member"),
        (nn.Sequential(nn.ModuleList([nn.Linear(8, 8)])), "0", "ModuleList.*member"),
        (nn.Sequential(nn.ModuleDict({"a": nn.Linear(8, 8)})), "0", "ModuleDict.*member"),
        (nn.Sequential(nn.MultiheadAttention(8, 2)), nn.Linear, "0.out_proj.*MultiheadAttention"),
        (nn.Sequential(ChannelBottleneck(8)), nn.Linear, "0.down.*dsptorch layer 0"),
        (ChannelBottleneck(8), "down", "dsptorch layer that the model is"),
    ],
)
def test_places_that_would_not_act_are_refused(model, where, message):
    keys = list(model.state_dict())
    with pytest.raises(ValueError, match=message):
        insert(model, where, lowpass)
    assert list(model.state_dict()) == keys


def test_a_member_of_a_sequential_acts_once():
    model, layer = nn.Sequential(nn.Sequential(nn.Identity())), lowpass(None)
    insert(model, "0.0", lambda _: layer)
    assert torch.equal(model(X), layer(X))


@pytest.mark.parametrize("place", ["layers.*.linear1", "layers.*.norm1", "layers.*"])
def test_acts_in_eval_without_gradients_too(place):
    """PyTorch's fast path for transformers must not go past it."""
    block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    model = nn.TransformerEncoder(block, 2, enable_nested_tensor=False).eval()
    plain = model(X).detach()
    insert(model, place, lowpass)
    expected = model(X).detach()
    with torch.no_grad():
        torch.testing.assert_close(model(X), expected)
        assert not torch.allclose(model(X), plain, atol=1e-3)
    remove(model)
    assert torch.equal(model(X), plain)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_module_without_arguments_leaves_the_model_as_it_was():
    class Nullary(nn.Module):
        def forward(self):
            return X

    model = nn.Sequential(nn.Linear(8, 8), Nullary())
    keys = list(model.state_dict())
    with pytest.raises(TypeError, match="1 is a Nullary whose forward takes no argument"):
        insert(model, "*", lowpass)
    assert list(model.state_dict()) == keys


def test_streaming_and_insertion_keep_apart():
    model = nn.Sequential(Multirate(8))
    with streaming(model), pytest.raises(ValueError, match="0 is streaming"):
        insert(model, "0", lowpass)
    with pytest.raises(ValueError, match="put that one into a Chain"):
        Pointwise(nn.Sequential(FIR(8, 2)), 8)
