"""A bank of averages learns its memory
====================================

**Claim:** half-lives that begin spread between 1 and 64 samples find the half-lives of a target by gradient descent.

An exponential moving average forgets half of a sample in `half_life` samples. The target is the sum of two of them.
"""

import matplotlib.pyplot as plt
import torch

from dsptorch import EMA, EMABank
from dsptorch.analysis import plot_impulse

torch.manual_seed(0)
bank = EMABank(1, 2, half_life=(1.0, 64.0))
wanted = torch.tensor([2.0, 50.0])
x = torch.randn(16, 400, 1)
target = torch.cat([EMA(1, half_life=float(h))(x) for h in wanted], dim=-1)

# %%
# Training moves the half-lives, on the scale of their logarithm.

begin = bank.half_life.value.detach().flatten()
optimizer = torch.optim.Adam(bank.parameters(), lr=0.05)
path = [begin]
for _ in range(300):
    optimizer.zero_grad()
    (bank(x) - target).square().mean().mul(100).backward()
    optimizer.step()
    path.append(bank.half_life.value.detach().flatten())
path = torch.stack(path)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for half_life, dashes in zip((1, 4, 16, 64), ("-", "--", "-.", ":"), strict=True):
    plot_impulse(EMA(1, half_life=float(half_life)), ax=left)
    left.lines[-2].set(label=f"half-life {half_life}", marker="", linestyle=dashes)
left.set_xlim(-2, 60)
left.set_yscale("log")
left.set_ylim(1e-3, 1)
left.legend(frameon=False, fontsize="small")
for n, colour in enumerate(("#1f77b4", "#d1602d")):
    right.plot(path[:, n], color=colour)
    right.axhline(wanted[n], color=colour, linestyle=":")
right.set_yscale("log")
right.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
right.minorticks_off()
right.set_xlabel("steps")
right.set_ylabel("half-life (samples)")
right.set_title("dotted: the half-lives of the target", loc="left", fontsize="medium")
left.set_ylabel("impulse response")

# %%
# The claim.

assert ((path[-1] - wanted).abs() / wanted < 0.05).all()
