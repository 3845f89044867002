"""What calls cost, all in turn, so that a busy time of the machine meets every one of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
WARM = 2  # rounds that do not count


def cpu_ms(calls: Mapping[Name, Callable[[], object]], *, rounds: int) -> dict[Name, float]:
    """Return the median CPU time of each call, in milliseconds, summed over its threads.

    Args:
        calls: what to time; a round makes all of them, one after the other.
        rounds: rounds, after WARM ones that do not count.
    """
    spent: dict[Name, list[float]] = {name: [] for name in calls}
    for _ in range(WARM + rounds):
        for name, call in calls.items():
            began = time.process_time()
            call()
            spent[name].append(1e3 * (time.process_time() - began))
    return {name: statistics.median(times[WARM:]) for name, times in spent.items()}
