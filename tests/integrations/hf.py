"""A tiny GPT-2 with Multirate, trained by the Trainer and by a plain loop on the same batches."""

import torch
from torch import nn
from transformers import Trainer, TrainingArguments, default_data_collator

from dsptorch import MetaController, Multirate, insert
from tests import zoo

STEPS, MICRO, SIZE, EVERY = 8, 2, 4, 2
CONTROLLER = {"every": EVERY, "lr": 0.3}


def rows(count, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 32, (count, 10), generator=generator).cumsum(1) % 32
    return [{"input_ids": row, "labels": row} for row in ids]


TRAIN = rows(STEPS * MICRO * SIZE, seed=0)
VAL = torch.utils.data.DataLoader(rows(12, seed=1), batch_size=SIZE)


def gpt2(seed=0):
    model = zoo.gpt2(16, seed=seed, n_layer=1, vocab_size=32, n_positions=16, eos_token_id=0)
    model.loss_type = "ForCausalLM"
    insert(model, "transformer.h.*", lambda block: Multirate(16))
    return model


class Recorder:
    """A collator that keeps its batches."""

    def __init__(self):
        self.batches = []

    def __call__(self, features):
        self.batches.append(default_data_collator(features))
        return dict(self.batches[-1])


def trainer(
    folder, callbacks, *, model=None, cls=Trainer, collator=None, optimizers=(None, None), **arguments
):
    settings = {
        "max_steps": STEPS,
        "per_device_train_batch_size": SIZE,
        "gradient_accumulation_steps": MICRO,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.3,
        "optim": "adamw_torch",
        "logging_steps": EVERY,
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return cls(
        model or gpt2(),
        TrainingArguments(str(folder), **settings | arguments),
        train_dataset=TRAIN,
        callbacks=callbacks,
        data_collator=collator,
        optimizers=optimizers,
    )


def plain_loop(batches, val_loss=None, max_norm=0.3, **controller):
    """The same training without a Trainer: what the callback must reproduce."""
    model = gpt2()
    controller = MetaController(model, **CONTROLLER | controller)
    groups = controller.inner_param_groups(weight_decay=0.0)
    weights = [p for group in groups for p in group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    for step in range(STEPS):
        loss = 0.0
        of_step = batches[step * MICRO : (step + 1) * MICRO]
        items = sum(batch["labels"][:, 1:].numel() for batch in of_step)
        for batch in of_step:
            part = model(**batch, num_items_in_batch=items).loss
            part.backward()
            loss += part.detach()
        nn.utils.clip_grad_norm_(weights, max_norm)
        optimizer.step()
        optimizer.zero_grad()
        controller.step(loss, val_loss=val_loss)
    return controller.history
