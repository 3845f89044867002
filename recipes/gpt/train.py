"""The training loop: Lightning Fabric around a plain PyTorch step."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from dsptorch import BoundedHyperparam, MetaController
from dsptorch.analysis import history_figure

from .adaptive import find_hyperparams, make_controller, optimizer_groups
from .arms import build
from .batches import sample_batch, seed_step
from .checkpoint import check_same_run, fitting, load_states, read_checkpoint, save_checkpoint
from .config import TrainConfig
from .data import Splits, load_splits
from .errors import CheckpointError, RecipeError, UsageError
from .evaluate import all_reduced, evaluate, next_byte_loss
from .leak_gate import leak_gate
from .lock import locked
from .metrics import LOG, Metrics, bits, flat
from .model import GPT
from .parallel import launch
from .result import Result, fingerprint, plain, sum_up

CHECKPOINT, FIGURE = "checkpoint.pt", "hyperparams.png"


def train(config: TrainConfig, splits: Splits | None = None) -> Result:
    """Train one arm and return its result; `splits` takes the place of config.data where it is at hand.

    Everything random in step i is a pure function of (seed, i), and dropout of the rank too, so a run that is
    killed and resumed makes the same numbers, bit for bit on a CPU, as one that is not. Without dropout the number
    of processes, which may change at a resume, changes them by rounding alone.

    Raises:
        LeakError: The model looks ahead.
        CheckpointError: `out` holds a run already, or a checkpoint that does not fit, or a run is at work there.
        UsageError: The text is too short, or there is no such model or machine.
        FloatingPointError: The loss or its gradient is not finite.
    """
    splits = splits or load_splits(config.data, config.root)
    if min(len(splits.train), len(splits.val)) <= config.model.context:
        raise UsageError(
            f"expected parts longer than model.context={config.model.context} bytes, got {fingerprint(splits)}; give "
            "more text, or a shorter context"
        )
    fabric = launch(config)
    with _folder(fabric, config):
        return _train(fabric, config, splits)


def _train(fabric: Fabric, config: TrainConfig, splits: Splits) -> Result:
    """Train in a folder that is this run's alone."""
    data = fingerprint(splits)
    torch.manual_seed(config.seed)
    gpt, hyperparams, controller = _model(config)
    parameters = sum(p.numel() for p in gpt.parameters() if p.requires_grad)
    model = fabric.setup_module(torch.compile(gpt) if config.compile else gpt)  # type: ignore[arg-type]
    groups = optimizer_groups(
        model,
        hyperparams,
        lr=config.lr,
        hyperparam_lr=0.0 if controller else config.hyperparam_lr,
        weight_decay=config.weight_decay,
    )
    adamw = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, config.beta2))
    optimizer = fabric.setup_optimizers(adamw)

    identity = _identity(config, data)
    start = _start(config, identity, gpt, adamw, controller)
    row = splits.val[: config.model.context].long()[None]  # (1, T)
    gate = partial(leak_gate, fabric, model, row, vocab_size=config.model.vocab_size)
    gate(step=start)
    check_on = partial(
        evaluate,
        fabric,
        model,
        context=config.model.context,
        batch_size=config.batch_size // (config.accumulate * fabric.world_size),
    )
    model.train()
    first = fabric.is_global_zero
    spent = deque[float](maxlen=config.log_every)  # seconds of each step since the last line of the log
    with (
        Metrics(config.out, start, active=first) as metrics,
        tqdm(desc=config.out.name, initial=start, total=config.steps, unit="step", disable=not first) as bar,
    ):
        for step in range(start, config.steps):
            began = time.perf_counter()
            loss = _update(fabric, model, optimizer, splits.train, step=step, config=config)
            update = _update_hyperparams(fabric, controller, loss, splits.val, step=step, config=config)
            spent.append(time.perf_counter() - began)

            done = step + 1
            if update:
                metrics.write(done, **flat(update))
            log, save, check = (
                done % every == 0 or done == config.steps
                for every in (config.log_every, config.checkpoint_every, config.eval_every)
            )
            # Of many steps, since every logged one may be one with an update of the hyperparameters.
            seconds = sum(spent) / len(spent)
            rate = config.batch_size * config.model.context / seconds
            if log:
                metrics.write(
                    done,
                    train_loss=loss,
                    lr=learning_rate(step, config),
                    tokens_per_s=rate,
                    step_ms=1e3 * seconds,
                )
            if save:
                gate(step=done)  # before this step's validation goes on record
            if check:
                val_loss = check_on(splits.val)
                metrics.write(done, val_loss=val_loss, bpc=bits(val_loss))
            if save:
                metrics.sync()  # a checkpoint is never ahead of its log
                moved = {"controller": controller.state_dict()} if controller else {}
                state = {"step": done, "config": identity, **moved}
                save_checkpoint(fabric, config.out / CHECKPOINT, gpt, adamw, state)
            bar.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} tokens/s", refresh=False)
            bar.update()
    if controller and controller.history and first:
        history_figure(controller.history).savefig(config.out / FIGURE)
    return sum_up(fabric, config, data, parameters, test_loss=check_on(splits.test))


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
    ids, targets = sample_batch(
        data, context=config.model.context, batch_size=config.batch_size, ranks=fabric.world_size, **place
    )
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
    try:
        fabric.clip_gradients(model, optimizer, max_norm=config.clip or math.inf)
    except RuntimeError as error:
        if "non-finite" not in str(error):
            raise
        raise FloatingPointError(
            f"expected a finite gradient, got NaN or infinity in step {step + 1}; lower --lr, or raise --warmup, and "
            "start again"
        ) from error
    optimizer.step()
    optimizer.zero_grad()
    return mean


def _update_hyperparams(
    fabric: Fabric,
    controller: MetaController | None,
    loss: float,
    data: Tensor,
    *,
    step: int,
    config: TrainConfig,
) -> Mapping[str, Any] | None:
    """Let the controller take the step in, with a batch of `data` to judge by; return its record."""
    if controller is None:
        return None

    def val_loss(view: nn.Module) -> Tensor:
        ids, targets = sample_batch(
            data,
            context=config.model.context,
            batch_size=config.batch_size // config.accumulate,  # what fits into memory, over all ranks
            seed=config.seed,
            step=step,
            rank=fabric.global_rank,
            ranks=fabric.world_size,
        )
        with fabric.autocast():
            return next_byte_loss(view, ids.to(fabric.device), targets.to(fabric.device))

    return controller.step(loss, val_loss=val_loss)


def _model(config: TrainConfig) -> tuple[GPT, dict[str, BoundedHyperparam], MetaController | None]:
    """Return the model, its hyperparameters if anything treats them apart from the weights, and who moves them."""
    gpt = build(config.model, config.arm)
    section = config.adaptive_dsp
    if not section.enabled and config.hyperparam_lr is None:
        return gpt, {}, None
    hyperparams = find_hyperparams(gpt, section.learnable_params)
    if section.enabled:
        controller = make_controller(gpt, hyperparams, section, steps=config.steps, seed=config.seed)
        return gpt, hyperparams, controller
    if config.hyperparam_lr == 0:
        for hyperparam in hyperparams.values():
            hyperparam.freeze()
    return gpt, hyperparams, None


def _identity(config: TrainConfig, data: str) -> dict[str, Any]:
    """Return what decides a run's numbers, which a checkpoint keeps and `check_same_run` compares."""
    identity = {**plain(config), "data (read)": data}
    if config.adaptive_dsp.enabled:  # then `accumulate`, which is free otherwise, decides it
        identity["batch to judge the hyperparameters by"] = config.batch_size // config.accumulate
    return identity


@contextmanager
def _folder(fabric: Fabric, config: TrainConfig) -> Iterator[None]:
    """Keep other runs out of the folder, for all processes of this one; only the first holds the lock.

    Raises:
        CheckpointError: A run is at work there, or one is there that is not to be resumed.
    """
    refused = None
    with ExitStack() as stack:
        if fabric.is_global_zero:
            try:
                stack.enter_context(locked(config.out))
                if (config.out / LOG).exists() and not config.resume:
                    raise CheckpointError(
                        f"expected an empty folder for a new run, got a run in {config.out}; "
                        "continue it with --resume true, or give another --out"
                    )
            except (OSError, RecipeError) as error:
                refused = error
        if fabric.broadcast(refused is not None):
            raise refused or SystemExit(1)  # one process says why
        yield


def _start(
    config: TrainConfig,
    identity: dict[str, Any],
    model: GPT,
    optimizer: Optimizer,
    controller: MetaController | None,
) -> int:
    """Return the step to go on from, after loading the checkpoint of that step where there is one."""
    checkpoint = config.out / CHECKPOINT
    if not config.resume or not checkpoint.exists():
        return 0
    saved = read_checkpoint(checkpoint)
    check_same_run(saved["config"], identity)
    if not 0 <= saved["step"] <= config.steps:
        raise CheckpointError(
            f"expected a step of 0 to {config.steps} in {checkpoint}, got {saved['step']}; use another checkpoint"
        )
    load_states(model, optimizer, saved)
    if controller:
        with fitting(f"expected the state of a MetaController in {checkpoint}"):
            controller.load_state_dict(saved["controller"])
    step: int = saved["step"]
    return step
