"""Which argument of a module the layer acts on."""

import pytest
import torch
from torch import nn

from dsptorch import insert
from dsptorch.surgery.insertion.signal import signal_argument


class Add(nn.Module):
    def forward(self, x):
        return x + 1


class First(nn.Module):
    def forward(self, query, x=None):
        return query, x


class MaskFirst(nn.Module):
    def forward(self, attention_mask, hidden_states, scale=1.0):
        return attention_mask, hidden_states


class IdsOrEmbeds(nn.Module):
    """As HuggingFace's models."""

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None):
        return input_ids, inputs_embeds


class ByKeyword(nn.Module):
    def forward(self, *, hidden_states):
        return (hidden_states,)


class Wrapper(nn.Module):
    """Says nothing of its arguments."""

    def forward(self, *args, **kwargs):
        return (*args, *kwargs.values())


ONE, TWO = torch.ones(1, 3, 2), torch.full((1, 3, 2), 5.0)


@pytest.mark.parametrize(
    ("module", "args", "kwargs", "expected"),
    [
        (First, (ONE, TWO), {}, (2, 5)),
        (First, (), {"x": TWO, "query": ONE}, (2, 5)),
        (MaskFirst, (ONE, TWO), {}, (1, 6)),
        (MaskFirst, (ONE,), {"hidden_states": TWO}, (1, 6)),
        (MaskFirst, (), {"attention_mask": ONE, "hidden_states": TWO}, (1, 6)),
        (IdsOrEmbeds, (), {"inputs_embeds": TWO}, (None, 6)),
        (IdsOrEmbeds, (None, None, TWO), {}, (None, 6)),
        (ByKeyword, (), {"hidden_states": TWO}, (6,)),
        (Wrapper, (ONE, TWO), {}, (2, 5)),
        (Wrapper, (), {"mask": ONE, "hidden_states": TWO}, (1, 6)),
        (Wrapper, (), {"mask": ONE, "x": TWO}, (1, 6)),
    ],
)
def test_the_signal_is_found_however_the_module_is_called(module, args, kwargs, expected):
    model = nn.Sequential(module())
    insert(model, "0", lambda _: Add())
    outputs = model[0](*args, **kwargs)
    assert tuple(None if y is None else y.flatten()[0].item() for y in outputs) == expected


@pytest.mark.parametrize(
    ("module", "name"), [(First, "query"), (MaskFirst, "hidden_states"), (IdsOrEmbeds, "inputs_embeds")]
)
def test_names(module, name):
    assert signal_argument("0", module()).name == name


def test_a_call_without_a_signal_is_refused():
    model = nn.Sequential(IdsOrEmbeds(), Wrapper())
    insert(model, "*", lambda _: Add())
    with pytest.raises(
        TypeError, match=r"the argument 'inputs_embeds' of IdsOrEmbeds, which was called with input_ids"
    ):
        model[0](input_ids=ONE.long())
    with pytest.raises(TypeError, match=r"Wrapper, which was called with mask"):
        model[1](mask=ONE)
