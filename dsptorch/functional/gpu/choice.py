"""The choice between the Triton kernels and PyTorch's own operations."""

from importlib.util import find_spec

import torch
from torch import Tensor

from dsptorch.functional.dynamo import is_exporting

__all__ = ["check_times", "device_of", "launches", "uses_kernels"]

DEVICES = {"cuda"}
_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
_HAS_TRITON = find_spec("triton") is not None  # looked for, not imported
PROGRAMS = 1024  # to share a sum among; a constant, so that a sum has one order on every device


def uses_kernels(*tensors: Tensor) -> bool:
    """Whether Triton kernels take these tensors: all of them floats on a CUDA device, where triton is installed.

    A program that is exported or traced by `torch.jit` holds PyTorch's own operations, so that it runs anywhere.
    """
    for tensor in tensors:
        if tensor.device.type not in DEVICES or tensor.dtype not in _DTYPES:
            return False
    return _HAS_TRITON and not is_exporting() and torch._C._get_tracing_state() is None


def device_of(tensor: Tensor) -> torch.cuda.device_of:
    """A context in which kernels are launched on the device of a tensor, which need not be the current one."""
    return torch.cuda.device_of(tensor)


def launches(work: int, programs: int) -> int:
    """The number of launches of `programs` each that share `work` units of a sum: at least 1, at most one per unit."""
    return max(1, min(work, -(-PROGRAMS // max(programs, 1))))


def check_times(*times: int) -> None:
    """Raise if a signal is longer than 2^30 samples: the kernels count time in 32 bits, a little past the end too."""
    if max(times) > 2**30:
        raise ValueError(
            f"kernels filter signals of at most 2^30 samples, times the greater one of two rates, got {max(times)}; "
            "filter the signal in chunks, by `step`"
        )
