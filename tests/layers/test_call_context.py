"""`segmented`: segment ids reach the layers of a model that hands them none."""

import pytest
import torch
from torch import nn

from dsptorch import Chain, LFORouting, Multirate, segmented
from tests.layers.table import WIDTH, build, signal
from tests.tolerances import assert_close, assert_same

IDS = torch.tensor([[-1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 1, -1], [3, 3, 3, 3, 3, 3, 3, 3, 3, -1, 3, 3]])


class Model(nn.Module):
    """A layer to which nobody hands ids."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WIDTH, WIDTH), Chain(Multirate(WIDTH), LFORouting(WIDTH)))

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_context_reaches_the_layers_of_a_model(compiled):
    torch._dynamo.reset()
    model, x = Model(), signal(2, 12, torch.float32)
    run = torch.compile(model, fullgraph=True, backend="aot_eager") if compiled else model
    plain = run(x)
    with segmented(IDS):
        y = run(x)
        with segmented(None):
            assert_close(run(x), plain)
    assert_close(y[0, 2:7], model(x[:1, 2:7])[0])
    assert not torch.allclose(y, plain)
    assert_close(run(x), plain)  # it ends with its block


def test_ids_that_are_given_win_over_the_context():
    layer, x = build("Multirate"), signal(2, 12)
    with segmented(IDS):
        y = layer(x, torch.zeros_like(IDS))
    assert_close(y, layer(x))


def test_the_context_is_of_this_thread():
    import threading

    layer, x, found = build("Multirate"), signal(2, 12), []
    with segmented(IDS):
        thread = threading.Thread(target=lambda: found.append(layer(x)))
        thread.start()
        thread.join()
    assert_same(found[0], layer(x))
