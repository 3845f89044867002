"""Perfect reconstruction while learning
=====================================

**Claim:** every bank of dsptorch gives its input back to 1e-5 of the largest sample after 500 steps of training on
something else, and free taps do not give it back at all.

Drawn from the committed result of ``python benchmarks/reconstruction.py``; training takes some minutes.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt

here = next(path for path in (Path.cwd(), *Path.cwd().parents) if (path / "benchmarks").is_dir())
curves = json.loads((here / "benchmarks" / "results" / "reconstruction.json").read_text())["curves"]
ours = {name: curve for name, curve in curves.items() if name.endswith("float32")}
others = {name: curve for name, curve in curves.items() if not name.endswith(("float32", "float64"))}

# %%
# The angles and vectors of a bank move, and whatever they are, its synthesis undoes its analysis.

figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
for n, curve in enumerate(ours.values()):
    label = "dsptorch, float32: each family" if n == 0 else None
    ax.plot(curve["step"], curve["error"], color="#1f77b4", linewidth=0.9, label=label)
for (name, curve), dashes in zip(others.items(), ("-", "--", "-.", ":"), strict=True):
    ax.plot(curve["step"], curve["error"], color="#d1602d", linestyle=dashes, label=name)
ax.set_yscale("log")
ax.set_xlabel("steps of Adam, learning rate 0.1, towards sparse bands")
ax.set_ylabel("error of reconstruction")
figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize="small")

# %%
# The claim.

assert max(max(curve["error"]) for curve in ours.values()) < 1e-5
assert others["every tap free"]["error"][-1] > 1
