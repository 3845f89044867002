"""Step responses and the declared delay
=====================================

**Claim:** each pair of analysis and synthesis returns a step exactly `layer.delay` samples late.

A critically sampled bank cannot reconstruct a signal before all of its filters have seen it. The layer declares its
delay, and `Parallel` and `Residual` align branches by it. Grey: the input. Dashed: the declared delay.
"""

import matplotlib.pyplot as plt
import torch

from dsptorch import FilterBank, Subbands, UndecimatedBank, Wavelet

pairs = {
    "undecimated, 4 levels": UndecimatedBank(1, levels=4),
    "Haar": Subbands(FilterBank(1, 2, "haar")),
    "db4, 3 levels": Subbands(Wavelet(1, "db4", level=3)),
    "MDCT, 16 bands": Subbands(FilterBank(1, 16, overlap=1)),
    "ELT, 16 bands": Subbands(FilterBank(1, 16, overlap=2)),
}
x = torch.zeros(1, 160, 1)
x[:, 40:] = 1.0

# %%
# The dashed line stands where `layer.delay` says.

figure, axes = plt.subplots(len(pairs), 1, figsize=(7, 7), sharex=True, layout="constrained")
for ax, (name, layer) in zip(axes, pairs.items(), strict=True):
    with torch.no_grad():
        y = layer(x)
    late = int(layer.delay)
    ax.plot(x.flatten(), color="#7d7d7d", linewidth=0.8, drawstyle="steps-post")
    ax.plot(y.flatten(), color="#1f77b4", drawstyle="steps-post")
    ax.axvline(40 + late, color="#d1602d", linestyle="--")
    ax.set_ylim(-0.3, 1.3)
    ax.set_title(f"{name}: delay {late}", loc="left", fontsize="medium")
    assert torch.allclose(y[:, late:], x[:, : x.shape[1] - late], atol=1e-5)  # the claim
axes[-1].set_xlabel("time (samples)")
