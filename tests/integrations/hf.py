"""A tiny GPT-2 with Multirate, trained by HuggingFace's Trainer and by a plain loop on the same batches."""

import itertools
import json
from functools import cache

import torch
from transformers import Trainer, TrainingArguments, default_data_collator

from dsptorch import Multirate, insert
from dsptorch.integrations.huggingface import HyperparamLogger, MetaControllerCallback
from tests import zoo
from tests.integrations.plain import history_of

STEPS, MICRO, SIZE, EVERY = 8, 2, 4, 2
CONTROLLER = {"every": EVERY, "lr": 0.3}
NAME = "transformer.h.0.dsp_before.mix_ratio"
CUT, RESUMED_STEPS, CALLBACKS = 5, [2, 4, 6, 8], "stateful_callbacks"


def rows(count, seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 32, (count, 10), generator=generator).cumsum(1) % 32
    return [{"input_ids": row, "labels": row} for row in ids]


TRAIN = rows(STEPS * MICRO * SIZE, seed=0)
VAL = torch.utils.data.DataLoader(rows(12, seed=1), batch_size=SIZE)
SHUFFLED = torch.utils.data.DataLoader(VAL.dataset, batch_size=SIZE, shuffle=True)


def new_model(seed=0):
    made = zoo.gpt2(16, seed=seed, n_layer=1, vocab_size=32, n_positions=16, eos_token_id=0)
    made.loss_type = "ForCausalLM"
    insert(made, "transformer.h.*", lambda block: Multirate(16))
    return made


def callback(val_data=None, **arguments):
    return MetaControllerCallback(val_data=val_data, **CONTROLLER | arguments)


class InOrder(Trainer):
    def _get_train_sampler(self, train_dataset=None):
        return torch.utils.data.SequentialSampler(self.train_dataset)


def trainer(folder, *callbacks, model=None, optimizers=(None, None), **arguments):
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
    return InOrder(
        model or new_model(),
        TrainingArguments(str(folder), **settings | arguments),
        train_dataset=TRAIN,
        callbacks=list(callbacks),
        optimizers=optimizers,
    )


def fit(folder, *callbacks, **arguments):
    """The Trainer after a run."""
    made = trainer(folder, *callbacks, **arguments)
    made.train()
    return made


def logger():
    return HyperparamLogger()


def logged(made, key):
    """The values of a key in the logs, by step."""
    return {entry["step"]: entry[key] for entry in made.state.log_history if key in entry}


@cache
def plain_loop(with_val):
    val_data = itertools.cycle(VAL)
    val_loss = (lambda model: model.eval()(**next(val_data)).loss) if with_val else None
    batches = [default_data_collator(TRAIN[i : i + SIZE]) for i in range(0, len(TRAIN), SIZE)]
    items = MICRO * batches[0]["labels"][:, 1:].numel()
    parts = [lambda model, batch=batch: model(**batch, num_items_in_batch=items).loss for batch in batches]
    steps = [parts[i : i + MICRO] for i in range(0, len(parts), MICRO)]
    return history_of(new_model(), steps, val_loss, weight_decay=0.0, max_norm=0.3, **CONTROLLER)


def saved(state):
    """What the callback saved in a checkpoint."""
    return state[CALLBACKS]["MetaControllerCallback"]["attributes"]["saved"]


def resumed(folder, change, val_data):
    """A run that is cut off at step 5, and a new one that goes on from its checkpoint."""
    first, second = callback(val_data), callback(val_data)
    fit(folder, first, save_strategy="steps", save_steps=CUT)
    checkpoint = folder / f"checkpoint-{CUT}"
    file = checkpoint / "trainer_state.json"
    state = json.loads(file.read_text())
    change(state)
    file.write_text(json.dumps(state))
    moved = checkpoint.rename(folder / "elsewhere")  # a checkpoint may be anywhere
    trainer(folder, second, model=new_model(seed=7)).train(resume_from_checkpoint=str(moved))
    return first.controller.history, second.controller.history
