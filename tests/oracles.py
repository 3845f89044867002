"""The definitions, computed as naively as they are written: what the library is tested against."""

import math
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor


def lptv_loop(x: Tensor, weight: Tensor, lags: tuple[int, ...], history: int = 0) -> Tensor:
    """y[t, c] = sum_i w[t mod P, i, c] * x[history + t - lags[i], c], one multiplication at a time, in float64."""
    batch, length, channels = x.shape
    x, weight = x.double(), weight.double().expand(*weight.shape[:-1], channels)
    weight = weight.expand(batch, *weight.shape) if weight.dim() == 3 else weight
    y = torch.zeros(batch, length - history, channels, dtype=torch.float64)
    for t in range(length - history):
        for i, lag in enumerate(lags):
            if 0 <= history + t - lag < length:
                y[:, t] += weight[:, t % weight.shape[1], i] * x[:, history + t - lag]
    return y


def runs(ids: Tensor) -> list[tuple[int, int, int]]:
    """The (row, start, stop) of each run of equal ids."""
    found = []
    for row, line in enumerate(ids.tolist()):
        borders = [0, *(t for t in range(1, len(line)) if line[t] != line[t - 1]), len(line)]
        found += [(row, start, stop) for start, stop in pairwise(borders)]
    return found


def segmented_loop(x: Tensor, weight: Tensor, lags: tuple[int, ...], ids: Tensor) -> Tensor:
    """`lptv_loop` of each run of equal ids by itself."""
    y = torch.zeros(x.shape, dtype=torch.float64)
    for row, start, stop in runs(ids):
        y[row, start:stop] = lptv_loop(x[row : row + 1, start:stop], weight, lags)[0]
    return y


def causal_conv(x: Tensor, taps: Tensor, stride: int = 1) -> Tensor:
    """A depthwise causal `conv1d` of (batch, time, channels) with taps (kernel_size, channels)."""
    kernel = taps.T.flip(-1).unsqueeze(1)  # conv1d correlates
    padded = F.pad(x.transpose(1, 2), (taps.shape[0] - 1, 0))
    return F.conv1d(padded, kernel, stride=stride, groups=x.shape[2]).transpose(1, 2)


def upfirdn(x: Tensor, taps: Tensor, up: int, down: int) -> Tensor:
    """scipy's, for each row and channel, cut or continued with silence to ceil(time * up / down) outputs."""
    import scipy.signal

    batch, time, channels = x.shape
    y = torch.zeros(batch, -(-time * up // down), channels, dtype=torch.float64)
    taps = taps.reshape(taps.shape[0], -1).expand(-1, channels).detach()
    for c in range(channels if y.numel() else 0):
        full = scipy.signal.upfirdn(taps[:, c].numpy(), x[:, :, c].detach().numpy(), up, down, axis=1)
        kept = full[:, : y.shape[1]]
        y[:, : kept.shape[1], c] = torch.from_numpy(kept)
    return y


def literal_multirate(x, low, recon, detail, downsample, mix_ratio, detail_strength):
    """The study's Multirate Subband Decomposition: conv1d with stride, repeat, conv1d; levels nest the coarse path."""

    def band(x, level):
        if level == len(low):
            return x
        coarse = band(causal_conv(x, low[level], stride=downsample), level + 1)
        coarse = causal_conv(coarse.repeat_interleave(downsample, 1)[:, : x.shape[1]], recon[level])
        return coarse + detail_strength * causal_conv(x - coarse, detail[level])

    return mix_ratio * x + (1 - mix_ratio) * band(x, 0)


def literal_lfo_routing(x, weight, freq, phase, amplitude, bias, temperature, residual_mix):
    """The study's LFO-Based Temporal Routing, sample by sample; phase in cycles.

    weight: (routes, taps, width, width)
    """
    batch, time, _ = x.shape
    routes, taps, width, _ = weight.shape
    y = torch.zeros_like(x)
    for t in range(time):
        for r in range(routes):
            route = slice(r * width, (r + 1) * width)
            u = bias[r].item()
            for a, f, p in zip(amplitude[r].tolist(), freq[r].tolist(), phase[r].tolist(), strict=True):
                u += a * math.sin(2 * math.pi * (f * t + p))
            gate = 1 / (1 + math.exp(-u / temperature))
            routed = torch.zeros(batch, width, dtype=x.dtype)
            for k in range(min(taps, t + 1)):
                routed += x[:, t - k, route] @ weight[r, k]
            mixed = gate * routed + (1 - gate) * x[:, t, route]
            y[:, t, route] = residual_mix * x[:, t, route] + (1 - residual_mix) * mixed
    return y


def literal_bottleneck(x, layer, hidden_gain, residual_mix):
    """The study's Channel Bottleneck Regularization, its hidden units scaled by `hidden_gain`."""
    mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    z = (x - mean) / torch.sqrt(var + layer.norm.eps) * layer.norm.weight + layer.norm.bias
    hidden = z @ layer.down.weight.T + layer.down.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    update = layer.residual_weight * ((hidden * hidden_gain) @ layer.up.weight.T + layer.up.bias)
    return x + (1 - residual_mix) * update


def recurrence_loop(x: Tensor, a: Tensor, zi: Tensor | None = None, ids: Tensor | None = None) -> Tensor:
    """y[t] = a[t] y[t-1] + x[t], one sample at a time; a: (n, n, channels) or (batch, time, n, n, channels)."""
    y = torch.zeros_like(x)
    for b in range(x.shape[0]):
        state = torch.zeros_like(x[0, 0]) if zi is None else zi[b]
        for t in range(x.shape[1]):
            if ids is not None and t > 0 and ids[b, t] != ids[b, t - 1]:
                state = torch.zeros_like(state)
            matrix = a if a.dim() == 3 else a[b, t]
            state = torch.stack([(row * state).sum(0) for row in matrix]) + x[b, t]
            y[b, t] = state
    return y


def fractional_delay_loop(x: Tensor, delay: Tensor) -> Tensor:
    """Linear interpolation, one number at a time."""
    y = torch.zeros_like(x)
    delay = delay.repeat_interleave(x.shape[2] // delay.shape[2], 2).expand(x.shape)
    for row, t, c in product(*map(range, x.shape)):
        whole = math.floor(delay[row, t, c].item())
        part = delay[row, t, c].item() - whole
        for weight, lag in ((1 - part, whole), (part, whole + 1)):
            if lag <= t and weight:
                y[row, t, c] += weight * x[row, t - lag, c]
    return y


def allpass_delay_loop(x: Tensor, delay: Tensor) -> Tensor:
    """First-order allpass interpolation with a fraction in [0.49, 1.49), one number at a time."""
    y = torch.zeros_like(x)
    delay = delay.repeat_interleave(x.shape[2] // delay.shape[2], 2).expand(x.shape)
    for row, t, c in product(*map(range, x.shape)):
        whole = math.floor(delay[row, t, c].item() - 0.49)
        part = delay[row, t, c].item() - whole
        a = (1 - part) / (1 + part)
        if t:
            y[row, t, c] -= a * y[row, t - 1, c]
        for weight, lag in ((a, whole), (1.0, whole + 1)):
            if lag <= t:
                y[row, t, c] += weight * x[row, t - lag, c]
    return y
