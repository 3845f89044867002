"""The tolerances of our own tests are the public ones."""

from dsptorch.testing.tolerances import ATOL, RTOL, assert_close, assert_same

__all__ = ["ATOL", "RTOL", "assert_close", "assert_same"]
