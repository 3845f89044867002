"""Bands that add up to the signal
===============================

**Claim:** the bands of the undecimated bank add up to the signal to 1e-6 at every sample, without delay, whatever the
filters are.

Each level subtracts a low-passed signal from the one before, with taps that stand twice as far apart.
"""

import matplotlib.pyplot as plt
import torch

from dsptorch import UndecimatedBands

torch.manual_seed(0)
time = torch.arange(600.0)
signal = torch.sin(2 * torch.pi * (0.002 + 0.0002 * time) * time) + 0.01 * time + 2 * (time == 400)
x = signal.reshape(1, -1, 1)
split = UndecimatedBands(1, levels=4)
with torch.no_grad():
    bands = split.split(split(x))

# %%
# A chirp, a ramp and a click: the click is in the fine bands, the ramp in the coarse one.

names = ["c_4", *(f"d_{level}" for level in range(4, 0, -1))]
figure, axes = plt.subplots(len(bands) + 1, 1, figsize=(7, 6.5), sharex=True, layout="constrained")
for ax, name, curve in zip(axes, ["signal", *names], [x, *bands], strict=True):
    ax.plot(time, curve.flatten(), color="#1f77b4", linewidth=0.9)
    ax.set_ylabel(name, rotation=0, ha="right")
error = (sum(bands) - x).abs().max().item()
axes[-1].set_xlabel(f"time (samples); the bands add up to the signal within {error:.0e}")

# %%
# The claim, also for filters that are not low-passes.

assert error < 1e-6 * x.abs().max()
for parameter in split.parameters():
    torch.nn.init.normal_(parameter, std=0.3)
with torch.no_grad():
    assert (sum(split.split(split(x))) - x).abs().max() < 2e-6 * x.abs().max()
assert split.delay == split.lookahead == 0
