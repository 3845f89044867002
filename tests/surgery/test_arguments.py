"""Which argument of a module the layer acts on."""

import pytest
import torch
from torch import nn

from dsptorch import insert
from tests.surgery.models import small


def first(self, query, x=None):
    return query, x


def mask_first(self, attention_mask, hidden_states, scale=1.0):
    return attention_mask, hidden_states


def ids_or_embeds(self, input_ids=None, attention_mask=None, inputs_embeds=None):
    """As HuggingFace's models."""
    return input_ids, inputs_embeds


def by_keyword(self, *, hidden_states):
    return (hidden_states,)


def wrapper(self, *args, **kwargs):
    """Says nothing of its arguments."""
    return (*args, *kwargs.values())


def with_add(forward):
    """The module of this forward, with a layer that adds 1 to the signal."""
    model = nn.Sequential(small(forward))
    insert(model, "0", lambda _: small(lambda self, x: x + 1))
    return model[0]


ONE, TWO = torch.ones(1, 3, 2), torch.full((1, 3, 2), 5.0)


@pytest.mark.parametrize(
    ("forward", "args", "kwargs", "expected"),
    [
        (first, (ONE, TWO), {}, (2, 5)),
        (first, (), {"x": TWO, "query": ONE}, (2, 5)),
        (mask_first, (ONE, TWO), {}, (1, 6)),
        (mask_first, (ONE,), {"hidden_states": TWO}, (1, 6)),
        (mask_first, (), {"attention_mask": ONE, "hidden_states": TWO}, (1, 6)),
        (ids_or_embeds, (), {"inputs_embeds": TWO}, (None, 6)),
        (ids_or_embeds, (None, None, TWO), {}, (None, 6)),
        (by_keyword, (), {"hidden_states": TWO}, (6,)),
        (wrapper, (ONE, TWO), {}, (2, 5)),
        (wrapper, (), {"mask": ONE, "hidden_states": TWO}, (1, 6)),
        (wrapper, (), {"mask": ONE, "x": TWO}, (1, 6)),
    ],
)
def test_the_signal_is_found_however_the_module_is_called(forward, args, kwargs, expected):
    outputs = with_add(forward)(*args, **kwargs)
    assert tuple(None if y is None else y.flatten()[0].item() for y in outputs) == expected


@pytest.mark.parametrize(
    ("forward", "kwargs", "message"),
    [
        (
            ids_or_embeds,
            {"input_ids": ONE},
            r"the argument 'inputs_embeds' of Small, .* called with input_ids",
        ),
        (wrapper, {"mask": ONE}, r"Small, which was called with mask"),
    ],
)
def test_a_call_without_a_signal_is_refused(forward, kwargs, message):
    with pytest.raises(TypeError, match=message):
        with_add(forward)(**kwargs)
