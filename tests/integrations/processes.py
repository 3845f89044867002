"""A training of one or two processes, started by test_processes.py: python processes.py TRAINER FOLDER [alone]."""

import json
import os
import sys
import warnings
from functools import partialmethod
from pathlib import Path

import torch
import torch.distributed as dist

from dsptorch.integrations.driver import Driver

WORLD, RANK = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))


def huggingface(folder):
    from transformers import Trainer

    from dsptorch.integrations.huggingface import MetaControllerCallback
    from tests.integrations.hf import CONTROLLER, SIZE, trainer

    class InOrder(Trainer):
        def _get_train_sampler(self, train_dataset=None):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    callback = MetaControllerCallback(**CONTROLLER)
    settings = {"gradient_accumulation_steps": 1, "per_device_train_batch_size": 2 * SIZE // WORLD}
    settings |= {"ddp_backend": "gloo", "ddp_find_unused_parameters": False} if WORLD > 1 else {}
    trainer(folder, [callback], cls=InOrder, **settings).train()
    return callback.controller.history


def lightning(folder):
    from lightning.pytorch import Trainer

    from dsptorch.integrations.lightning import MetaControllerCallback
    from tests.integrations.test_lightning import CONTROLLER, STEPS, TRAIN, module

    callback = MetaControllerCallback(**CONTROLLER)
    pairs = torch.stack(TRAIN).reshape(STEPS, 2, *TRAIN[0].shape)
    data = pairs[:, RANK] if WORLD > 1 else pairs.flatten(1, 2)
    Trainer(
        accelerator="cpu",
        devices=WORLD,
        strategy="ddp" if WORLD > 1 else "auto",
        max_steps=STEPS,
        gradient_clip_val=0.5,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    ).fit(module(), torch.utils.data.DataLoader(data, batch_size=None))
    return callback.controller.history


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    which, folder, *rest = sys.argv[1:]
    if rest == ["alone"]:  # the planted bug: the controllers do not agree
        Driver.begin = partialmethod(
            lambda self, *args, rank, begin, **kwargs: begin(self, *args, **kwargs), begin=Driver.begin
        )
    history = {"huggingface": huggingface, "lightning": lightning}[which](folder)
    Path(folder, f"{RANK}.json").write_text(json.dumps(history))
    if dist.is_initialized():
        dist.destroy_process_group()
