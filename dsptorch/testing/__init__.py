"""Public checks: prove a layer, ours or yours."""

from dsptorch.testing.causality import assert_causal

__all__ = ["assert_causal"]
