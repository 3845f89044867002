"""Alias responses
===============

**Claim:** a low-pass before decimate-and-hold lowers its largest alias, and the folded Multirate block, which puts the
detail back, passes all frequencies.

A filter of period P turns a tone into P tones. The solid curve is the gain of the tone itself, the others are gains
onto its aliases.
"""

import matplotlib.pyplot as plt
import torch

from dsptorch import Multirate, PeriodicFIR
from dsptorch.analysis import plot_response
from dsptorch.functional import firwin

M = 4
hold = PeriodicFIR.hold(M)
low = PeriodicFIR.fir(firwin(16, 1 / M))
block = Multirate(1, downsample=M, kernel_size=16)
filters = {"hold": hold, "low-pass, then hold": hold @ low, "Multirate": block}

# %%
# Three pictures with one scale.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
for ax, (name, filter_) in zip(axes, filters.items(), strict=True):
    plot_response(filter_, ax=ax)
    ax.set_title(name, loc="left", fontsize="medium")
    ax.set_ylim(-80, 5)
for ax in axes[1:]:
    ax.set_ylabel("")

# %%
# The claim, at the frequencies above the new Nyquist, where the aliases come from.

_, of_hold = hold.frequency_response(512)
_, of_both = (hold @ low).frequency_response(512)
_, of_block = block.filter().frequency_response(512)
above = slice(512 // M + 64, None)
assert of_both[1:, above].abs().max() < of_hold[1:, above].abs().max() / 4
assert of_block[0].abs().min() > 0.3
assert torch.isclose(of_both[0, 0].abs(), torch.ones(1)).all()
