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
    from tests.integrations import hf

    callback = hf.callback()
    settings = {"gradient_accumulation_steps": 1, "per_device_train_batch_size": 2 * hf.SIZE // WORLD}
    settings |= {"ddp_backend": "gloo", "ddp_find_unused_parameters": False} if WORLD > 1 else {}
    hf.fit(folder, callback, **settings)
    return callback.controller.history


def lightning(folder):
    from tests.integrations import pl

    callback = pl.callback()
    pairs = torch.stack(pl.TRAIN).reshape(pl.STEPS, 2, *pl.TRAIN[0].shape)
    settings = {
        "devices": WORLD,
        "strategy": "ddp" if WORLD > 1 else "auto",
        "use_distributed_sampler": False,
    }
    data = pairs[:, RANK] if WORLD > 1 else pairs.flatten(1, 2)
    pl.fit(folder, callback, data=data, logger=False, accumulate_grad_batches=1, **settings)
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
