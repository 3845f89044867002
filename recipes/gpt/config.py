"""The configuration of a training run, and how files and the command line become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Literal

from jsonargparse import ArgumentParser, Namespace

from .adaptive import AdaptiveDSP
from .arms import Arm
from .batches import BYTES
from .command_line import parse
from .errors import UsageError
from .model import GPTConfig
from .ranges import BelowOne, Count, Fraction, NotNegative, Positive, Range, Seed, check

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
        hyperparam_lr: peak learning rate of the hyperparameters (adaptive_dsp.learnable_params) where no controller
            moves them: null is that of the weights, 0 holds them fixed.
        warmup: steps of linear warm-up.
        final_lr: where the cosine ends, as a fraction of lr.
        weight_decay: of AdamW, on the parameters that dsptorch.param_groups lets decay.
        beta2: of AdamW.
        clip: largest norm of the gradient; 0 does not clip.
        eval_every: steps between two passes over the whole validation split.
        checkpoint_every: steps between two checkpoints, each behind the leak gate.
        log_every: steps between two lines of training metrics.
        compile: whether to run the model through torch.compile.
        accelerator: of Lightning Fabric.
        devices: number of devices, a process each; where torchrun starts the processes, their number counts.
        strategy: "auto", "ddp", or "fsdp" (FSDP2), which shards the model over the processes.
        precision: of Lightning Fabric.
        model: the plain model.
        arm: what is put into it.
        adaptive_dsp: whether and how a MetaController moves its hyperparameters.
    """

    data: str = "enwik8"
    root: Path = Path("data")
    out: Path = Path("runs/gpt")
    resume: bool = False
    seed: Seed = 0
    steps: Count = 1000
    batch_size: Count = 8
    accumulate: Count = 1
    lr: Positive = 3e-3
    hyperparam_lr: NotNegative | None = None
    warmup: Annotated[int, Range(0)] = 100
    final_lr: Fraction = 0.1
    weight_decay: NotNegative = 0.1
    beta2: BelowOne = 0.99
    clip: NotNegative = 1.0
    eval_every: Count = 250
    checkpoint_every: Count = 250
    log_every: Count = 10
    compile: bool = False
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: Count = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "bf16-true", "64-true"] = "32-true"
    model: GPTConfig = field(default_factory=GPTConfig)
    arm: Arm = field(default_factory=Arm)
    adaptive_dsp: AdaptiveDSP = field(default_factory=AdaptiveDSP)

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        check(TrainConfig, vars(self))
        if self.model.vocab_size < BYTES:
            raise UsageError(
                f"model.vocab_size: expected {BYTES} bytes or more, got {self.model.vocab_size}; raise it"
            )
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"accumulate: expected a divisor of batch_size={self.batch_size}, got {self.accumulate}; "
                "change either"
            )
        if self.adaptive_dsp.enabled and self.strategy == "fsdp":
            raise UsageError(
                "strategy: expected auto or ddp with adaptive_dsp.enabled, got fsdp, which shards the hyperparameters; "
                "change either"
            )


def train_parser() -> ArgumentParser:
    """Return the parser of a training run: YAML files, later ones on top, then options on top of them."""
    parser = ArgumentParser(
        description="Train one arm. Repeat --config to lay a treatment on a baseline; what comes later wins.",
        usage="%(prog)s [--config FILE ...] [--KEY VALUE ...]",
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="YAML file of the keys below; may be repeated")
    parser.add_class_arguments(TrainConfig)
    return parser


def to_config(parsed: Namespace) -> TrainConfig:
    """Return the run that `train_parser` parsed.

    Raises:
        UsageError: There is no such run.
    """
    for f in fields(TrainConfig):
        if is_dataclass(f.default_factory) and not isinstance(parsed[f.name], Namespace):
            raise UsageError(f"{f.name}: expected a mapping of its keys, got {parsed[f.name]!r}; change it")
    values = vars(train_parser().instantiate(parsed))
    return TrainConfig(**{f.name: values[f.name] for f in fields(TrainConfig)})


def load_config(files: Sequence[Path], options: Sequence[str] = ()) -> TrainConfig:
    """Return the run that YAML files (later ones win) and command-line options describe.

    Raises:
        UsageError: There is no such run.
    """
    arguments = [argument for file in files for argument in ("--config", str(file))]
    return to_config(parse(train_parser(), [*arguments, *options]))
