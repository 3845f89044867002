"""A filter and a linear layer, trained by Lightning's Trainer and by a plain loop on the same batches."""

import itertools
import warnings
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import nn

from dsptorch import Multirate, param_groups
from dsptorch.integrations.lightning import HyperparamLogger, MetaControllerCallback
from tests.integrations.plain import history_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Lightning says while it is imported
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

STEPS, MICRO, EVERY, NAME = 8, 2, 2, "layer.mix_ratio"
CONTROLLER = {"every": EVERY, "lr": 0.3}
CUT, RESUMED_STEPS, CALLBACKS = 16, [5, 10, 15, 20, 25, 30], "callbacks"


def batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(count, 4, 12, 4, generator=generator))


TRAIN, VAL = batches(STEPS * MICRO, seed=0), batches(3, seed=1)
SHUFFLED = torch.utils.data.DataLoader(batches(12, seed=1), batch_size=None, shuffle=True)


class Module(LightningModule):
    """A filter and a linear layer that predict the next sample."""

    def __init__(self, every_parameter=False):
        super().__init__()
        self.layer, self.head = Multirate(4), nn.Linear(4, 4)
        self.every_parameter = every_parameter

    def loss(self, x):
        return (self.head(self.layer(x))[:, :-1] - x[:, 1:].cumsum(1)).square().mean()

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def configure_optimizers(self):
        groups = self.parameters() if self.every_parameter else param_groups(self, weight_decay=0.1)
        return torch.optim.AdamW(groups, lr=1e-2)


def new_model(seed=0, **kwargs):
    torch.manual_seed(seed)
    return Module(**kwargs)


def loss_of(model, batch):
    return model.loss(batch)


def callback(val_data=None, **arguments):
    return MetaControllerCallback(loss_of, val_data=val_data, **CONTROLLER | arguments)


@contextmanager
def quiet():
    """Without what Lightning says of short runs and of loaders without workers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning|torch.jit|pytree")
        warnings.filterwarnings("ignore", message=".*(does not have many workers|not resumable|isinstance).*")
        yield


def fit(folder, *callbacks, model=None, ckpt_path=None, data=None, **arguments):
    """The Trainer after a run."""
    settings = {
        "accelerator": "cpu",
        "max_steps": STEPS,
        "accumulate_grad_batches": MICRO,
        "gradient_clip_val": 0.5,
        "log_every_n_steps": EVERY,
        "logger": CSVLogger(folder, name="log"),
        "enable_checkpointing": len(callbacks) > 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    with quiet():
        made = Trainer(callbacks=list(callbacks), **settings | arguments)
        loader = torch.utils.data.DataLoader(TRAIN if data is None else data, batch_size=None)
        made.fit(model or new_model(), loader, ckpt_path=ckpt_path)
    return made


def logger():
    return HyperparamLogger()


def logged(made, key):
    """The values of a key in the CSV log, by step."""
    lines = Path(made.logger.experiment.metrics_file_path).read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    return {int(row["step"]) + 1: float(row[key]) for row in rows if row.get(key)}


@cache
def plain_loop(with_val):
    val_data = itertools.cycle(VAL)
    val_loss = (lambda model: model.eval().loss(next(val_data))) if with_val else None
    parts = [lambda model, batch=batch: model.loss(batch) / MICRO for batch in TRAIN]
    steps = [parts[i : i + MICRO] for i in range(0, len(parts), MICRO)]
    return history_of(new_model(), steps, val_loss, weight_decay=0.1, max_norm=0.5, **CONTROLLER)


def saved(state):
    """What the callback saved in a checkpoint."""
    return state[CALLBACKS]["MetaControllerCallback"]


class ByStep(Module):
    """Takes the batch of its step: Lightning gives a resumed run its first batch twice."""

    def training_step(self, batch, batch_idx):
        return self.loss(TRAIN[self.trainer.global_step % len(TRAIN)])


def resumed(folder, change, val_data):
    """A run of two epochs of 16 steps, and a new one that goes on from its checkpoint after the first."""
    first, second = callback(val_data, every=5), callback(val_data, every=5)
    settings = {"accumulate_grad_batches": 1, "max_steps": 2 * CUT, "logger": False}
    torch.manual_seed(0)
    keeps = ModelCheckpoint(folder, every_n_epochs=1, save_top_k=-1)
    fit(folder, first, keeps, model=ByStep(), **settings)
    cut = folder / f"epoch=0-step={CUT}.ckpt"
    state = torch.load(cut, weights_only=True)
    change(state)
    torch.save(state, cut)
    fit(folder, second, model=ByStep(), ckpt_path=cut, **settings)
    return first.controller.history, second.controller.history
