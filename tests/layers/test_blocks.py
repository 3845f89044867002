"""The three blocks against the study's equations, and what each promises by itself."""

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from dsptorch import BoundedHyperparam, ChannelBottleneck, LFORouting, Multirate, named_hyperparams
from dsptorch.functional import width_mask
from tests.oracles import literal_bottleneck, literal_lfo_routing, literal_multirate
from tests.strategies import fails, holds
from tests.tolerances import assert_close, assert_same


def scattered(layer, seed=0):
    """The layer in float64 with every parameter moved."""
    generator = torch.Generator().manual_seed(seed)
    layer = layer.double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return layer


def ranges(layer):
    return {name: (h.value.flatten()[0].item(), h.low, h.high, h.log) for name, h in named_hyperparams(layer)}


class TestMultirate:
    cases = (
        st.integers(1, 8),
        st.integers(1, 2),
        st.integers(1, 6),
        st.integers(1, 40),
        st.integers(0, 99),
    )

    @staticmethod
    def check(change, downsample, levels, kernel_size, time, seed):
        layer = scattered(Multirate(3, downsample, levels=levels, kernel_size=kernel_size), seed)
        x = torch.randn(2, time, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        expected = literal_multirate(
            x, layer.low, layer.recon, layer.detail, downsample, layer.mix_ratio(), layer.detail_strength()
        )
        change(layer)
        assert_close(layer(x), expected)

    def test_is_the_seeds_equations(self):
        holds(lambda *case: self.check(lambda layer: None, *case), *self.cases)

    def test_the_equations_catch(self):
        def swap(layer):
            layer.low, layer.detail = layer.detail, layer.low

        fails(lambda *case: self.check(swap, *case), *self.cases)
        fails(lambda *case: self.check(lambda layer: layer.mix_ratio.set_(0.21), *case), *self.cases)

    def test_hyperparameters_have_the_seeds_ranges(self):
        assert ranges(Multirate(4)) == {
            "mix_ratio": (pytest.approx(0.4), 0.2, 0.6, False),
            "detail_strength": (pytest.approx(0.75), 0.5, 1.0, False),
        }

    @staticmethod
    def check_constant(layer):
        """Unit gain at DC: what is constant passes, once the start is forgotten."""
        x = torch.ones(1, 3 * layer.receptive_field, layer.d_model, dtype=torch.float64)
        settled = layer(x)[:, layer.receptive_field : -layer.receptive_field]
        assert settled.shape[1] > 0
        assert_close(settled, torch.ones_like(settled), dtype=torch.float32)

    @pytest.mark.parametrize("causal", [True, False])
    @pytest.mark.parametrize(
        ("downsample", "levels", "kernel_size"), [(1, 1, 4), (2, 1, 4), (2, 3, 4), (3, 2, 5), (8, 1, 8)]
    )
    def test_passes_a_constant_at_first(self, downsample, levels, kernel_size, causal):
        self.check_constant(
            Multirate(2, downsample, levels=levels, kernel_size=kernel_size, causal=causal).double()
        )

    def test_a_gain_that_is_not_one_is_caught(self):
        layer = Multirate(2).double()
        layer.low.data.mul_(1.01)
        with pytest.raises(AssertionError):
            self.check_constant(layer)

    @staticmethod
    def check_identity(levels, downsample, kernel_size, causal, mix, strength=1.0):
        torch.manual_seed(kernel_size)
        layer = Multirate(
            3,
            downsample,
            levels=levels,
            kernel_size=kernel_size,
            causal=causal,
            mix_ratio=mix,
            detail_strength=strength,
        ).double()
        for weight in (layer.low, layer.recon):  # the detail filter stays the delta that it is at first
            nn.init.uniform_(weight, -1, 1)
        x = torch.randn(1, 40, 3, dtype=torch.float64)
        assert (layer(x) - x).abs().max() < 1e-8

    def test_is_the_identity_when_the_detail_is_whole(self):
        cases = st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.floats(0, 0.9)
        holds(self.check_identity, *cases)
        fails(lambda *case: self.check_identity(*case, strength=0.9), *cases)

    def test_learned_and_fixed_hyperparameters_agree(self):
        learned, fixed = Multirate(4), Multirate(4, mix_ratio=0.4, detail_strength=0.75)
        x = torch.randn(2, 9, 4)
        assert_close(learned(x), fixed(x))
        assert dict(named_hyperparams(fixed)) == {}

    def test_no_downsampling_is_time_invariant(self):
        assert Multirate(4, 1).period == 1
        assert Multirate(4, 3, levels=2).period == 9


class TestLFORouting:
    cases = st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 12), st.integers(0, 99)

    @staticmethod
    def build(routes, num_lfos, kernel_size, seed, **kwargs):
        return scattered(
            LFORouting(2 * routes, routes, num_lfos=num_lfos, kernel_size=kernel_size, **kwargs), seed
        )

    @staticmethod
    def literal(layer, x, weight):
        gate = layer.gate
        temperature, mix = layer.gate_temperature().item(), layer.residual_mix().item()
        return literal_lfo_routing(
            x, weight.detach(), gate.freq(), gate.phase, gate.amplitude, gate.bias, temperature, mix
        )

    def check(self, change, routes, num_lfos, kernel_size, time, seed):
        layer = self.build(routes, num_lfos, kernel_size, seed)
        x = torch.randn(
            2, time, 2 * routes, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        expected = self.literal(layer, x, layer.weight)
        change(layer)
        assert_close(layer(x), expected)

    def test_is_the_seeds_equations(self):
        holds(lambda *case: self.check(lambda layer: None, *case), *self.cases)

    @pytest.mark.parametrize(
        "change",
        [
            lambda layer: layer.weight.data.copy_(layer.weight.data.mT.clone()),
            lambda layer: layer.weight.data.copy_(layer.weight.data.flip(1)),
            lambda layer: layer.gate.phase.data.mul_(-1),
            lambda layer: layer.gate_temperature.set_(0.51),
            lambda layer: layer.residual_mix.set_(0.21),
        ],
        ids=["transposed", "reversed", "phase", "temperature", "mix"],
    )
    def test_the_equations_catch(self, change):
        fails(lambda *case: self.check(change, *case), *self.cases)

    def test_depthwise_is_a_diagonal_convolution(self):
        layer = self.build(2, 2, 3, 0, depthwise=True)
        x = torch.randn(2, 9, 4, dtype=torch.float64)
        full = torch.diag_embed(layer.weight.unflatten(1, (2, 2)).transpose(0, 1))
        assert_close(layer(x), self.literal(layer, x, full))
        with pytest.raises(AssertionError):
            assert_close(layer(x), self.literal(layer, x, full + 0.1))

    @pytest.mark.parametrize("depthwise", [False, True])
    def test_centred_is_the_causal_one_ahead(self, depthwise):
        layer = self.build(2, 2, 4, 0, depthwise=depthwise)
        ahead = self.build(2, 2, 4, 0, depthwise=depthwise, causal=False)
        ahead.load_state_dict(layer.state_dict())
        x = torch.randn(1, 12, 4, dtype=torch.float64)
        seen = torch.nn.functional.pad(x, (0, 0, 3, 2))
        assert_close(ahead._convolved(seen[:, :-2]), layer._convolved(seen[:, 2:]))
        assert ahead.lookahead == 2

    def test_streams_far_from_the_start(self):
        """At position 10^12 the gate is as exact as at 0: a frequency of 1/16 has come around."""
        layer = LFORouting(4, 2, num_lfos=1, max_freq=0.125)
        layer.gate.freq.set_(0.0625)
        x = torch.randn(1, 8, 4)
        _, state = layer.step(x)
        far = state._replace(position=state.position + 16 * 10**11)
        near_y, far_y = layer.step(x, state)[0], layer.step(x, far)[0]
        if layer.gate.freq.value.eq(0.0625).all():
            assert_same(far_y, near_y)
        else:  # raw does not hold it exactly
            assert far_y.isfinite().all()
        assert not torch.allclose(layer.step(x, state._replace(position=state.position + 4))[0], near_y)

    def test_hyperparameters_have_the_seeds_ranges(self):
        found = ranges(LFORouting(8, max_freq=0.2))
        assert found["residual_mix"] == (pytest.approx(0.35), 0.2, 0.5, False)
        assert found["gate_temperature"][1:] == (0.5, 2.0, True)
        assert found["gate.freq"][1:3] == (0.0, 0.2)

    def test_frequencies_stay_in_their_interval(self):
        layer = LFORouting(8, max_freq=0.2)
        for raw in (-1e6, 1e6):
            layer.gate.freq.raw.data.fill_(raw)
            assert ((layer.gate.freq() >= 0) & (layer.gate.freq() <= 0.2)).all()


class TestChannelBottleneck:
    def check(self, change, seed):
        layer = scattered(ChannelBottleneck(16), seed)
        x = torch.randn(2, 5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        mask = width_mask(layer.bottleneck_ratio() * 16, layer.down.out_features, x)
        expected = literal_bottleneck(x, layer, mask, layer.residual_mix())
        change(layer)
        assert_close(layer(x), expected)

    def test_is_the_seeds_equations(self):
        holds(lambda seed: self.check(lambda layer: None, seed), st.integers(0, 99))
        fails(lambda seed: self.check(lambda layer: layer.residual_mix.set_(0.69), seed), st.integers(0, 99))
        fails(
            lambda seed: self.check(lambda layer: layer.bottleneck_ratio.set_(0.16), seed), st.integers(0, 99)
        )
        fails(
            lambda seed: self.check(lambda layer: layer.residual_weight.data.add_(0.01), seed),
            st.integers(0, 99),
        )

    def test_a_fixed_ratio_is_the_seeds_floor(self):
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

    def test_hyperparameters_have_the_seeds_ranges(self):
        assert ranges(ChannelBottleneck(8)) == {
            "bottleneck_ratio": (pytest.approx(0.25), 0.15, 0.35, False),
            "residual_mix": (pytest.approx(0.5), 0.3, 0.7, False),
        }

    def test_a_hyperparameter_can_be_shared(self):
        mix = BoundedHyperparam(0.5, 0.3, 0.7)
        layers = nn.Sequential(*(ChannelBottleneck(8, residual_mix=mix) for _ in range(2)))
        assert len([name for name, _ in named_hyperparams(layers)]) == 3
