"""LFORouting against the study's equations, and what it promises by itself."""

import pytest
import torch
from hypothesis import strategies as st

from dsptorch import LFORouting
from tests.layers.table import ranges, scattered
from tests.oracles import literal_lfo_routing
from tests.strategies import fails, holds
from tests.tolerances import assert_close, assert_same


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

    def test_is_the_studys_equations(self):
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
        assert_close(ahead._convolved(seen[:, :-2], None), layer._convolved(seen[:, 2:], None))
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

    def test_hyperparameters_have_the_studys_ranges(self):
        found = ranges(LFORouting(8, max_freq=0.2))
        assert found["residual_mix"] == (pytest.approx(0.35), 0.2, 0.5, False)
        assert found["gate_temperature"][1:] == (0.5, 2.0, True)
        assert found["gate.freq"][1:3] == (0.0, 0.2)

    def test_frequencies_stay_in_their_interval(self):
        layer = LFORouting(8, max_freq=0.2)
        for raw in (-1e6, 1e6):
            layer.gate.freq.raw.data.fill_(raw)
            assert ((layer.gate.freq() >= 0) & (layer.gate.freq() <= 0.2)).all()
