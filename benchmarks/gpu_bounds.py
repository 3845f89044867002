"""What `gpu.py` is to show: each figure beside its bound, and whether it keeps it."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["bounds", "bounds_table"]

PEERS = ("nn.Conv1d", "causal-conv1d", "fla")
FORWARD, BOTH = "forward", "forward + backward"
FLOOR = 2.5  # copies: forward reads and writes a signal, backward reads two and writes one

Row = tuple[str, float | None, str, float]  # figure, found, whether it is to be at most or at least, bound


def bounds(result: Mapping[str, Any]) -> list[Row]:
    """Every figure, None where it was not measured; of the first shape in bfloat16.

    A filter's time is that in which the device works; a step's or a token's is the clock's on the wall.
    """
    filters = result.get("filters", {})
    first: Mapping[str, Any] = next((arms for case, arms in filters.items() if case.endswith("bf16")), {})
    return [*_of_checks(result["checks"]), *_of_filters(first), *_of_models(result.get("models", {}))]


def _of_checks(checks: Mapping[str, Mapping[str, str]]) -> Iterator[Row]:
    failed = [(name, outcome) for found in checks.values() for name, outcome in found.items()]
    for what, names in {
        "layers that leak": {"leak"},
        "layers off float64": {"torch.float32", "torch.bfloat16", "torch.float16", "many channels"},
        "layers that stream otherwise": {"streaming"},
        "folded layers that launch more than 3 kernels": {"launches"},
    }.items():
        outcomes = [outcome != "passed" for name, outcome in failed if name in names]
        yield what, float(sum(outcomes)) if outcomes else None, "at most", 0.0


def _of_filters(arms: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    def ms(case: str, arm: str, mode: str = FORWARD) -> float | None:
        found = arms.get(case, {}).get(arm, {}).get(mode)
        return None if found is None else float(found.get("device ms", found["ms"]))

    def best(case: str) -> float | None:
        return min((t for peer in PEERS if (t := ms(case, peer)) is not None), default=None)

    folded, fir, chain, ema = "Multirate, folded", "FIR, 4 taps", "4 FIRs of 4 taps, folded", "EMA"
    yield "Multirate, forward / copy", _ratio(ms(folded, "kernels"), ms(folded, "copy")), "at most", 1.3
    floor = None if (copy := ms(folded, "copy")) is None else FLOOR * copy
    both = _ratio(ms(folded, "kernels", BOTH), floor)
    yield "Multirate, forward + backward / 2.5 copies", both, "at most", 1.5
    yield "FIR of 4 taps, forward / best peer", _ratio(ms(fir, "kernels"), best(fir)), "at most", 1.0
    yield "best peer's chain / the folded one", _ratio(best(chain), ms(chain, "kernels")), "at least", 3.0
    yield "EMA, forward / copy", _ratio(ms(ema, "kernels"), ms(ema, "copy")), "at most", 2.0


def _of_models(models: Mapping[str, Mapping[str, float]]) -> Iterator[Row]:
    for kind, most, names in (
        ("eager step", 1.03, ("FIR",)),
        ("compiled step", 1.03, ("FIR",)),
        ("token", 1.05, ("token shift", "FIR", "Multirate, folded")),
    ):
        times = models.get(kind, {})
        for name in names:
            yield f"{kind}, {name} / plain", _ratio(times.get(name), times.get("plain")), "at most", most


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one / other


def bounds_table(rows: list[Row]) -> list[list[str]]:
    """The rows as text: figure, found, bound, "pass", "FAIL" or "not measured"."""
    lines = []
    for what, found, side, bound in rows:
        if found is None:
            verdict = "not measured"
        else:
            verdict = "pass" if (found <= bound if side == "at most" else found >= bound) else "FAIL"
        lines.append([what, "" if found is None else f"{found:.2f}", f"{side} {bound:g}", verdict])
    return lines
