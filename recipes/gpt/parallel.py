"""Processes: who starts them, and what each of them holds of the model.

"ddp" keeps the whole model in every process and averages the gradients. "fsdp" (FSDP2) keeps a shard of every
parameter, its gradient and its moments in each, and gathers a block's parameters while the block runs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.strategies.model_parallel import ModelParallelStrategy
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.distributed.fsdp import fully_shard

from .config import TrainConfig
from .errors import UsageError
from .model import GPT

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def launch(config: TrainConfig) -> Fabric:
    """Start the processes of a run, or join those that torchrun started.

    Raises:
        UsageError: If the processes, times accumulate, do not divide the batch, or there is no such accelerator.
    """
    devices, nodes = config.devices, 1
    if TorchElasticEnvironment.detect():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    processes = devices * nodes
    if config.batch_size % (processes * config.accumulate):
        raise UsageError(
            f"batch_size: expected a multiple of processes x accumulate = {processes} x {config.accumulate}, got "
            f"{config.batch_size}; it is the batch of all processes together: change it, or their number"
        )
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            strategy=_fsdp(processes) if config.strategy == "fsdp" else config.strategy,
            devices=devices,
            num_nodes=nodes,
            precision=config.precision,
        )
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise UsageError(f"accelerator, devices, strategy, precision: {error}") from error
    fabric.launch()
    return fabric


def _fsdp(processes: int) -> ModelParallelStrategy:
    return ModelParallelStrategy(shard, data_parallel_size=processes, tensor_parallel_size=1)


def shard(model: GPT, mesh: DeviceMesh) -> GPT:
    """Shard each block by itself, then what is left: the embedding, which is the head too, and the last norm.

    Inserted layers are children of what they act on, so they are gathered with their block. Every process must hold
    the same weights.

    Raises:
        UsageError: If the parameters are of several dtypes.
    """
    dtypes = {parameter.dtype for parameter in model.parameters()}
    if len(dtypes) > 1:
        raise UsageError(
            f"precision: expected one dtype for all that fsdp shards, got {', '.join(sorted(map(str, dtypes)))}, since "
            "hyperparameters stay in float32; use 32-true or bf16-mixed, or the strategy ddp"
        )
    for module in (*model.blocks, model):
        fully_shard(module, mesh=mesh["data_parallel"])
    return model
