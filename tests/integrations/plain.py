"""The training of a plain loop: what the callbacks must reproduce."""

import torch
from torch import nn

from dsptorch import MetaController


def history_of(model, steps, val_loss, *, weight_decay, max_norm, **controller):
    """The controller's history of a training with these functions that give a part of the loss, for each step."""
    controller = MetaController(model, **controller)
    groups = controller.inner_param_groups(weight_decay=weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    for parts in steps:
        loss = 0.0
        for part in parts:
            value = part(model)
            value.backward()
            loss += value.detach()
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], max_norm)
        optimizer.step()
        optimizer.zero_grad()
        controller.step(loss, val_loss=val_loss)
    return controller.history
