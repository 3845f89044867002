"""Public checks: prove a layer, ours or yours."""

from dsptorch.testing.causality import assert_causal, max_lookahead

__all__ = ["assert_causal", "max_lookahead"]
