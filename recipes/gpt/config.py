"""The configuration of a training run, and how files and the command line become one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from .adaptive import AdaptiveDSP
from .arms import Arm
from .model import GPTConfig

CONFIGS = Path(__file__).parent.parent / "configs"


@dataclass
class TrainConfig:
    """One training run.

    Args:
        data: "enwik8", "text8", "wikitext2", "python-docs", or a file (.gz .bz2 .xz .zip or plain).
        root: where prepared data lie.
        out: folder of the run: metrics.jsonl, checkpoint.pt, result.json.
        resume: continue the run that is in `out` (from its start where it has no checkpoint yet).
        seed: of weights, batches and dropout.
        steps: number of updates.
        batch_size: sequences of model.context bytes an update, of all processes together.
        accumulate: forward and backward passes that share a process's part of the batch.
        lr: peak learning rate, after the warm-up.
        knob_lr: peak learning rate of the knobs (adaptive_dsp.learnable_params) where no controller moves them:
            null is that of the weights, 0 holds them fixed.
        warmup: steps of linear warm-up.
        final_lr: where the cosine ends, as a fraction of lr.
        weight_decay: of AdamW, on the parameters that dsptorch.param_groups lets decay.
        beta2: of AdamW.
        clip: largest norm of the gradient.
        eval_every: steps between two passes over the whole validation split.
        checkpoint_every: steps between two checkpoints, each behind the leak gate.
        log_every: steps between two lines of training metrics.
        compile: whether to run the model through torch.compile.
        accelerator: of Lightning Fabric: "cpu", "cuda", "mps", "auto".
        devices: number of devices, a process each; where torchrun starts the processes, their number counts.
        strategy: "auto", "ddp", or "fsdp" (FSDP2), which shards the model over the processes.
        precision: of Lightning Fabric: "32-true", "bf16-mixed", "bf16-true".
        model: the plain model.
        arm: what is put into it.
        adaptive_dsp: whether and how a MetaController moves its knobs.
    """

    data: str = "enwik8"
    root: Path = Path("data")
    out: Path = Path("runs/gpt")
    resume: bool = False
    seed: int = 0
    steps: int = 1000
    batch_size: int = 8
    accumulate: int = 1
    lr: float = 3e-3
    knob_lr: float | None = None
    warmup: int = 100
    final_lr: float = 0.1
    weight_decay: float = 0.1
    beta2: float = 0.99
    clip: float = 1.0
    eval_every: int = 250
    checkpoint_every: int = 250
    log_every: int = 10
    compile: bool = False
    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    model: GPTConfig = field(default_factory=GPTConfig)
    arm: Arm = field(default_factory=Arm)
    adaptive_dsp: AdaptiveDSP = field(default_factory=AdaptiveDSP)

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        counts = (
            "steps",
            "batch_size",
            "accumulate",
            "eval_every",
            "checkpoint_every",
            "log_every",
            "devices",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name}: expected at least 1, got {getattr(self, name)}; give a positive integer"
                )
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate: expected a divisor of batch_size={self.batch_size}, got {self.accumulate}; "
                "change either"
            )
        if self.knob_lr is not None and not 0 <= self.knob_lr < math.inf:
            raise ValueError(
                f"knob_lr: expected null or a number of 0 or more, got {self.knob_lr}; change it"
            )
        if self.adaptive_dsp.enabled and self.strategy == "fsdp":
            raise ValueError(
                "strategy: expected auto or ddp with adaptive_dsp.enabled, got fsdp, which shards the knobs; "
                "change either"
            )
        if self.seed < 0 or self.warmup < 0:
            raise ValueError(
                f"seed, warmup: expected 0 or more, got {self.seed}, {self.warmup}; raise them to 0"
            )


def train_parser(*, exit_on_error: bool = True) -> ArgumentParser:
    """Return the parser of a training run: YAML files, later ones on top, then options on top of them."""
    parser = ArgumentParser(
        description="Train one arm. Repeat --config to lay a treatment on a baseline; what comes later wins.",
        usage="%(prog)s [--config FILE ...] [--KEY VALUE ...]",
        exit_on_error=exit_on_error,
    )
    parser.add_argument("--config", action="config", help="YAML file of the keys below; may be repeated")
    parser.add_class_arguments(TrainConfig)
    return parser


def to_config(parsed: Namespace) -> TrainConfig:
    """Return the run that `train_parser` parsed."""
    values = vars(train_parser().instantiate(parsed))
    return TrainConfig(**{f.name: values[f.name] for f in fields(TrainConfig)})


def load_config(files: Sequence[Path], options: Sequence[str] = ()) -> TrainConfig:
    """Return the run that YAML files (later ones win) and command-line options describe."""
    arguments = [argument for file in files for argument in ("--config", str(file))]
    return to_config(train_parser(exit_on_error=False).parse_args([*arguments, *options]))
