"""The training loop: Lightning Fabric around a plain PyTorch step."""

from __future__ import annotations

import json
import math
import statistics
import time
import zlib
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.fsdp import FSDPStrategy
from torch import Tensor
from tqdm import tqdm

from .adaptive import find_knobs, optimizer_groups
from .arms import build
from .batches import sample_batch, seed_step
from .checkpoint import CheckpointError, check_same_run, read_checkpoint, save_checkpoint, write_text
from .config import TrainConfig
from .data import Splits, load_splits
from .evaluate import all_reduced, evaluate, next_byte_loss
from .leak_gate import leak_gate
from .metrics import LOG, Metrics, bits, read_metrics

CHECKPOINT, RESULT = "checkpoint.pt", "result.json"


@dataclass(frozen=True)
class Result:
    """What a finished run has to show.

    Args:
        config: the run's configuration, as plain values.
        data: name, size and checksum of the data.
        parameters: number of trained parameters, tied ones counted once.
        val_loss: final loss over the whole validation split, nats a byte.
        val_bpc: the same in bits a byte.
        test_loss: final loss over the whole test split, nats a byte; no choice is made by it.
        best_val_loss: the lowest of the run, nats a byte.
        best_step: the step of that.
        step_ms: median time of one update, validation and checkpoints left out, in milliseconds.
    """

    config: dict[str, Any]
    data: str
    parameters: int
    val_loss: float
    val_bpc: float
    test_loss: float
    best_val_loss: float
    best_step: int
    step_ms: float


def train(config: TrainConfig, splits: Splits | None = None) -> Result:
    """Train one arm and return its result; `splits` takes the place of config.data where it is at hand.

    Everything random in step i is a pure function of (seed, i, rank), so a run that is killed and resumed
    makes the same numbers, bit for bit on a CPU, as one that is not.

    Raises:
        LeakError: The model looks ahead.
        CheckpointError: `out` holds a run already, or a checkpoint that does not fit.
    """
    fabric = _launch(config)
    with fabric.rank_zero_first():
        splits = splits or load_splits(config.data, config.root)
    data = fingerprint(splits)
    identity = {**plain(config), "data (read)": data}
    if min(len(splits.train), len(splits.val)) <= config.model.context:
        raise ValueError(
            f"expected parts longer than model.context={config.model.context} bytes, got {data}, "
            f"{len(splits.val):,} to validate; give more text, or a shorter context"
        )

    torch.manual_seed(config.seed)
    gpt = build(config.model, config.arm)
    knobs = {}
    if config.adaptive_dsp.enabled or config.knob_lr is not None:
        knobs = find_knobs(gpt, config.adaptive_dsp.learnable_params)
    if config.knob_lr == 0 and not config.adaptive_dsp.enabled:
        for knob in knobs.values():
            knob.requires_grad_(False)
    parameters = sum(p.numel() for p in gpt.parameters() if p.requires_grad)
    model = fabric.setup_module(torch.compile(gpt) if config.compile else gpt)  # type: ignore[arg-type]
    knob_lr = 0.0 if config.adaptive_dsp.enabled else config.knob_lr
    groups = optimizer_groups(model, knobs, lr=config.lr, knob_lr=knob_lr, weight_decay=config.weight_decay)
    optimizer = fabric.setup_optimizers(torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2)))

    start = _start(fabric, config, identity, model, optimizer)
    row = splits.val[: config.model.context].long()[None]  # (1, T)
    gate = partial(leak_gate, fabric, model, row, vocab_size=config.model.vocab_size)
    gate(step=start)
    size = config.batch_size // config.accumulate
    check_on = partial(evaluate, fabric, model, context=config.model.context, batch_size=size)
    model.train()
    first = fabric.is_global_zero
    with (
        Metrics(config.out, start, active=first) as metrics,
        tqdm(desc=config.out.name, initial=start, total=config.steps, unit="step", disable=not first) as bar,
    ):
        for step in range(start, config.steps):
            began = time.perf_counter()
            loss = _update(fabric, model, optimizer, splits.train, step=step, config=config)
            seconds = time.perf_counter() - began

            done = step + 1
            log, save, check = (
                done % every == 0 or done == config.steps
                for every in (config.log_every, config.checkpoint_every, config.eval_every)
            )
            rate = config.batch_size * config.model.context * fabric.world_size / seconds
            if log:
                lr = learning_rate(step, config)
                metrics.write(done, train_loss=loss, lr=lr, tokens_per_s=rate, step_ms=1e3 * seconds)
            if save:
                gate(step=done)  # before this step's validation goes on record
            if check:
                val_loss = check_on(splits.val)
                metrics.write(done, val_loss=val_loss, bpc=bits(val_loss))
            if save:
                metrics.sync()  # a checkpoint is never ahead of its log
                state = {"step": done, "config": identity, "model": model, "optimizer": optimizer}
                save_checkpoint(fabric, config.out / CHECKPOINT, state)
            bar.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} tokens/s", refresh=False)
            bar.update()
    return _finish(fabric, config, data, parameters, test_loss=check_on(splits.test))


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of a step: a linear warm-up to lr, then a cosine down to final_lr * lr at the end."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * (config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * progress)))


def _update(
    fabric: Fabric, model: Any, optimizer: Any, data: Tensor, *, step: int, config: TrainConfig
) -> float:
    """Make one update and return its loss in nats, the mean over all ranks."""
    place = {"seed": config.seed, "step": step, "rank": fabric.global_rank}
    ids, targets = sample_batch(data, context=config.model.context, batch_size=config.batch_size, **place)
    ids, targets = ids.to(fabric.device), targets.to(fabric.device)
    seed_step(**place)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, config) * group.get("lr_scale", 1.0)
    total = torch.zeros((), device=fabric.device)
    for i in range(config.accumulate):
        with fabric.no_backward_sync(model, enabled=i + 1 < config.accumulate):
            part = slice(i, None, config.accumulate)
            loss = next_byte_loss(model, ids[part], targets[part]) / config.accumulate
            fabric.backward(loss)
        total += loss.detach()
    mean = all_reduced(fabric, total, "mean")
    if not math.isfinite(mean):
        raise FloatingPointError(
            f"expected a finite loss, got {mean} in step {step + 1}; lower --lr, or raise --warmup, "
            "and start again"
        )
    fabric.clip_gradients(model, optimizer, max_norm=config.clip)
    optimizer.step()
    optimizer.zero_grad()
    return mean


def _launch(config: TrainConfig) -> Fabric:
    """Start Fabric's processes."""
    strategy = FSDPStrategy(state_dict_type="full") if config.strategy == "fsdp" else config.strategy
    fabric = Fabric(
        accelerator=config.accelerator,
        strategy=strategy,
        devices=config.devices,
        precision=config.precision,  # type: ignore[arg-type]  # Fabric itself checks the name
    )
    fabric.launch()
    return fabric


def _start(fabric: Fabric, config: TrainConfig, identity: dict[str, Any], model: Any, optimizer: Any) -> int:
    """Return the step to go on from, after loading the checkpoint of that step where there is one."""
    checkpoint = config.out / CHECKPOINT
    started = (config.out / LOG).exists()
    fabric.barrier()  # nobody writes before all have looked
    if started and not config.resume:
        raise CheckpointError(
            f"expected an empty folder for a new run, got a run in {config.out}; "
            "continue it with --resume true, or give another --out"
        )
    config.out.mkdir(parents=True, exist_ok=True)
    if not config.resume or not checkpoint.exists():
        return 0
    saved = read_checkpoint(checkpoint)
    check_same_run(saved["config"], identity)
    fabric.load(checkpoint, {"model": model, "optimizer": optimizer}, weights_only=True)
    return int(saved["step"])


def _finish(fabric: Fabric, config: TrainConfig, data: str, parameters: int, *, test_loss: float) -> Result:
    """Sum a run up from its log, and leave that beside it as result.json."""
    fabric.barrier()  # rank 0 has written all of it
    records = read_metrics(config.out / LOG)
    losses = {record["step"]: record["val_loss"] for record in records if "val_loss" in record}
    best = min(losses, key=losses.__getitem__)
    result = Result(
        config=plain(config),
        data=data,
        parameters=parameters,
        val_loss=losses[config.steps],
        val_bpc=bits(losses[config.steps]),
        test_loss=test_loss,
        best_val_loss=losses[best],
        best_step=best,
        step_ms=statistics.median(record["step_ms"] for record in records if "step_ms" in record),
    )
    if fabric.is_global_zero:
        write_text(config.out / RESULT, json.dumps(asdict(result), indent=1) + "\n")
    fabric.print(f"validation {result.val_loss:.4f} nats, {result.val_bpc:.4f} bpc")
    return result


def plain(config: TrainConfig) -> dict[str, Any]:
    """Return a configuration as JSON's values, which a checkpoint can hold."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return values


def fingerprint(splits: Splits) -> str:
    """Return what tells two data sets apart."""
    checksum = zlib.crc32(splits.train.numpy().data)
    return f"{splits.name}, {len(splits.train):,} bytes to train, crc32 {checksum:08x}"
