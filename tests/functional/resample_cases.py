"""One change of rate, and one bank, for each way that the kernel takes."""

import torch

from dsptorch.functional import analysis, resample, synthesis

KINDS = {  # up, down, taps, channels, channels of the taps
    "decimate": (1, 3, 5, 2, 2),
    "upsample": (3, 1, 4, 2, 2),
    "rational": (3, 2, 7, 2, 2),
    "matrix": (2, 3, 131, 2, 2),
    "matrix, shared": (4, 3, 9, 2, 1),
}

BANKS = {  # the function, bands, taps, samples from frame to frame, channels
    "analysis": (analysis, 3, 5, 2, 9),
    "analysis, matrix": (analysis, 4, 7, 3, 2),
    "analysis, many taps": (analysis, 5, 8, 3, 9),
    "synthesis": (synthesis, 2, 5, 3, 9),
    "synthesis, matrix": (synthesis, 4, 7, 3, 2),
    "synthesis, many taps": (synthesis, 5, 8, 3, 9),
}

EVERY = [*KINDS, *BANKS]


def double(kind, time=6):
    """A function of a signal and of taps, and these."""
    if kind in KINDS:
        up, down, numtaps, channels, width = KINDS[kind]
        shape = numtaps, width

        def run(x, taps):
            return resample(x, taps, up, down)
    else:
        function, bands, numtaps, stride, channels = BANKS[kind]
        channels, shape = channels * bands if function is synthesis else channels, (bands, numtaps)

        def run(x, taps):
            return function(x, taps, stride)

    x = torch.randn(2, time, channels, dtype=torch.float64, requires_grad=True)
    return run, (x, torch.randn(shape, dtype=torch.float64, requires_grad=True))


def exact(kind, x, taps):
    """The same by scipy."""
    from tests.oracles import upfirdn

    if kind in KINDS:
        return upfirdn(x, taps, *KINDS[kind][:2])
    function, _, _, stride, channels = BANKS[kind]
    if function is analysis:
        return torch.cat([upfirdn(x, h, 1, stride) for h in taps], -1)
    return sum(upfirdn(v, h, stride, 1) for v, h in zip(x.split(channels, 2), taps, strict=True))
