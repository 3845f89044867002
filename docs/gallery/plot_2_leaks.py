"""The leak picture
================

**Claim:** four common ways to filter see the future, and the causal filter of dsptorch has no influence above the
diagonal.

Row t of each picture shows the inputs that the output at time t depends on. The hatched triangle is the future.
"""

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from dsptorch import Multirate
from dsptorch.analysis import plot_influence
from dsptorch.testing import influence_matrix

torch.manual_seed(0)
taps = torch.ones(1, 1, 3) / 3


def same_padding(x):
    """A convolution that is centred on the present."""
    return F.conv1d(x.mT, taps, padding=1).mT


def block_mean(x):
    """The mean of each block of four, held: its first sample knows the last."""
    return x.unflatten(1, (-1, 4)).mean(2).repeat_interleave(4, dim=1)


def linear_interpolation(x):
    """Every fourth sample, and straight lines between them."""
    return F.interpolate(x[:, ::4].mT, scale_factor=4, mode="linear").mT


def fft_lowpass(x):
    """The lower half of the spectrum of the whole signal."""
    spectrum = torch.fft.rfft(x, dim=1)
    spectrum[:, spectrum.shape[1] // 2 :] = 0
    return torch.fft.irfft(spectrum, n=x.shape[1], dim=1)


# %%
# Four leaks, and a layer.

layer = Multirate(1).eval()
models = {f.__name__: f for f in (same_padding, block_mean, linear_interpolation, fft_lowpass)}
models["dsptorch.Multirate"] = layer
figure, axes = plt.subplots(1, 5, figsize=(13, 3.5), sharey=True, layout="constrained")
future = {}
for ax, (name, model) in zip(axes, models.items(), strict=True):
    matrix = influence_matrix(model, torch.randn(1, 24, 1))
    future[name] = bool((matrix.triu(1) != 0).any())
    plot_influence(matrix, ax=ax)
    ax.fill(
        [-0.5, 23.5, 23.5],
        [-0.5, -0.5, 23.5],
        fill=False,
        hatch="///",
        edgecolor="#d1602d",
        alpha=0.35,
        linewidth=0,
    )
    found = ax.get_title(loc="left").replace(" outputs", "")
    ax.set_title(f"{name.replace('_', ' ')}\n{found}", loc="left", fontsize="medium")
for ax in axes[1:]:
    ax.set_ylabel("")

# %%
# The claim.

assert [name for name, leaks in future.items() if not leaks] == ["dsptorch.Multirate"]
