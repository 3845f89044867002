"""The Triton kernels. Only these modules import triton, and they are imported on first use."""

import torch
import triton.language as tl


def sum_type(dtype: torch.dtype) -> tl.dtype:
    """The type in which a kernel accumulates a result of a dtype: float32 at least."""
    return tl.float64 if dtype == torch.float64 else tl.float32
