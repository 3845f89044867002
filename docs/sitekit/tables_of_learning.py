"""Tables of what training does: to hyperparameters, to reconstruction, and to the time of a step."""

from collections.abc import Callable
from typing import Any

_WHO = {
    "": "nobody",
    "+ordinary": "AdamW, as ordinary parameters, lr of the weights (3e-3)",
    "+ordinary_fast": "AdamW, as ordinary parameters, lr 3e-2",
    "+adaptive": "MetaController, its defaults (`direct`, every 20 steps)",
    "+adaptive_random": "the same with random signs",
    "+adaptive_still": "the same with lr 0",
    "+adaptive_literal": "the study's numbers, literally",
}
_FOLDER = "recipes/results/hyperparams"


def tables(load: Callable[[str], Any], markdown: Callable[..., str]) -> dict[str, Callable[[], str]]:
    """The tables by name.

    Args:
        load: Reads a committed result.
        markdown: Makes a table of a header and rows.
    """

    def controllers() -> str:
        """The test losses of the GPT with fixed and with learned hyperparameters."""
        arms = {arm["arm"]: arm for arm in load(f"{_FOLDER}/still.json")["arms"]}
        arms |= {arm["arm"]: arm for arm in load(f"{_FOLDER}/results.json")["arms"]}
        rows = []
        for name, label in _WHO.items():
            row = [label]
            for start in ("good", "bad"):
                fixed, arm = arms[f"rope+hyperparams_{start}"], arms[f"rope+hyperparams_{start}{name}"]
                row += [
                    f"{arm['test_loss']:.3f} ± {arm['test_loss_spread']:.3f}",
                    f"{arm['test_loss'] - fixed['test_loss']:+.3f}" if name else "",
                ]
            rows.append(row)
        return markdown(("who moves them", "from good", "change", "from bad", "change"), rows)

    def controller_cost() -> str:
        """What an update every 20 steps adds to a training step."""
        times = load(f"{_FOLDER}/step_ms.json")["milliseconds"]
        first = next(iter(times.values()))["median"]
        rows = []
        for name, time in times.items():
            low, high = (quartile / 20 for quartile in time["quartiles"])
            change = f"{100 * (time['median'] / first - 1):+.1f} %" if time["median"] != first else ""
            rows.append((name, f"{time['median'] / 20:.1f}", f"{low:.1f} to {high:.1f}", change))
        return markdown(("20 steps and one update", "ms a step (median)", "quartiles", "change"), rows)

    def holds() -> str:
        """The errors of reconstruction of all families, on the way and after training."""
        curves = load("benchmarks/results/reconstruction.json")["curves"]
        lifting = "Lifting, two networks, float32"
        groups = {
            "every family but `Lifting`, float32": [
                n for n in curves if n.endswith("float32") and n != lifting
            ],
            "`Lifting` with two networks, float32: relative to what they predict": [lifting],
            "all of them, float64": [n for n in curves if n.endswith("float64")],
            **{n: [n] for n in curves if not n.endswith(("float32", "float64"))},
        }
        rows = [
            (
                label,
                f"{max(max(curves[n]['error']) for n in names):.1e}",
                f"{max(curves[n]['error'][-1] for n in names):.1e}",
            )
            for label, names in groups.items()
        ]
        return markdown(("bank", "largest error on the way", "after 500 steps"), rows)

    return {"controllers": controllers, "controller_cost": controller_cost, "holds": holds}
