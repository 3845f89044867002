"""Augmented language models, a padded prompt, and the logits of the whole: for the tests of generation and padding."""

import pytest
import torch

from dsptorch import FIR, Chain, LFORouting, Multirate, insert
from tests import zoo

WIDTH, PROMPT = 16, 9
MODELS = {
    "gpt2": (lambda: zoo.gpt2(WIDTH), "transformer.h.*", "transformer.h.*.ln_2"),
    "llama": (lambda: zoo.llama(WIDTH), "model.layers.*", "model.layers.*.mlp"),
    "mistral": (
        lambda: zoo.llama(WIDTH, "Mistral", sliding_window=6),
        "model.layers.*",
        "model.layers.*.mlp",
    ),
}
each = pytest.mark.parametrize("name", MODELS)


def augmented(name="gpt2"):
    build, blocks, after = MODELS[name]
    model = build()
    insert(model, blocks, lambda _: Chain(Multirate(WIDTH, 3), LFORouting(WIDTH)))
    insert(model, after, lambda _: FIR(WIDTH, 5, init="delays"), position="after")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.double().eval()


def prompts(padded=True):
    ids = torch.randint(2, zoo.VOCABULARY, (2, PROMPT), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    if padded:
        mask[0, :4] = 0
    return {"input_ids": ids, "attention_mask": mask}


def full_logits(model, ids, mask):
    position_ids = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(ids, attention_mask=mask, position_ids=position_ids, use_cache=False).logits
