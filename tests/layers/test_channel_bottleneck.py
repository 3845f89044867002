"""ChannelBottleneck against the study's equations, and what it promises by itself."""

import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from dsptorch import BoundedHyperparam, ChannelBottleneck, fold, named_hyperparams
from dsptorch.functional import width_mask
from tests.layers.table import ranges, scattered
from tests.oracles import literal_bottleneck
from tests.strategies import fails, holds
from tests.tolerances import assert_close, assert_same


class TestChannelBottleneck:
    def check(self, change, seed):
        layer = scattered(ChannelBottleneck(16), seed)
        x = torch.randn(2, 5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        mask = width_mask(layer.bottleneck_ratio() * 16, layer.down.out_features, x)
        expected = literal_bottleneck(x, layer, mask, layer.residual_mix())
        change(layer)
        assert_close(layer(x), expected)

    def test_is_the_studys_equations(self):
        holds(lambda seed: self.check(lambda layer: None, seed), st.integers(0, 99))
        fails(lambda seed: self.check(lambda layer: layer.residual_mix.set_(0.69), seed), st.integers(0, 99))
        fails(
            lambda seed: self.check(lambda layer: layer.bottleneck_ratio.set_(0.16), seed), st.integers(0, 99)
        )
        fails(
            lambda seed: self.check(lambda layer: layer.residual_weight.data.add_(0.01), seed),
            st.integers(0, 99),
        )

    def test_a_fixed_ratio_is_the_studys_floor(self):
        def check(units):
            layer = scattered(ChannelBottleneck(10, bottleneck_ratio=0.29, residual_mix=0.5))
            assert layer.down.out_features == units
            x = torch.randn(2, 5, 10, dtype=torch.float64)
            assert_close(layer(x), literal_bottleneck(x, layer, torch.ones(units).double(), 0.5))

        check(2)
        with pytest.raises(AssertionError):
            check(3)
        assert (
            ChannelBottleneck(100, bottleneck_ratio=0.29).down.out_features == 29
        )  # 0.29 * 100 is 28.999...
        assert ChannelBottleneck(4, bottleneck_ratio=0.1).down.out_features == 1

    def test_the_ratio_has_a_gradient(self):
        layer = ChannelBottleneck(16)
        layer(torch.randn(2, 5, 16)).square().sum().backward()
        assert layer.bottleneck_ratio.raw.grad.abs().item() > 0

    @pytest.mark.parametrize("ratio", [0.15, 0.2, 0.25, 0.34])
    def test_compact_is_the_same_but_for_the_tail_of_the_mask(self, ratio):
        layer = scattered(ChannelBottleneck(32))
        layer.bottleneck_ratio.set_(ratio)
        small = layer.compact()
        x = torch.randn(2, 5, 32, dtype=torch.float64)
        units = small.down.out_features
        assert units == round(layer.bottleneck_ratio.value.item() * 32)
        tail = layer._mask().clone()
        assert tail[units - 1] > 0.5 > tail[units]
        tail[:units] = 0
        gain = (1 - layer.residual_mix()) * layer.residual_weight
        hidden = nn.functional.gelu(layer.down(layer.norm(x))) * tail
        assert_close(small(x) + gain * (hidden @ layer.up.weight.T), layer(x))
        assert isinstance(small.bottleneck_ratio, float)
        assert small.residual_mix is not layer.residual_mix
        again = small.compact()
        assert_same(again(x), small(x))
        assert again is not small

    def test_compact_shares_nothing(self):
        layer = ChannelBottleneck(16)
        before = layer(torch.ones(1, 1, 16)).detach()
        for parameter in layer.compact().parameters():
            parameter.data.add_(1)
        assert_same(layer(torch.ones(1, 1, 16)).detach(), before)

    @pytest.mark.filterwarnings(
        "ignore:.*torch.ao.quantization:DeprecationWarning", "ignore:.*quantize:UserWarning"
    )
    def test_with_quantized_layers_it_runs_and_is_not_cut(self):
        layer, x = nn.Sequential(ChannelBottleneck(32)), torch.randn(2, 5, 32)
        quantized = torch.ao.quantization.quantize_dynamic(layer, {nn.Linear})
        assert type(quantized[0].down) is torch.ao.nn.quantized.dynamic.Linear
        torch.testing.assert_close(quantized(x), layer(x), atol=0.05, rtol=0)
        assert_same(fold(quantized)(x), quantized(x))
        with pytest.raises(
            TypeError, match=r"but down is a torch.*dynamic.*Linear, which the copy would lose"
        ):
            quantized[0].compact()

    def test_what_hooks_do_is_not_cut_away(self):
        layer = ChannelBottleneck(32)
        prune.l1_unstructured(layer.up, "weight", amount=0.5)
        with pytest.raises(TypeError, match=r"up has hooks.*prune\.remove"):
            layer.compact()
        prune.remove(layer.up, "weight")
        layer.compact()

    def test_hyperparameters_have_the_studys_ranges(self):
        assert ranges(ChannelBottleneck(8)) == {
            "bottleneck_ratio": (pytest.approx(0.25), 0.15, 0.35, False),
            "residual_mix": (pytest.approx(0.5), 0.3, 0.7, False),
        }

    def test_a_hyperparameter_can_be_shared(self):
        mix = BoundedHyperparam(0.5, 0.3, 0.7)
        layers = nn.Sequential(*(ChannelBottleneck(8, residual_mix=mix) for _ in range(2)))
        assert len([name for name, _ in named_hyperparams(layers)]) == 3
