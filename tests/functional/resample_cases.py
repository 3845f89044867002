"""One change of rate for each way that the kernel takes."""

import torch

from dsptorch.functional import resample

KINDS = {  # up, down, taps, channels, channels of the taps
    "decimate": (1, 3, 5, 2, 2),
    "upsample": (3, 1, 4, 2, 2),
    "rational": (3, 2, 7, 2, 2),
    "matrix": (2, 3, 131, 2, 2),
    "matrix, shared": (4, 3, 9, 2, 1),
}


def double(kind, time=6):
    up, down, numtaps, channels, width = KINDS[kind]
    x = torch.randn(2, time, channels, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(numtaps, width, dtype=torch.float64, requires_grad=True)
    return lambda x, taps: resample(x, taps, up, down), (x, taps)
