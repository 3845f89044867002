"""Filters before and after training
=================================

**Claim:** trained on spoken syllables, the centres of a Gabor bank move by less than 10 % on average, so they stay near
the mel scale that they began with.

Drawn from the committed result of ``python recipes/spoken_syllables.py study``: centres and widths of the first seed.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch

here = next(path for path in (Path.cwd(), *Path.cwd().parents) if (path / "recipes").is_dir())
filters = json.loads((here / "recipes/results/syllables/results.json").read_text())["filters"]["gabor"]
before, after = (torch.tensor(filters[when]) for when in ("before", "after"))

# %%
# Rows are centres and widths in Hz.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.plot(before[0], after[0], "o", color="#1f77b4", markersize=3)
left.axline((0, 0), slope=1, color="#7d7d7d", linewidth=0.8)
left.set_xlabel("centre before (Hz)")
left.set_ylabel("centre after (Hz)")
right.plot(*before, "o", color="#1f77b4", fillstyle="none", markersize=4, label="before: the mel scale")
right.plot(*after, "s", color="#d1602d", markersize=3, label="after")
right.set_xlabel("centre (Hz)")
right.set_ylabel("width (Hz)")
right.legend(frameon=False)
moved = ((after[0] - before[0]) / before[0]).abs()
left.set_title(f"moved by {100 * moved.mean():.1f} % on average", loc="left", fontsize="medium")

# %%
# The claim.

assert moved.mean() < 0.1
