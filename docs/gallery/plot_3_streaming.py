"""A stream equals the whole, across rates
=======================================

**Claim:** resampling from 44.1 kHz to 16 kHz in any chunks equals resampling the whole signal to 1e-5; resampling
each chunk by itself does not.

Without a state, every chunk begins from silence, which clicks, and its length is rounded up, which drifts.
"""

import matplotlib.pyplot as plt
import torch

from dsptorch import ResamplePoly

torch.manual_seed(0)
layer = ResamplePoly(1, up=160, down=441)
x = torch.randn(1, 4410, 1)
whole = layer(x)


def chunks_of(x):
    """The signal in chunks of random lengths, of 0 samples too."""
    cuts = torch.randint(0, x.shape[1], (int(torch.randint(1, 12, ())),)).sort().values.tolist()
    return x.tensor_split(cuts, dim=1)


# %%
# The same chunks through `step`, which passes the state on, and one by one without it. An error of 0 is drawn at 1e-9.

kept, lost, lengths = [], [], []
for _ in range(60):
    chunks, state, parts = chunks_of(x), None, []
    for chunk in chunks:
        y, state = layer.step(chunk, state)
        parts.append(y)
    kept.append((torch.cat(parts, 1) - whole).abs().max().item())
    alone = torch.cat([layer(chunk) for chunk in chunks], 1)
    time = min(alone.shape[1], whole.shape[1])
    lost.append((alone[:, :time] - whole[:, :time]).abs().max().item())
    lengths.append(alone.shape[1] - whole.shape[1])

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(
    [max(error, 1e-9) for error in kept],
    "o",
    color="#1f77b4",
    markersize=4,
    label="dsptorch: step, with its state",
)
ax.plot(lost, "x", color="#d1602d", label="each chunk by itself")
ax.set_yscale("log")
ax.set_xlabel("number of the random chunking")
ax.set_ylabel("largest difference from the whole")
ax.set_title(
    f"each chunk by itself: up to {max(lengths)} output samples too many", loc="left", fontsize="medium"
)
ax.legend(frameon=False)

# %%
# The claim.

assert max(kept) < 1e-5
assert min(lost) > 1e-2
