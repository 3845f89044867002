"""Multirate against the study's equations, and what it promises by itself."""

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from dsptorch import Multirate, named_hyperparams
from tests.layers.table import ranges, scattered
from tests.oracles import literal_multirate
from tests.strategies import fails, holds
from tests.tolerances import assert_close


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

    def test_is_the_studys_equations(self):
        holds(lambda *case: self.check(lambda layer: None, *case), *self.cases)

    def test_the_equations_catch(self):
        def swap(layer):
            layer.low, layer.detail = layer.detail, layer.low

        fails(lambda *case: self.check(swap, *case), *self.cases)
        fails(lambda *case: self.check(lambda layer: layer.mix_ratio.set_(0.21), *case), *self.cases)

    def test_hyperparameters_have_the_studys_ranges(self):
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
