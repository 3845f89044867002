"""The kernels themselves: what imports triton, on first use."""

import torch
import triton.language as tl


def sum_type(dtype: torch.dtype) -> tl.dtype:
    """The type that a kernel sums up in, for a result of a dtype: float32 at least."""
    return tl.float64 if dtype == torch.float64 else tl.float32
