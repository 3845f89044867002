"""Paired runs of two tiny arms, made once in this process and copied for each test that spoils them."""

from pathlib import Path

from gpt.train import train
from gpt.verification.plan import Plan, make_plan, write_plan

TINY = """
model: {n_layer: 1, n_head: 2, d_model: 16, context: 16}
batch_size: 4
warmup: 2
lr: 1e-2
eval_every: 4
log_every: 1
accelerator: cpu
data: DATA
"""
SEEDS = (42, 123)
LENGTHS = (8, 12)


def write_files(folder: Path) -> None:
    """Write a text, and configurations of a baseline and a treatment."""
    (folder / "text").write_bytes(bytes(range(97, 123)) * 80)
    for name, more in {"base": "", "treated": "arm: {token_shift: true}\n"}.items():
        text = TINY.replace("DATA", str(folder / "text")) + more
        (folder / f"{name}.yaml").write_text(text)


def tiny_plan(folder: Path, seeds: tuple[int, ...] = SEEDS, lengths: tuple[int, ...] = LENGTHS) -> Plan:
    """Return a plan of the arms that `write_files` wrote."""
    arms = {name: ("--config", str(folder / f"{name}.yaml")) for name in ("base", "treated")}
    return make_plan(arms, lengths, seeds, folder / "results")


def make(plan: Plan) -> None:
    """Make all runs of a plan."""
    write_plan(plan)
    for run in plan:
        train(run.config)
