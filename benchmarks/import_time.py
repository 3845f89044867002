"""Time what `import dsptorch` adds to `import torch`.

    python benchmarks/import_time.py

New interpreters take turns: one imports torch, the other torch and then dsptorch. Reported is the difference of the
medians of their whole run times, and beside it what the second saw its own `import dsptorch` take.
"""

import argparse
import statistics
import subprocess
import sys
from functools import partial

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from harness import add_options, facts, print_facts, round_robin, save, table

TORCH = "import torch"
BOTH = f"""{TORCH}
from time import perf_counter
start = perf_counter()
import dsptorch
print(perf_counter() - start)
"""


def interpret(code: str) -> str:
    """Run code in a new interpreter and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Time and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_options(parser, "import_time", repeats=15)
    options = parser.parse_args()
    known = facts(torch.device("cpu"))
    print_facts(known)

    inside: list[float] = []

    def both() -> None:
        inside.append(1e3 * float(interpret(BOTH)))

    timings = round_robin(
        {"torch": partial(interpret, TORCH), "torch, dsptorch": both}, options.repeats, warmup=0
    )
    added = timings["torch, dsptorch"].median - timings["torch"].median
    measured = statistics.median(inside)
    rows = [[name, str(timing)] for name, timing in timings.items()]
    print(table(["imports", "median ms (quartiles)"], rows))
    print(f"\nimport dsptorch adds {added:.0f} ms to the process; inside it, it takes {measured:.0f} ms.")
    save(options.output, {"facts": known, "milliseconds": timings, "added ms": added, "inside ms": inside})


if __name__ == "__main__":
    main()
