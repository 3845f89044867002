"""Time the layers' own cost of a streamed token, early and late in a signal.

    python benchmarks/streamed_token.py

A stack of layers without a model around it runs token by token within `dsptorch.streaming`, without gradients, from
states that it reached by running the signal up to there. Beside it the same layers by a bare `step`.
"""

import argparse
from collections.abc import Callable
from typing import Any, cast

import openmp_policy  # noqa: F401  # before torch, which reads what it sets
import torch
from harness import Timing, add_options, add_torch_options, facts, print_facts, round_robin, save, table
from torch import Tensor, nn

from dsptorch import FIR, ChannelBottleneck, Layer, LFORouting, Multirate, streaming

POSITIONS = (10, 1_000, 100_000)
CHUNK = 1_000


def stack(d_model: int) -> nn.Sequential:
    """Every kind of layer that a GPT gets here."""
    return nn.Sequential(
        FIR(d_model, 6, init="delays"),
        Multirate(d_model),
        Multirate(d_model, levels=2),
        LFORouting(d_model),
        ChannelBottleneck(d_model),
    )


def states_at(model: nn.Module, position: int, x: Tensor) -> dict[str, Any]:
    """Run a signal up to a position, and return the states there."""
    with streaming(model) as stream:
        for start in range(0, position, CHUNK):
            model(x[:, : min(CHUNK, position - start)])
        return stream.states


def report(timings: dict[str, Timing], tokens: int) -> str:
    """Return the table."""
    first = timings[name_of(POSITIONS[0])].median
    rows = [
        [
            name,
            f"{t.median / tokens:.3f}",
            f"{t.median / first:.2f}",
            f"{t.quartiles[0] / first:.2f} to {t.quartiles[1] / first:.2f}",
        ]
        for name, t in timings.items()
    ]
    return table(["arm", "median ms a token", f"over position {POSITIONS[0]}", "quartiles"], rows)


def name_of(position: int) -> str:
    return f"streaming from position {position:,}"


@torch.no_grad()
def main() -> None:
    """Time and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--d-model", type=int, default=256, help="width (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1, help="rows (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=50, help="in a round (default: %(default)s)")
    add_options(parser, "streamed_token", repeats=25)
    add_torch_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    known = facts(options.device)
    print_facts(known)
    torch.manual_seed(options.seed)
    model = stack(options.d_model).to(options.device).eval()
    x = torch.randn(options.batch, CHUNK, options.d_model, device=options.device)
    tokens = x[:, : options.tokens].split(1, 1)
    states = {position: states_at(model, position, x) for position in POSITIONS}

    with streaming(model) as stream:

        def streamed(position: int) -> Callable[[], None]:
            def run() -> None:
                stream.states = states[position]
                for token in tokens:
                    model(token)

            return run

        def stepped() -> None:
            present = dict(states[POSITIONS[0]])
            for token in tokens:
                y = token
                for name, layer in model.named_children():
                    y, present[name] = cast(Layer, layer).step(y, present[name])

        arms: dict[str, Callable[[], None]] = {
            name_of(position): streamed(position) for position in POSITIONS
        }
        arms[f"a bare step, from position {POSITIONS[0]}"] = stepped
        timings = round_robin(arms, options.repeats, options.device)
    print(f"batch {options.batch}, d_model {options.d_model}, {options.tokens} tokens a round\n")
    print(report(timings, options.tokens))
    result: dict[str, Any] = {"facts": known, "options": vars(options), "milliseconds": timings}
    save(options.output, result)


if __name__ == "__main__":
    main()
