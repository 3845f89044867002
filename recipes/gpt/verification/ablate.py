"""The command `ablate`: what each part of a treatment is worth, taken out of it, and alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..arms import build
from ..command_line import parse
from ..config import TrainConfig, to_config, train_parser
from ..errors import UsageError
from ..ranges import Count, Seeds, checked
from .analyze import analyze
from .plan import make_plan
from .verify import Lengths, arguments, carry_out

BLOCKS = ("multirate", "lfo_routing", "bottleneck")
FIXED = ("--adaptive_dsp.enabled", "false", "--hyperparam_lr", "0")


@checked
def ablate(
    baseline: str,
    treatment: str,
    seeds: Seeds = (42, 123, 456),
    long_steps: Lengths | None = None,
    results_dir: Path = Path("results/ablation"),
    data: str | None = None,
    root: Path = Path("data"),
    workers: Count = 1,
    ray: str | None = None,
    list: bool = False,  # noqa: A002  (the name of the option)
) -> None:
    """Train a treatment whole, without each of its parts, and with each of its blocks alone, and analyze all.

    Beside them stand the baseline, and the baseline with a wider MLP, of as many parameters as the treatment. All is
    as in `verify`, which see: paired seeds, kills, several machines. The differences are from the whole treatment.

    Args:
        baseline: configurations joined by "+": names in recipes/configs or paths.
        treatment: the same; of the study's three blocks it has two or more.
        seeds: of weights, batches and dropout.
        long_steps: lengths in updates, each with a schedule of its own; the treatment's `steps` where none is given.
        results_dir: folder to put the runs, and what `analyze` makes of them, in.
        data: as of `train`; that of the configurations where none is given.
        root: as of `train`.
        workers: how many runs at a time, each with its share of the cores.
        ray: as of `verify`.
        list: whether to print the commands of the single runs, for a scheduler of your own, and make none.
    """
    arms = rows(arguments(baseline, data, root), arguments(treatment, data, root))
    plan = make_plan(arms, long_steps, seeds, results_dir)
    if carry_out(plan, workers=workers, only_list=list, ray=ray):
        analyze(results_dir)


def rows(baseline: Sequence[str], treatment: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the arms of an ablation: arguments of `train` by the arm's name, the whole treatment first.

    Raises:
        UsageError: The treatment has fewer than two of the study's blocks.
    """
    whole, plain = (to_config(parse(train_parser(), given)) for given in (treatment, baseline))
    blocks = [block for block in BLOCKS if getattr(whole.arm, block) is not None]
    if len(blocks) < 2:
        raise UsageError(
            f"treatment: expected two or more of {', '.join(BLOCKS)} to take apart, got {len(blocks)}; give another"
        )
    found = {"full": tuple(treatment)}
    if whole.adaptive_dsp.enabled:
        found["without_adaptive"] = (*treatment, *FIXED)
    for block in blocks:
        found[f"without_{block}"] = (*treatment, *_without(block))
    found["baseline"] = tuple(baseline)
    found["baseline_widened"] = (
        *baseline,
        "--model.mlp_width",
        str(same_parameters(plain, parameters(whole))),
    )
    for block in blocks:
        others = (part for other in blocks if other != block for part in _without(other))
        found[f"{block}_alone"] = (*treatment, *others)
    return found


def _without(block: str) -> tuple[str, str]:
    return f"--arm.{block}", "null"


def parameters(config: TrainConfig) -> int:
    """Return the number of trained parameters of an arm, tied ones counted once."""
    return sum(p.numel() for p in build(config.model, config.arm).parameters() if p.requires_grad)


def same_parameters(plain: TrainConfig, wanted: int) -> int:
    """Return the width of the MLP with which a configuration comes closest to a number of parameters."""
    shape = plain.model
    width = shape.mlp_width or 4 * shape.d_model
    each = 2 * shape.n_layer * shape.d_model  # parameters of one hidden unit in every block
    return max(1, width + round((wanted - parameters(plain)) / each))
