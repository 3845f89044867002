"""Bands that add up to the signal
===============================

**Claim:** the bands of the undecimated bank add up to the signal to 1e-6 at every sample, without delay, for any
filters.

Each level subtracts a low-passed signal from the previous one, with taps twice as far apart. The signal is a spoken
syllable. Drawn from the committed result of ``python recipes/spoken_syllables.py utterance``, which has the least and
the greatest sample of every two milliseconds; the recording itself is not ours to publish.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from dsptorch import UndecimatedBands

here = next(path for path in (Path.cwd(), *Path.cwd().parents) if (path / "recipes").is_dir())
found = json.loads((here / "recipes/results/syllables/utterance.json").read_text())

# %%
# The consonant is in the fine bands d_1 and d_2, the vowel and its pitch in the coarse ones.

figure, axes = plt.subplots(len(found["extremes"]), 1, figsize=(7, 6.5), sharex=True, layout="constrained")
for ax, (name, (least, greatest)) in zip(axes, found["extremes"].items(), strict=True):
    time = torch.arange(len(least)) * 1000 * found["stretch"] / found["rate"]
    ax.fill_between(time, least, greatest, color="#1f77b4", step="post", linewidth=0.4)
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
error = found["error of the sum"]
axes[-1].set_xlabel(f"time (ms); the bands add up to the signal within {error:.0e}")

# %%
# The claim, for the syllable, and for filters that are not low-passes on another signal.

assert error < 1e-6 * found["greatest sample"]
torch.manual_seed(0)
x = torch.randn(1, 600, 1)
split = UndecimatedBands(1, levels=4)
for parameter in split.parameters():
    torch.nn.init.normal_(parameter, std=0.3)
with torch.no_grad():
    assert (sum(split.split(split(x))) - x).abs().max() < 2e-6 * x.abs().max()
assert split.delay == split.lookahead == 0
