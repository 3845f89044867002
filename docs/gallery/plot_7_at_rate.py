"""What AtRate saves
=================

**Claim:** an MLP at a quarter of the rate costs a quarter of its multiplications and the two rate changers, and the
layer around it still streams token by token.

The multiplications are counted while the layers run; how many milliseconds that makes depends on the machine.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

from dsptorch import AtRate, Pointwise
from dsptorch.analysis import summary
from dsptorch.testing import assert_causal, assert_streaming_equals_batch

torch.manual_seed(0)
width = 128


def mlp():
    """The MLP of a transformer block."""
    module = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
    return Pointwise(module, width)  # a layer, which streams


# %%
# A row of `summary` for each layer: AtRate, and the rate changers in it.

full = 2 * 4 * width * width
factors, total, changers = [1, 2, 4, 8], [], []
for factor in factors:
    rows = summary(AtRate(mlp(), factor), time=64)
    total.append(rows[0].cost)
    changers.append(rows[0].cost - full / factor)

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
places = range(len(factors))
ax.bar(places, [full / factor for factor in factors], color="#1f77b4", label="the MLP")
ax.bar(places, changers, bottom=[full / factor for factor in factors], color="#d1602d", label="down and up")
ax.set_xticks(places, [f"1/{factor}" for factor in factors])
ax.set_xlabel("rate of the MLP")
ax.set_ylabel("multiplications per token")
ax.legend(frameon=False)

# %%
# The claim.

assert all(cost < full / factor + 0.1 * full for cost, factor in zip(total, factors, strict=True))
layer = AtRate(mlp(), 4).eval()
assert_causal(layer, torch.randn(1, 24, width))
assert_streaming_equals_batch(layer, torch.randn(1, 24, width))
