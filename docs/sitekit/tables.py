"""The tables that pages show, each a function of committed results."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sitekit.tables_of_learning import tables as tables_of_learning

ROOT = Path(__file__).parents[2]

_GPT = {
    "learned": "plain, learned positions, lr 1e-3",
    "learned+seed_blocks": "+ the study's three blocks",
    "rope": "plain, RoPE, lr 3e-3",
    "rope+seed_blocks": "+ the study's three blocks",
    "rope+token_shift": "+ token shift (no parameters)",
    "rope+fir": '+ `FIR(kernel_size=6, init="delays")`',
}
_BANKS = {
    "rope+small": "plain, RoPE",
    "rope+token_shift+small": "token shift",
    "rope+fir+small": '`FIR(init="delays")`',
    "rope+undecimated+small": "`UndecimatedBands`",
    "rope+ema+small": "`EMA`",
    "rope+ema_bank+small": "`EMABank`",
}
_SPEED = {
    "copy": "a copy of the tensor",
    "literal": "the equations as they stand (conv1d), eager",
    "literal, compiled": "the same, compiled",
    "shift-and-add, compiled": "unfolded shift-and-add cascade, compiled",
    "ours": "`Multirate`, eager",
    "ours, compiled": "`Multirate`, compiled",
}


def load(path: str) -> Any:
    """A committed result."""
    return json.loads((ROOT / path).read_text())


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns, but the first, are set to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)


def gpt() -> str:
    """The losses of the small GPT, and the times of its steps on an idle machine."""
    results = {arm["arm"]: arm for arm in load("recipes/results/enwiki_head/results.json")["arms"]}
    times = load("recipes/results/enwiki_head/step_ms.json")["step_ms"]
    rows = []
    for name, label in _GPT.items():
        arm = results[name]
        change = arm["change_percent"]
        row = (label, f"{arm['val_loss']:.3f} ± {arm['val_loss_spread']:.3f}", f"{arm['val_bpc']:.3f}")
        row += (
            "baseline" if change is None else f"{change:+.1f} %",
            f"{arm['parameters']:,}",
            f"{times[name]:.0f}",
        )
        rows.append(row)
    return markdown(("model", "validation nats", "bpc", "change", "parameters", "ms a step"), rows)


def banks() -> str:
    """The losses of the smaller GPT with filters, banks and averages."""
    (length,) = load("recipes/results/banks_250/analysis.json")["lengths"]
    rows = []
    for arm in length["arms"]:
        loss, pair = arm["val_loss"], arm["val_loss_comparison"]
        row = (_BANKS[arm["arm"]], f"{loss['mean']:.3f} ± {loss['spread']:.3f}")
        if pair is None:
            row += ("reference", "")
        else:
            low, high = pair["interval"]
            row += (f"{pair['change_percent']:+.1f} %", f"{low:+.3f} to {high:+.3f}")
        rows.append(row)
    return markdown(("model", "validation nats", "change", "95 % interval of the difference"), rows)


def pulse() -> str:
    """The errors of the forecasts of a pulse wave."""
    runs: dict[str, list[Any]] = {}
    for run in load("recipes/results/ppg/results.json")["runs"]:
        runs.setdefault(run["arm"], []).append(run)
    plain = statistics.fmean(run["test_rmse"] for run in runs["plain"])
    rows = []
    for arm, found in runs.items():
        errors = [run["test_rmse"] for run in found]
        mean = statistics.fmean(errors)
        change = "reference" if arm == "plain" else f"{100 * (mean / plain - 1):+.1f} %"
        row = (f"`{arm}`", str(found[0]["memory"]), f"{mean:.1f} ± {statistics.stdev(errors):.1f}", change)
        rows.append(row)
    return markdown(("model", "samples seen", "test RMSE", "change"), rows)


def syllables() -> str:
    """The accuracies of the front ends on spoken syllables, and what they cost."""
    data, costs = (
        load("recipes/results/syllables/results.json"),
        load("recipes/results/syllables/cost.json")["costs"],
    )
    runs: dict[str, list[Any]] = {}
    for run in data["runs"]:
        runs.setdefault(run["arm"], []).append(run)
    rows = []
    for arm, found in runs.items():
        shares = [100 * run["initials"] for run in found]
        row = (f"`{arm}`", f"{statistics.fmean(shares):.1f} ± {statistics.stdev(shares):.1f}")
        rows.append((*row, f"{costs[arm]['latency_ms']:.1f}", f"{costs[arm]['stream_ms']:.0f}"))
    return markdown(
        ("front end", "initials right, %", "latency, ms", "CPU ms a second of sound, streamed"), rows
    )


def speed() -> str:
    """The times of the Multirate block, forward and backward."""
    data = load("benchmarks/results/multirate.json")["forward + backward"]
    times = {name: arm["median"] for name, arm in data["milliseconds"].items()}
    peak = next(part for name, part in data.items() if name != "milliseconds" and set(part) >= set(_SPEED))
    rows = []
    for name, label in _SPEED.items():
        faster = [f"{times[other] / times[name]:.1f}" for other in ("literal", "literal, compiled")]
        rows.append((label, f"{times[name]:.2f}", *faster, f"{peak[name] / 2**20:.1f}"))
    return markdown(
        ("arm", "ms (median)", "times faster than literal", "than literal compiled", "peak MiB"), rows
    )


def reconstruction() -> str:
    """What filterbanks give back after training on something else."""
    curves = load("benchmarks/results/reconstruction.json")["curves"]
    rows = [
        (name.removesuffix(", float32"), f"{curve['error'][0]:.1e}", f"{curve['error'][-1]:.1e}")
        for name, curve in curves.items()
        if not name.endswith("float64")
    ]
    return markdown(("bank", "error before training", "after 500 steps of Adam at 0.1"), rows)


def training_step() -> str:
    """What a block adds to a compiled training step."""
    times = load("benchmarks/results/training_step.json")["compiled"]["milliseconds"]
    plain = times["plain"]["median"]
    rows = [
        (
            name,
            f"{arm['median']:.1f}",
            "" if name == "plain" else f"{100 * (arm['median'] / plain - 1):+.1f} %",
        )
        for name, arm in times.items()
    ]
    return markdown(("model", "ms a step (median)", "over plain"), rows)


def streamed_token() -> str:
    """What a streamed token costs, early and late in a signal."""
    times = load("benchmarks/results/streamed_token.json")["milliseconds"]
    rows = [(name, f"{arm['median']:.1f}") for name, arm in times.items()]
    return markdown(("50 tokens through five layers", "ms (median)"), rows)


def recurrences() -> str:
    """The times of an EMA beside other ways to compute it."""
    times = load("benchmarks/results/recurrences.json")["EMA"]["milliseconds"]
    both = [times["forward"], times["forward + backward"]]
    rows = [
        (name, *(f"{part[name]['median']:.2f}" if name in part else "" for part in both)) for name in both[0]
    ]
    return markdown(("`EMA` on (8, 512, 256)", "forward, ms", "forward + backward, ms"), rows)


def _of_study(name: str) -> str:
    """The table that a study made of its numbers; tests of the recipes keep both the same."""
    return (ROOT / "recipes/results" / name / "table.md").read_text().rstrip("\n")


def syllables_study() -> str:
    """All that was measured of the front ends."""
    return _of_study("syllables")


def ppg_study() -> str:
    """All that was measured of the forecasts of a pulse wave."""
    return _of_study("ppg")


def ppg_undecimated() -> str:
    """The same of the undecimated bank: the two rows that are not in the table above."""
    lines = _of_study("ppg/undecimated").split("\n")
    return "\n".join([*lines[:2], *(line for line in lines if line.startswith(("| plain", "| Undecimated")))])


TABLES = {
    function.__name__: function
    for function in (
        *(gpt, banks, pulse, syllables, speed),
        *(syllables_study, ppg_study, ppg_undecimated),
        *(reconstruction, training_step, streamed_token, recurrences),
    )
}
TABLES |= tables_of_learning(load, markdown)
