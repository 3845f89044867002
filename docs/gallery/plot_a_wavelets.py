"""Wavelets from angles
====================

**Claim:** every angle between Haar and db2 gives a wavelet, and each of them reconstructs perfectly.

A lattice of two angles gives four taps. If the angles sum to pi/4, the high-pass stops a constant, and the filters are
those of a wavelet. Below: the gains of the low-pass (solid) and the high-pass (dashed).
"""

import matplotlib.pyplot as plt
import torch

from dsptorch.analysis import plot_bands
from dsptorch.functional import analysis, lattice_filters, synthesis, with_vanishing_moment

torch.manual_seed(0)
x = torch.randn(1, 64, 1)
first = torch.linspace(torch.pi / 4, 2 * torch.pi / 3, 5)


def scaling_function(low, levels=6):
    """The shape that the low-pass repeats itself into: the cascade of its own upsamplings."""
    shape = torch.ones(1)
    for level in range(levels):
        up = torch.zeros((len(low) - 1) * 2**level + 1)
        up[:: 2**level] = low * 2**0.5
        longer = torch.nn.functional.conv1d(
            shape.reshape(1, 1, -1), up.flip(0).reshape(1, 1, -1), padding=len(up) - 1
        )
        shape = longer.flatten()
    return torch.arange(len(shape)) / 2**levels, shape


# %%
# From Haar on the left to db2 on the right.

figure, axes = plt.subplots(2, len(first), figsize=(12, 4.6), sharey="row", layout="constrained")
for column, angle in zip(axes.T, first, strict=True):
    filters = lattice_filters(with_vanishing_moment(angle.reshape(1)))
    frames = analysis(torch.cat([x, x.new_zeros(1, 3, 1)], 1), filters, 2)
    back = synthesis(frames, filters.flip(1), 2)
    error = (back[:, 3 : 3 + 64] - x).abs().max().item()
    column[0].plot(*scaling_function(filters[0]), color="#1f77b4", linewidth=0.9)
    column[0].set_title(f"angle {angle:.2f}, error {error:.0e}", fontsize="small")
    column[0].set_xlabel("time (samples)")
    plot_bands(filters, decibels=False, ax=column[1])
    assert error < 2e-6  # the claim
axes[0, 0].set_ylabel("scaling function")
for ax in axes[1, 1:]:
    ax.set_ylabel("")
