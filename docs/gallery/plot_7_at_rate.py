"""What AtRate saves
=================

**Claim:** a GPT whose two middle blocks of four run at 1/2 or 1/4 of the rate takes less time a step, has no greater
loss after the same number of steps, and so is ahead after the same time.

Drawn from the committed result of ``python benchmarks/at_rate_losses.py``: small models, a short schedule, three seeds;
the models of a seed take turns, step by step, on one thread. Longer training may end otherwise.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

from dsptorch import AtRate, Pointwise
from dsptorch.testing import assert_causal, assert_streaming_equals_batch

here = next(path for path in (Path.cwd(), *Path.cwd().parents) if (path / "benchmarks").is_dir())
found = json.loads((here / "benchmarks" / "results" / "at_rate_losses.json").read_text())
step_ms = {name: time["median"] for name, time in found["milliseconds"].items()}
losses = {name: torch.tensor(seeds) for name, seeds in found["validation nats"].items()}  # (seeds, points)

# %%
# Time is the number of steps times the median time of a step. The band reaches from the least seed to the greatest.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), width_ratios=(2, 1), layout="constrained")
styles = zip(losses.items(), ("#1f77b4", "#d1602d", "#2a9d5c"), ("-", "--", ":"), strict=True)
for (name, loss), colour, dashes in styles:
    seconds = torch.tensor(found["steps"]) * step_ms[name] / 1000
    left.plot(seconds[1:], loss.mean(0)[1:], color=colour, linestyle=dashes, label=name)
    least, greatest = loss.aminmax(dim=0)
    left.fill_between(seconds[1:], least[1:], greatest[1:], color=colour, alpha=0.15, linewidth=0)
left.set_xlabel("time of training (s)")
left.set_ylabel("validation loss (nats a byte)")
left.legend(frameon=False)
names = list(step_ms)
right.barh(
    names, [found["tokens"] / step_ms[name] for name in names], color=["#1f77b4", "#d1602d", "#2a9d5c"]
)
right.invert_yaxis()
right.set_xlabel("thousand tokens a second")

# %%
# The claim, and that the layer streams token by token.

full, *lower = names
for name in lower:
    assert step_ms[name] < step_ms[full]
    assert losses[name][:, -1].mean() <= losses[full][:, -1].mean()
mlp = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
layer = AtRate(Pointwise(mlp, 16), factor=4).eval()
assert_causal(layer, torch.randn(1, 24, 16))
assert_streaming_equals_batch(layer, torch.randn(1, 24, 16))
